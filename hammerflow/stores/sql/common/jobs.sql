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
INSERT INTO {ready} (queue_id, priority_order, job_id, task_id, lease, attempt)
VALUES (:queue_id::bigint, :priority_order::smallint, :job_id::uuid, :task_id::bigint,
        :lease::integer, :attempt::integer)

-- name: scheduled_insert
INSERT INTO {scheduled} (run_at, job_id, queue_id, priority_order, task_id, lease, attempt, why)
VALUES (COALESCE(:eta::timestamptz, {after:delay}), :job_id::uuid, :queue_id::bigint,
        :priority_order::smallint, :task_id::bigint, :lease::integer, :attempt::integer, :why::text)

-- name: waiting_insert
INSERT INTO {waiting} (job_id, pending, failed, skipped, total, rule, lease, delay, eta, queue_id, priority_order,
                       task_id, workflow_id, cause)
VALUES (:job_id::uuid, :pending::integer, :failed::integer, :skipped::integer, :total::integer,
        :rule::smallint, :lease::integer, :delay::float8, :eta::timestamptz, :queue_id::bigint,
        :priority_order::smallint, :task_id::bigint, :workflow_id::uuid, :cause::uuid)

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
