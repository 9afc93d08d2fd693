-- Cancel and retry by hand: each takes the job's row out of the one table that holds it.

-- name: take_scheduled
SELECT job_id, queue_id, priority_order, task_id, lease, attempt
FROM {scheduled}
WHERE job_id = :id::uuid
{for_update}

-- name: drop_scheduled
DELETE FROM {scheduled}
WHERE job_id = :id::uuid

-- name: take_waiting
SELECT job_id, queue_id, priority_order, task_id, lease, 0
FROM {waiting}
WHERE job_id = :id::uuid
{for_update}

-- name: drop_waiting
DELETE FROM {waiting}
WHERE job_id = :id::uuid

-- name: take_parked
SELECT job_id, queue_id, priority_order, task_id, lease, attempt
FROM {parked}
WHERE job_id = :id::uuid
{for_update}

-- name: drop_parked
DELETE FROM {parked}
WHERE job_id = :id::uuid

-- name: job_place
SELECT j.queue_id, {order:j}, j.task_id, j.unique_key, j.dependent_id, j.workflow_id, j.flags
FROM {jobs} j
WHERE id = :id::uuid

-- name: take_ready
SELECT job_id, queue_id, priority_order, task_id, lease, attempt
FROM {ready}
WHERE queue_id = :queue_id::bigint
  AND priority_order = :priority_order::bigint
  AND job_id = :id::uuid
{for_update}

-- name: drop_ready
DELETE FROM {ready}
WHERE queue_id = :queue_id::bigint
  AND priority_order = :priority_order::bigint
  AND job_id = :id::uuid

-- name: take_done
SELECT state, lease, attempt
FROM {done}
WHERE job_id = :id::uuid
{for_update}

-- name: drop_done
DELETE FROM {done}
WHERE job_id = :id::uuid

-- name: leases_cancel
UPDATE {leases}
SET cancel = COALESCE(cancel, :reason::text)
WHERE job_id = :id::uuid

-- name: leases_free
SELECT job_id
FROM {leases}
WHERE job_id IN (:ids*uuid)
ORDER BY job_id
{skip_locked}

-- As leases_free, but it waits for whoever has locked them.
-- name: leases_of_jobs
SELECT job_id
FROM {leases}
WHERE job_id IN (:ids*uuid)
ORDER BY job_id
{for_update}

-- name: leases_existing
SELECT job_id
FROM {leases}
WHERE job_id IN (:ids*uuid)

-- name: lease_cancels
SELECT job_id, cancel
FROM {leases}
WHERE worker_id = :worker_id::bigint
  AND cancel IS NOT NULL

-- name: scheduled_next
SELECT {seconds_until:run_at}
FROM (SELECT min(run_at) AS run_at FROM {scheduled}) s

-- name: scheduled_next_in
SELECT {seconds_until:run_at}
FROM (SELECT min(run_at) AS run_at FROM {scheduled} WHERE queue_id = :queue::bigint) s

-- name: results_expire
UPDATE {done}
SET result = NULL, result_until = NULL
WHERE job_id IN (:ids*uuid)

-- Results whose time is over and that no unfinished workflow or dependent can ask for.
-- name: results_due
SELECT d.job_id
FROM {done} d
JOIN {jobs} j ON j.id = d.job_id
WHERE d.result_until < {now}
  AND NOT EXISTS (SELECT 1 FROM {workflows} w WHERE w.id = j.workflow_id AND w.ended_at IS NULL)
  AND NOT EXISTS (SELECT 1 FROM {jobs} c WHERE c.id = j.dependent_id
                  AND NOT EXISTS (SELECT 1 FROM {done} e WHERE e.job_id = c.id))
  AND NOT EXISTS (SELECT 1 FROM {edges} g JOIN {jobs} c ON c.id = g.child_id
                  WHERE g.parent_id = d.job_id
                    AND NOT EXISTS (SELECT 1 FROM {done} e WHERE e.job_id = c.id))
ORDER BY d.result_until
LIMIT :n::bigint

-- macro: move_in
UPDATE {@}
SET queue_id = :queue_id::bigint, priority_order = :priority_order::bigint
WHERE job_id = :id::uuid

-- name: move_scheduled
{move_in:scheduled}

-- name: move_waiting
{move_in:waiting}

-- name: move_parked
{move_in:parked}

-- name: job_set_place
UPDATE {jobs}
SET queue_id = :queue_id::bigint, priority = :priority::smallint, lane = :lane::bigint,
    limit_key = :limit_key::text, fair_key = :fair_key::text
WHERE id = :id::uuid
