-- What doctor asks. Reads of long tables are bounded: a check must not burden a busy database.

-- Ready jobs, among the first 10 000, whose task no live worker has registered.
-- name: health_unserved
SELECT t.name, count(*)
FROM (SELECT task_id FROM {ready} LIMIT 10000) r
JOIN {tasks} t ON t.id = r.task_id
WHERE NOT EXISTS (SELECT 1 FROM {worker_tasks} w WHERE w.task_id = r.task_id)
GROUP BY t.name
ORDER BY t.name

-- name: health_parked
SELECT p.why, t.name, count(*)
FROM {parked} p
JOIN {tasks} t ON t.id = p.task_id
GROUP BY p.why, t.name
ORDER BY p.why, t.name

-- Jobs, among the newest 10 000, that are in none of the state tables: rows were deleted by hand.
-- name: health_missing
SELECT count(*)
FROM
  (SELECT id FROM {jobs} ORDER BY id DESC LIMIT 10000) j
JOIN {job_states} s ON s.id = j.id
WHERE s.state = 'missing'

-- name: clock
SELECT {epoch}
