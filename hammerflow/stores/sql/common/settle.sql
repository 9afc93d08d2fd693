-- name: done_insert
INSERT INTO {done} (job_id, finished_at, state, attempt, lease, worker_id, result, reason, result_until)
VALUES (:job_id::uuid, {now}, :state::smallint, :attempt::integer, :lease::integer,
        :worker_id::bigint, :result::bytea, :reason::text, {after:ttl})

-- name: errors_insert
INSERT INTO {errors} (job_id, lease, kind, attempt, at, type, message, trace)
VALUES (:job_id::uuid, :lease::integer, :kind::text, :attempt::integer, {now},
        :type::text, :message::text, :trace::text)

-- name: parked_insert
INSERT INTO {parked} (job_id, at, why, detail, queue_id, priority_order, task_id, lease, attempt)
VALUES (:job_id::uuid, {now}, :why::text, :detail::text, :queue_id::bigint, :priority_order::smallint,
        :task_id::bigint, :lease::integer, :attempt::integer)

-- Losses since the last replay by hand: a replay starts the count anew.
-- name: losses
SELECT e.job_id, count(*) FROM {errors} e
WHERE e.job_id IN (:ids*uuid) AND e.kind = 'lost'
  AND e.lease > COALESCE((SELECT max(r.lease) FROM {errors} r
                          WHERE r.job_id = e.job_id AND r.kind = 'replayed'), -1)
GROUP BY e.job_id

-- name: done_leases
SELECT job_id, lease FROM {done} WHERE job_id IN (:ids*uuid)

-- name: waiting_decrement
UPDATE {waiting} SET pending = pending - :n::integer, failed = failed + :bad::integer,
  skipped = skipped + :skipped::integer, cause = COALESCE(cause, :cause::uuid)
WHERE job_id IN (:ids*uuid)

-- name: waiting_delete
DELETE FROM {waiting} WHERE job_id IN (:ids*uuid)

-- name: ended_links
SELECT id, dependent_id, unique_key, workflow_id, flags FROM {jobs} WHERE id IN (:ids*uuid)

-- A job that never ran because of what it waits for; the cause is the one that failed first.
-- name: skips_insert
INSERT INTO {done} (job_id, finished_at, state, attempt, lease, reason, cause)
VALUES (:job_id::uuid, {now}, :state::smallint, 0, :lease::integer, :reason::text, :cause::uuid)
