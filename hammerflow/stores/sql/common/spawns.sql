-- Spawn operations and families of jobs. Each read is bounded by a LIMIT or by one job's children.

-- macro: spawn_runs
SELECT s.parent_id, s.lease, s.requested, s.spawned, s.started_at, s.ended_at, s.handler, s.operation_id,
       s.metadata, s.error, t.name, q.name
FROM {spawns} s
LEFT JOIN {jobs} j ON j.id = s.parent_id
LEFT JOIN {tasks} t ON t.id = j.task_id
LEFT JOIN {queues} q ON q.id = j.queue_id

-- The runs of spawners, newest first, failed runs included.
-- name: spawn_operations
{spawn_runs}
WHERE s.ended_at >= {after:since}
  AND (:queue::bigint IS NULL OR j.queue_id = :queue::bigint)
ORDER BY s.ended_at DESC, s.parent_id DESC, s.lease DESC
LIMIT :n::bigint

-- The newest runs, counted by handler and queue; the duration of a run is the difference of two ages.
-- Collations of MySQL may ignore trailing blanks, so names are told apart by their lengths, too.
-- name: spawn_stats
SELECT s.handler, q.name, count(*), sum(s.is_bad), sum(s.requested), sum(s.spawned), max(s.spawned),
       sum(s.seconds), max(s.seconds)
FROM (
  SELECT parent_id, handler, requested, spawned, CASE WHEN error IS NULL THEN 0 ELSE 1 END AS is_bad,
         {age:started_at} - {age:ended_at} AS seconds
  FROM {spawns} WHERE ended_at >= :low::timestamptz
  ORDER BY ended_at DESC LIMIT :n::bigint) s
LEFT JOIN {jobs} j ON j.id = s.parent_id
LEFT JOIN {queues} q ON q.id = j.queue_id
WHERE (:queue::bigint IS NULL OR j.queue_id = :queue::bigint)
GROUP BY s.handler, length(s.handler), q.id, q.name
ORDER BY s.handler, length(s.handler), q.name

-- Spawned jobs that have not ended, by parent and state. It reads the tables of unfinished jobs, so that
-- an old parent with one late child is found, too.
-- name: spawn_pending
SELECT j.parent_id, s.state, count(*)
FROM (
  SELECT w.* FROM (SELECT job_id, 'waiting' AS state FROM {waiting} LIMIT :n::bigint) w
  UNION ALL
  SELECT d.* FROM (SELECT job_id, 'scheduled' AS state FROM {scheduled} LIMIT :n::bigint) d
  UNION ALL
  SELECT p.* FROM (SELECT job_id, 'parked' AS state FROM {parked} LIMIT :n::bigint) p
  UNION ALL
  SELECT r.* FROM (SELECT job_id, 'ready' AS state FROM {ready} LIMIT :n::bigint) r
  UNION ALL
  SELECT l.* FROM (SELECT job_id, 'running' AS state FROM {leases} LIMIT :n::bigint) l) s
JOIN {jobs} j ON j.id = s.job_id
WHERE j.parent_id IS NOT NULL
GROUP BY j.parent_id, s.state
ORDER BY j.parent_id DESC, s.state
LIMIT :parents::bigint

-- The most rows of one of these tables, up to n.
-- name: live_most
SELECT max(a.rows_read)
FROM (
  SELECT count(*) AS rows_read FROM (SELECT job_id FROM {waiting} LIMIT :n::bigint) w
  UNION ALL
  SELECT count(*) FROM (SELECT job_id FROM {scheduled} LIMIT :n::bigint) d
  UNION ALL
  SELECT count(*) FROM (SELECT job_id FROM {parked} LIMIT :n::bigint) p
  UNION ALL
  SELECT count(*) FROM (SELECT job_id FROM {ready} LIMIT :n::bigint) r
  UNION ALL
  SELECT count(*) FROM (SELECT job_id FROM {leases} LIMIT :n::bigint) l) a

-- name: spawn_rows
{spawn_runs}
WHERE s.parent_id IN (:ids*uuid)
ORDER BY s.parent_id, s.lease

-- name: parent_of
SELECT parent_id
FROM {jobs}
WHERE id = :id::uuid

-- name: generation_states
SELECT c.task, c.state, count(*)
FROM {job_states} c
WHERE c.parent_id IN (:ids*uuid)
GROUP BY c.task, c.state

-- name: generation_ids
SELECT j.id
FROM {jobs} j
WHERE j.parent_id IN (:ids*uuid)
ORDER BY j.id
LIMIT :n::bigint

-- The children that have children themselves.
-- name: generation_parents
SELECT j.id
FROM {jobs} j
WHERE j.parent_id IN (:ids*uuid)
  AND EXISTS (SELECT 1 FROM {jobs} k WHERE k.parent_id = j.id)
ORDER BY j.id
LIMIT :n::bigint

-- The children of a job, the youngest first, with their workflow and that of the job.
-- name: children_down
SELECT j.id, j.spawn_index, j.workflow_id, p.workflow_id
FROM {jobs} j
JOIN {jobs} p ON p.id = j.parent_id
WHERE j.parent_id = :id::uuid
  AND j.spawn_index < :before::integer
ORDER BY j.spawn_index DESC
LIMIT :n::bigint

-- name: parents_of_any
SELECT j.id
FROM {jobs} j
WHERE j.id IN (:ids*uuid)
  AND EXISTS (SELECT 1 FROM {jobs} k WHERE k.parent_id = j.id)

-- name: ids_children
SELECT j.id
FROM {jobs} j
WHERE j.parent_id = :parent::uuid
  AND j.spawn_index > :after::integer
ORDER BY j.spawn_index
LIMIT :n::bigint

-- A page of the results of those children of a spawner that are single jobs, in spawn order, without the
-- fan-in: the jobs of a canvas report to each other and to its workflow.
-- name: children_results
SELECT j.spawn_index, d.result, d.state
FROM {jobs} j
LEFT JOIN {done} d ON d.job_id = j.id
WHERE j.parent_id = :parent::uuid
  AND j.spawn_index > :after::integer
  AND j.dependent_id = :dependent_id::uuid
ORDER BY j.spawn_index
LIMIT :n::bigint

-- name: children_states
SELECT c.state, c.task, count(*)
FROM {job_states} c
WHERE c.parent_id = :parent::uuid
GROUP BY c.state, c.task

-- name: spawn_row
SELECT ended_at, handler, operation_id, spawned, metadata
FROM {spawns}
WHERE parent_id = :id::uuid
  AND error IS NULL

-- name: spawn_left_out
UPDATE {spawns}
SET spawned = spawned - :n::integer
WHERE parent_id = :id::uuid
  AND lease = :lease::integer

-- name: spawns_insert
INSERT INTO {spawns} (parent_id, lease, requested, spawned, started_at, ended_at, handler, operation_id,
                      metadata, error)
VALUES (:parent_id::uuid, :lease::integer, :requested::integer, :spawned::integer, {after:began}, {now},
        :handler::text, :operation_id::text, :metadata::text, :error::text)
