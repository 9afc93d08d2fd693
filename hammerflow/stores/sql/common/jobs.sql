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
VALUES (:job_id::uuid, :queue_id::bigint, :priority_order::bigint, :task_id::bigint,
        :lease::integer, :attempt::integer)

-- A job that becomes ready after its insert: its id does not tell since when.
-- name: ready_insert_later
INSERT INTO {ready} (job_id, queue_id, priority_order, task_id, lease, attempt, ready_at)
VALUES (:job_id::uuid, :queue_id::bigint, :priority_order::bigint, :task_id::bigint,
        :lease::integer, :attempt::integer, {epoch})

-- A job that was changed where it was ready: it has waited since then.
-- name: ready_insert_since
INSERT INTO {ready} (job_id, queue_id, priority_order, task_id, lease, attempt, ready_at)
VALUES (:job_id::uuid, :queue_id::bigint, :priority_order::bigint, :task_id::bigint,
        :lease::integer, :attempt::integer, :ready_at::float8)

-- name: scheduled_insert
INSERT INTO {scheduled} (job_id, queue_id, priority_order, task_id, lease, attempt, why, run_at)
VALUES (:job_id::uuid, :queue_id::bigint, :priority_order::bigint, :task_id::bigint,
        :lease::integer, :attempt::integer, :why::text,
        COALESCE(:eta::timestamptz, {after:delay}))

-- name: waiting_insert
INSERT INTO {waiting} (job_id, queue_id, priority_order, task_id, lease, pending, failed, skipped, cause,
                       total, rule, delay, eta, workflow_id)
VALUES (:job_id::uuid, :queue_id::bigint, :priority_order::bigint, :task_id::bigint,
        :lease::integer, :pending::integer, :failed::integer, :skipped::integer, :cause::uuid,
        :total::integer, :rule::smallint, :delay::float8, :eta::timestamptz, :workflow_id::uuid)

-- name: jobs_existing
SELECT id
FROM {jobs}
WHERE id IN (:ids*uuid)

-- name: jobs_missing
SELECT id
FROM {job_states}
WHERE id IN (:ids*uuid)
  AND state = 'missing'

-- name: unique_holders
SELECT ukey, job_id
FROM {unique_keys}
WHERE ukey IN (:ukeys*text)

-- Who holds these keys now, for views.
-- name: unique_held
SELECT ukey, job_id
FROM {unique_keys}
WHERE ukey IN (:ukeys*text)
  AND (until IS NULL OR until > {now})

-- name: unique_release
DELETE FROM {unique_keys}
WHERE ukey IN (:ukeys*text)
  AND job_id IN (:ids*uuid)

-- name: unique_insert
INSERT INTO {unique_keys} (ukey, job_id)
VALUES (:ukey::text, :job_id::uuid)
ON CONFLICT DO NOTHING

-- Takes a key for a job; until an instant, where its rule has a period.
-- name: unique_take
INSERT INTO {unique_keys} (ukey, job_id, until, latest)
VALUES (:ukey::text, :job_id::uuid, {after:within}, {after:max_wait})
ON CONFLICT DO NOTHING

-- name: unique_rows
SELECT ukey, job_id, CASE WHEN until <= {now} THEN 1 ELSE 0 END, -({age:latest})
FROM {unique_keys}
WHERE ukey IN (:ukeys*text)

-- name: unique_take_over
UPDATE {unique_keys}
SET job_id = :job_id::uuid, until = {after:within}, latest = {after:max_wait}
WHERE ukey = :ukey::text
  AND job_id = :holder::uuid

-- name: unique_over
SELECT ukey
FROM {unique_keys}
WHERE until <= {now}
LIMIT :n::bigint

-- name: unique_drop
DELETE FROM {unique_keys}
WHERE ukey IN (:ukeys*text)
  AND until <= {now}

-- name: job_new_call
UPDATE {jobs}
SET args = :args::bytea, options = :options::text, headers = :headers::text,
    expires_at = COALESCE(:expires_at::timestamptz, {after:expires})
WHERE id = :id::uuid

-- name: state_of
SELECT state
FROM {job_states}
WHERE id = :id::uuid

-- macro: ready_head
(SELECT r.job_id FROM {ready} r {by_primary}
 WHERE r.queue_id = :queue_id::bigint AND r.priority_order = @ AND r.job_id >= :bookmark@::uuid
   AND r.task_id IN (:task_ids*bigint) AND r.task_id NOT IN ({paused_tasks})
 ORDER BY r.job_id LIMIT 1)

-- The first job of each priority, outside of lanes.
-- name: ready_heads
SELECT {ready_head:0}, {ready_head:1}, {ready_head:2}, {ready_head:3}, {ready_head:4}

-- name: ready_since
SELECT ready_at
FROM {ready} {by_primary}
WHERE queue_id = :queue_id::bigint
  AND priority_order = :priority_order::bigint
  AND job_id = :id::uuid

-- macro: aged_head
(SELECT r.job_id FROM {ready} r {by_primary}
 WHERE r.queue_id = :queue_id::bigint AND r.priority_order = @ AND r.job_id < :end::uuid
   AND (r.ready_at IS NULL OR r.ready_at <= :until::float8)
   AND r.task_id IN (:task_ids*bigint) AND r.task_id NOT IN ({paused_tasks})
 ORDER BY r.job_id LIMIT 1)

-- The first job of each priority but the best that has been ready since that time or longer.
-- name: ready_aged
SELECT {aged_head:1}, {aged_head:2}, {aged_head:3}, {aged_head:4}

-- macro: first_of_part
SELECT * FROM
  (SELECT r.priority_order, r.job_id FROM {ready} r {by_primary}
   WHERE r.queue_id = :queue_id::bigint AND r.priority_order = @ AND r.job_id >= :bookmark@::uuid
     AND r.job_id < :end@::uuid AND (r.ready_at IS NULL OR r.ready_at < :until@::float8)
     AND r.task_id IN (:task_ids*bigint) AND r.task_id NOT IN ({paused_tasks})
   ORDER BY r.job_id LIMIT :n::bigint) p@

-- The priorities of the oldest jobs among those that were ready before a time, another one for each.
-- name: ready_oldest_of_parts
SELECT priority_order
FROM ({first_of_part:0} UNION ALL {first_of_part:1} UNION ALL {first_of_part:2} UNION ALL {first_of_part:3}
      UNION ALL {first_of_part:4}) a
ORDER BY job_id
LIMIT :n::bigint

-- How long ago a job was inserted, by the database's clock.
-- name: job_age
SELECT {age:created_at}
FROM {jobs}
WHERE id = :id::uuid

-- macro: lane_from_bound
SELECT job_id, task_id
FROM {ready} {by_primary}
WHERE queue_id = :queue_id::bigint
  AND priority_order = :priority_order::bigint
  AND job_id >= :bound::uuid
ORDER BY job_id

-- The jobs of a lane, among the first with ids from the bound on, that were inserted so long ago; where
-- priorities are strict, none while there is a job of a better one.
-- name: strays
SELECT r.job_id
FROM
  ({lane_from_bound}
   LIMIT :window::bigint) r
JOIN {jobs} j {by_primary} ON j.id = r.job_id
WHERE {age:created_at} >= :age::float8
  AND r.task_id IN (:task_ids*bigint)
  AND r.task_id NOT IN ({paused_tasks})
  AND (:is_strict::integer = 0 OR NOT EXISTS
    (SELECT 1 FROM {ready} b {by_primary}
     WHERE b.queue_id = :queue_id::bigint
       AND b.priority_order < :priority_order::bigint
       AND b.task_id IN (:task_ids*bigint)
       AND b.task_id NOT IN ({paused_tasks})))
ORDER BY created_at, r.job_id
LIMIT :n::bigint

-- name: strays_next
{lane_from_bound}
LIMIT 1 OFFSET :window::bigint
