-- Reads of single jobs and lists of jobs.

-- name: job_result
SELECT d.state, d.result, d.reason
FROM {done} d
WHERE d.job_id = :id::uuid

-- name: job_exists
SELECT 1
FROM {jobs}
WHERE id = :id::uuid

-- name: job_ids_between
SELECT id
FROM {jobs}
WHERE id BETWEEN :low::uuid AND :high::uuid
ORDER BY id
LIMIT :n::bigint

-- name: job_last_error
SELECT kind, type, message, trace
FROM {errors}
WHERE job_id = :id::uuid
  AND kind NOT IN ('replayed', 'replaced', 'edited')
ORDER BY lease DESC
LIMIT 1

-- The last thing that went wrong in each of these jobs, for lists.
-- name: last_errors
SELECT e.job_id, e.type, substr(e.message, 1, 1000)
FROM {errors} e
WHERE e.job_id IN (:ids*uuid)
  AND e.kind NOT IN ('replayed', 'replaced', 'edited')
  AND NOT EXISTS (SELECT 1 FROM {errors} n
                  WHERE n.job_id = e.job_id AND n.lease > e.lease
                    AND n.kind NOT IN ('replayed', 'replaced', 'edited'))

-- name: job_errors
SELECT attempt, at, kind, type, message, trace, started_at, worker_id
FROM {errors}
WHERE job_id = :id::uuid
ORDER BY lease, at

-- name: job_logs
SELECT attempt, lease, data
FROM {job_logs} {by_primary}
WHERE job_id = :id::uuid
  AND lease >= :since::integer
  AND (:attempt::integer IS NULL OR attempt = :attempt::integer)
ORDER BY lease

-- How far the logs of these jobs have come: the end of a job, or -1 of a parked one, and the size of the newest log.
-- Both are of one moment, and the last lines are written with the end: where there is one, they are there.
-- Looked up job by job, not joined: statistics of a table that has grown since make that a scan of it.
-- name: job_log_ends
SELECT j.id,
  COALESCE((SELECT d.state FROM {done} d WHERE d.job_id = j.id), (SELECT -1 FROM {parked} p WHERE p.job_id = j.id)),
  (SELECT l.lease FROM {job_logs} l WHERE l.job_id = j.id ORDER BY l.lease DESC LIMIT 1),
  (SELECT l.line_count + l.dropped FROM {job_logs} l WHERE l.job_id = j.id ORDER BY l.lease DESC LIMIT 1)
FROM {jobs} j {by_primary}
WHERE j.id IN (:ids*uuid)

-- How many lines each attempt has kept, and how many it has dropped.
-- name: job_log_sizes
SELECT attempt, lease, line_count, dropped
FROM {job_logs} {by_primary}
WHERE job_id = :id::uuid
ORDER BY lease

-- name: job_rows
SELECT id, task, queue, state, priority, dependency_status, attempt, created_at, run_at, started_at,
       finished_at, parent_id, root_id, depth, spawn_index, unique_key, reason, fraction, note,
       headers, options, workflow_id, worker_id
FROM {job_states}
WHERE id IN (:ids*uuid)

-- name: job_args
SELECT args
FROM {jobs}
WHERE id = :id::uuid

-- name: args_of
SELECT id, args
FROM {jobs}
WHERE id IN (:ids*uuid)

-- How many ready jobs, counted up to n, are claimed before this one.
-- name: ready_ahead
SELECT count(*)
FROM
  (SELECT 1 FROM {ready} {by_primary}
   WHERE queue_id = :queue_id::bigint
     AND (priority_order < :priority_order::bigint
          OR (priority_order = :priority_order::bigint AND job_id < :id::uuid))
   LIMIT :n::bigint) a

-- Not by a join with jobs: the index of the table gives them in this order.
-- macro: ids_in
SELECT s.job_id
FROM {@} s
WHERE (:queue::bigint IS NULL OR s.queue_id = :queue::bigint)
  AND (:task::bigint IS NULL OR s.task_id = :task::bigint)
  AND s.job_id < :before::uuid
ORDER BY s.job_id DESC
LIMIT :n::bigint

-- Of a bounded number of rows, so that a filter that matches few does not read them all. A page
-- that is short goes on behind the last of them.
-- name: ids_any
SELECT a.id
FROM
  (SELECT id, queue_id, task_id FROM {jobs} {by_primary} WHERE id < :before::uuid
   ORDER BY id DESC LIMIT :scanned::bigint) a
WHERE (:queue::bigint IS NULL OR a.queue_id = :queue::bigint)
  AND (:task::bigint IS NULL OR a.task_id = :task::bigint)
ORDER BY a.id DESC
LIMIT :n::bigint

-- name: ids_any_last
SELECT id FROM {jobs} {by_primary} WHERE id < :before::uuid ORDER BY id DESC LIMIT 1 OFFSET :scanned::bigint

-- name: ids_waiting
{ids_in:waiting}

-- name: ids_scheduled
{ids_in:scheduled}

-- name: ids_ready
{ids_in:ready}

-- macro: newest_ready
FROM {ready} {by_primary}
WHERE queue_id = :queue::bigint
  AND (:task::bigint IS NULL OR task_id = :task::bigint)
  AND job_id < :before::uuid

-- macro: newest_of
SELECT * FROM (SELECT job_id {newest_ready} AND priority_order = @ ORDER BY job_id DESC LIMIT :n::bigint) p@

-- Those of one queue: the newest of each priority by the key, and of its lanes.
-- name: ids_ready_in
SELECT job_id
FROM ({newest_of:0} UNION ALL {newest_of:1} UNION ALL {newest_of:2} UNION ALL {newest_of:3} UNION ALL {newest_of:4}
      UNION ALL
      SELECT * FROM (SELECT job_id {newest_ready} AND priority_order > 4 ORDER BY job_id DESC LIMIT :n::bigint) p5) r
ORDER BY job_id DESC
LIMIT :n::bigint

-- The places of the key, each with its newest ready job: the n newest ready jobs are in n of them. Each place by a
-- step or two down the key: to the next order of the queue, or behind the last one (NULL) to the next queue.
-- name: ready_tops
WITH RECURSIVE w (queue_id, priority_order) AS (
  SELECT (SELECT r.queue_id FROM {ready} r ORDER BY r.queue_id LIMIT 1), CAST(-1 AS bigint)
  UNION ALL
  SELECT
    CASE WHEN w.priority_order IS NOT NULL THEN w.queue_id
    ELSE (SELECT r.queue_id FROM {ready} r WHERE r.queue_id > w.queue_id ORDER BY r.queue_id LIMIT 1) END,
    CASE WHEN w.priority_order IS NULL THEN -1
    ELSE (SELECT r.priority_order FROM {ready} r
          WHERE r.queue_id = w.queue_id AND r.priority_order > w.priority_order
          ORDER BY r.priority_order LIMIT 1) END
  FROM w
  WHERE w.queue_id IS NOT NULL)
SELECT t.queue_id, t.priority_order, t.top
FROM
  (SELECT w.queue_id, w.priority_order,
     (SELECT r.job_id FROM {ready} r
      WHERE r.queue_id = w.queue_id AND r.priority_order = w.priority_order AND r.job_id < :before::uuid
      ORDER BY r.job_id DESC LIMIT 1) AS top
   FROM w
   WHERE w.priority_order >= 0) t
WHERE t.top IS NOT NULL
ORDER BY t.top DESC
LIMIT :n::bigint

-- name: ready_newest
SELECT job_id
FROM {ready} {by_primary}
WHERE queue_id = :queue::bigint
  AND priority_order = :priority_order::bigint
  AND job_id < :before::uuid
ORDER BY job_id DESC
LIMIT :n::bigint

-- name: ids_running
{ids_in:leases}

-- name: ids_parked
{ids_in:parked}

-- name: ids_done
SELECT a.job_id
FROM
  (SELECT job_id, state FROM {done} {by_primary} WHERE job_id < :before::uuid
   ORDER BY job_id DESC LIMIT :scanned::bigint) a
WHERE a.state = :state::smallint
  AND ((:queue::bigint IS NULL AND :task::bigint IS NULL)
       OR EXISTS (SELECT 1 FROM {jobs} j {by_primary}
                  WHERE j.id = a.job_id
                    AND (:queue::bigint IS NULL OR j.queue_id = :queue::bigint)
                    AND (:task::bigint IS NULL OR j.task_id = :task::bigint)))
ORDER BY a.job_id DESC
LIMIT :n::bigint

-- name: ids_done_last
SELECT job_id FROM {done} {by_primary} WHERE job_id < :before::uuid ORDER BY job_id DESC LIMIT 1 OFFSET :scanned::bigint

-- Jobs that may be of a trace, newest first: the caller reads their traces.
-- name: ids_traced
WITH found AS {materialized} (
  SELECT id FROM {jobs} {by_trace} WHERE {is_of_trace})
SELECT id
FROM found
WHERE id < :before::uuid
ORDER BY id DESC
LIMIT :n::bigint

-- Jobs that may have a header correlation_id of this value: the caller reads their headers.
-- name: ids_correlated
WITH found AS {materialized} (
  SELECT id FROM {jobs} {by_correlation} WHERE {is_correlated})
SELECT id
FROM found
WHERE id < :before::uuid
ORDER BY id DESC
LIMIT :n::bigint

-- Workflows that may have been given a trace or correlation id: of those with the beginning of it, as the index
-- has it, those that hold all of it.
-- macro: workflows_with
WITH found AS {materialized} (
  SELECT id, options FROM {workflows} {by_workflow_@} WHERE {is_workflow_@})
SELECT id
FROM found
WHERE {position:options} > 0
ORDER BY id DESC
LIMIT :n::bigint

-- name: workflows_traced
{workflows_with:trace}

-- name: workflows_correlated
{workflows_with:correlation}

-- name: nodes_before
SELECT job_id
FROM {nodes}
WHERE workflow_id = :id::uuid
  AND job_id < :before::uuid
ORDER BY job_id DESC
LIMIT :n::bigint
