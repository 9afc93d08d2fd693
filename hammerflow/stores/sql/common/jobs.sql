-- New jobs, each into the table of its first state, and jobs that become due.

-- name: scheduled_delete
DELETE FROM {scheduled}
WHERE job_id IN (:ids*uuid)

-- name: jobs_insert
INSERT INTO {jobs} (id, queue_id, priority, task_id, args, options, headers, parent_id, root_id,
                    depth, spawn_index, dependent_id, unique_key, trace, workflow_id, awaits, flags,
                    expires_at, created_at)
VALUES (:id::uuid, :queue_id::bigint, :priority::smallint, :task_id::bigint, :args::bytea,
        :options::text, :headers::text, :parent_id::uuid, :root_id::uuid, :depth::smallint,
        :spawn_index::integer, :dependent_id::uuid, :unique_key::text, :trace::text,
        :workflow_id::uuid, :awaits::integer, :flags::smallint,
        COALESCE(:expires_at::timestamptz, {after:expires}), {now})

-- name: ready_insert
INSERT INTO {ready} (job_id, queue_id, priority_order, task_id, lease, attempt)
VALUES (:job_id::uuid, :queue_id::bigint, :priority_order::smallint, :task_id::bigint,
        :lease::integer, :attempt::integer)

-- name: scheduled_insert
INSERT INTO {scheduled} (job_id, queue_id, priority_order, task_id, lease, attempt, why, run_at)
VALUES (:job_id::uuid, :queue_id::bigint, :priority_order::smallint, :task_id::bigint,
        :lease::integer, :attempt::integer, :why::text,
        COALESCE(:eta::timestamptz, {after:delay}))

-- name: waiting_insert
INSERT INTO {waiting} (job_id, queue_id, priority_order, task_id, lease, pending, failed, skipped, cause,
                       total, rule, delay, eta, workflow_id)
VALUES (:job_id::uuid, :queue_id::bigint, :priority_order::smallint, :task_id::bigint,
        :lease::integer, :pending::integer, :failed::integer, :skipped::integer, :cause::uuid,
        :total::integer, :rule::smallint, :delay::float8, :eta::timestamptz, :workflow_id::uuid)

-- name: jobs_existing
SELECT id
FROM {jobs}
WHERE id IN (:ids*uuid)

-- name: unique_holders
SELECT ukey, job_id
FROM {unique_keys}
WHERE ukey IN (:ukeys*text)

-- name: unique_release
DELETE FROM {unique_keys}
WHERE ukey IN (:ukeys*text)
  AND job_id IN (:ids*uuid)

-- name: unique_insert
INSERT INTO {unique_keys} (ukey, job_id)
VALUES (:ukey::text, :job_id::uuid)
ON CONFLICT DO NOTHING
