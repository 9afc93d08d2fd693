-- What doctor asks. Reads of long tables are bounded: a check must not burden a busy database.

-- Ready jobs, among the first 10 000, whose task no live worker has registered.
-- name: health_unserved
SELECT COALESCE(t.name, {numbered:task}) AS task, count(*)
FROM (SELECT task_id FROM {ready} LIMIT 10000) j
LEFT JOIN {tasks} t ON t.id = j.task_id
WHERE NOT EXISTS (SELECT 1 FROM {worker_tasks} w WHERE w.task_id = j.task_id)
GROUP BY t.name, j.task_id
ORDER BY task

-- name: health_parked
SELECT j.why, COALESCE(t.name, {numbered:task}) AS task, count(*)
FROM {parked} j
LEFT JOIN {tasks} t ON t.id = j.task_id
GROUP BY j.why, t.name, j.task_id
ORDER BY j.why, task

-- Jobs, among the newest 10 000, that are in none of the state tables: rows were deleted by hand.
-- name: health_missing
SELECT count(*)
FROM
  (SELECT id FROM {jobs} ORDER BY id DESC LIMIT 10000) j
JOIN {job_states} s ON s.id = j.id
WHERE s.state = 'missing'

-- name: clock
SELECT {epoch}
