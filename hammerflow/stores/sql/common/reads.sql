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
SELECT attempt, at, kind, type, message, trace
FROM {errors}
WHERE job_id = :id::uuid
ORDER BY lease, at

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

-- macro: matching_ids
  (:queue::bigint IS NULL OR j.queue_id = :queue::bigint)
  AND (:task::bigint IS NULL OR j.task_id = :task::bigint)
  AND (:before::uuid IS NULL OR j.id < :before::uuid)
ORDER BY j.id DESC
LIMIT :n::bigint

-- macro: ids_in
SELECT j.id
FROM {@} s
JOIN {jobs} j ON j.id = s.job_id
WHERE {matching_ids}

-- name: ids_any
SELECT j.id
FROM {jobs} j
WHERE {matching_ids}

-- name: ids_waiting
{ids_in:waiting}

-- name: ids_scheduled
{ids_in:scheduled}

-- name: ids_ready
{ids_in:ready}

-- name: ids_running
{ids_in:leases}

-- name: ids_parked
{ids_in:parked}

-- name: ids_done
SELECT j.id
FROM {done} s
JOIN {jobs} j ON j.id = s.job_id
WHERE s.state = :state::smallint
  AND {matching_ids}
