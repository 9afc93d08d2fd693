-- What doctor asks. Reads of long tables are bounded: a check must not burden a busy database.

-- Ready jobs, among the first 10 000, by task and queue.
-- name: health_ready
SELECT COALESCE(t.name, {numbered:task}) AS task, COALESCE(q.name, {numbered:queue}) AS queue, count(*)
FROM (SELECT task_id, queue_id FROM {ready} LIMIT 10000) j
LEFT JOIN {tasks} t ON t.id = j.task_id
LEFT JOIN {queues} q ON q.id = j.queue_id
GROUP BY t.name, j.task_id, q.name, j.queue_id
ORDER BY task, queue

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

-- macro: use
INSERT INTO {@} SELECT * FROM {@} WHERE 1 = 0;
DELETE FROM {@} WHERE 1 = 0

-- Does with each table what hammerflow needs a right for, and changes no row.
-- name: health_rights
SELECT 1 FROM {migrations} WHERE 1 = 0;
SELECT 1 FROM {job_states} WHERE 1 = 0;
{use:queues};
UPDATE {queues} SET id = id WHERE 1 = 0;
{use:tasks};
UPDATE {tasks} SET id = id WHERE 1 = 0;
{use:pauses};
UPDATE {pauses} SET id = id WHERE 1 = 0;
{use:workers};
UPDATE {workers} SET id = id WHERE 1 = 0;
{use:worker_tasks};
UPDATE {worker_tasks} SET task_id = task_id WHERE 1 = 0;
{use:worker_requests};
UPDATE {worker_requests} SET id = id WHERE 1 = 0;
{use:jobs};
UPDATE {jobs} SET id = id WHERE 1 = 0;
{use:ready};
UPDATE {ready} SET job_id = job_id WHERE 1 = 0;
{use:leases};
UPDATE {leases} SET job_id = job_id WHERE 1 = 0;
{use:limits};
UPDATE {limits} SET id = id WHERE 1 = 0;
{use:limit_keys};
UPDATE {limit_keys} SET id = id WHERE 1 = 0;
{use:scheduled};
UPDATE {scheduled} SET job_id = job_id WHERE 1 = 0;
{use:waiting};
UPDATE {waiting} SET job_id = job_id WHERE 1 = 0;
{use:done};
UPDATE {done} SET job_id = job_id WHERE 1 = 0;
{use:parked};
UPDATE {parked} SET job_id = job_id WHERE 1 = 0;
{use:errors};
UPDATE {errors} SET job_id = job_id WHERE 1 = 0;
{use:progress};
UPDATE {progress} SET job_id = job_id WHERE 1 = 0;
{use:unique_keys};
UPDATE {unique_keys} SET job_id = job_id WHERE 1 = 0;
{use:spawns};
UPDATE {spawns} SET parent_id = parent_id WHERE 1 = 0;
{use:edges};
UPDATE {edges} SET parent_id = parent_id WHERE 1 = 0;
{use:workflows};
UPDATE {workflows} SET id = id WHERE 1 = 0;
{use:nodes};
UPDATE {nodes} SET job_id = job_id WHERE 1 = 0;
{use:barriers};
UPDATE {barriers} SET id = id WHERE 1 = 0;
{use:schedules};
UPDATE {schedules} SET id = id WHERE 1 = 0;
{use:schedule_ticks};
UPDATE {schedule_ticks} SET schedule_id = schedule_id WHERE 1 = 0;
{use:schedule_sets};
{use:retention};
UPDATE {retention} SET id = id WHERE 1 = 0;
{use:replays};
UPDATE {replays} SET job_id = job_id WHERE 1 = 0;
{use:archived};
UPDATE {archived} SET id = id WHERE 1 = 0;
{use:archive_packs};
UPDATE {archive_packs} SET id = id WHERE 1 = 0;
{use:restored};
{use:outbox};
{use:events};
{use:relay};
UPDATE {relay} SET id = id WHERE 1 = 0;
{use:sinks};
UPDATE {sinks} SET name = name WHERE 1 = 0;
{use:sink_errors}
