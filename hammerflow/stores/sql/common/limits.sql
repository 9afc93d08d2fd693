-- Rate and concurrency limits. A job with a limit is ready in a lane of its own: its priority_order is the
-- lane, which is 8 or more (hammerflow/jobs/limit.py), so the claim of other jobs never meets it.

-- macro: order
COALESCE(@.lane, 4 - @.priority)

-- name: jobs_insert_limited
INSERT INTO {jobs} (id, queue_id, priority, task_id, args, options, headers, parent_id, root_id,
                    depth, spawn_index, dependent_id, unique_key, trace, workflow_id, awaits, flags,
                    expires_at, created_at, lane, limit_key)
VALUES (:id::uuid, :queue_id::bigint, :priority::smallint, :task_id::bigint, :args::bytea,
        :options::text, :headers::text, :parent_id::uuid, :root_id::uuid, :depth::smallint,
        :spawn_index::integer, :dependent_id::uuid, :unique_key::text, :trace::text,
        :workflow_id::uuid, :awaits::integer, :flags::smallint,
        COALESCE(:expires_at::timestamptz, {after:expires}), {now}, :lane::bigint, :limit_key::text)

-- The numbers of all limits; and, below 0, the kinds of events that sinks want.
-- name: limits_known
SELECT id
FROM {limits}
UNION ALL
SELECT -wanted
FROM {relay}
WHERE wanted > 0

-- name: limits_all
SELECT id, target, spacing, burst, max_running, declared, given, set_by, set_at
FROM {limits}
ORDER BY target

-- name: limit_row
SELECT declared, given
FROM {limits}
WHERE id = :id::bigint
{for_update}

-- name: limit_insert
INSERT INTO {limits} (id, target)
VALUES (:id::bigint, :target::text)
ON CONFLICT DO NOTHING

-- name: limit_declare
UPDATE {limits}
SET declared = :declared::text, spacing = :spacing::float8, burst = :burst::integer, max_running = :max_running::integer
WHERE id = :id::bigint

-- name: limit_give
UPDATE {limits}
SET given = :given::text, set_by = :set_by::text, set_at = {now}, spacing = :spacing::float8, burst = :burst::integer,
  max_running = :max_running::integer
WHERE id = :id::bigint

-- A start that was far off under the old rate is as near as the new one allows.
-- name: limit_keys_cap
UPDATE {limit_keys}
SET tat = {epoch} + :ahead::float8
WHERE limit_id = :id::bigint
  AND tat > {epoch} + :ahead::float8

-- The lanes of a queue that hold ready jobs, and the first job of each: one step down the key for each
-- lane, however many jobs it has.
-- name: lanes
WITH RECURSIVE found (lane, n) AS (
  SELECT (SELECT r.priority_order FROM {ready} r {by_primary}
          WHERE r.queue_id = :queue_id::bigint
            AND r.priority_order > :after::bigint
            AND r.priority_order < :until::bigint
          ORDER BY r.priority_order LIMIT 1), 1
  UNION ALL
  SELECT (SELECT r.priority_order FROM {ready} r {by_primary}
          WHERE r.queue_id = :queue_id::bigint
            AND r.priority_order > found.lane
            AND r.priority_order < :until::bigint
          ORDER BY r.priority_order LIMIT 1), n + 1
  FROM found WHERE found.lane IS NOT NULL AND n < :most::integer)
SELECT f.lane, (SELECT r.job_id FROM {ready} r {by_primary}
                WHERE r.queue_id = :queue_id::bigint AND r.priority_order = f.lane
                ORDER BY r.job_id LIMIT 1)
FROM found f
WHERE f.lane IS NOT NULL
ORDER BY f.lane

-- name: lane_keys
SELECT id, task_id, limit_key
FROM {jobs} {by_primary}
WHERE id IN (:ids*uuid)

-- name: limit_keys_insert
INSERT INTO {limit_keys} (id, limit_id, name, tat)
VALUES (:id::bigint, :limit_id::bigint, :name::text, 0)
ON CONFLICT DO NOTHING

-- name: limit_keys_read
SELECT k.id, k.limit_id, k.tat - {epoch}, m.spacing, m.burst, m.max_running
FROM {limit_keys} k {by_primary}
LEFT JOIN {limits} m ON m.id = k.limit_id
WHERE k.id IN (:ids*bigint)

-- name: limit_keys_lock
SELECT id, tat
FROM {limit_keys} {by_primary}
WHERE id IN (:ids*bigint)
ORDER BY id
{skip_locked}

-- name: limit_running
SELECT priority_order, count(*)
FROM {leases}
WHERE priority_order >= 8
GROUP BY priority_order

-- name: limit_running_in
SELECT count(*)
FROM {leases}
WHERE queue_id = :queue_id::bigint

-- name: limit_started
SELECT priority_order, count(*)
FROM {leases}
WHERE job_id IN (:ids*uuid)
GROUP BY priority_order

-- By a clock that is not before the start that was just written.
-- name: limit_key_start
UPDATE {limit_keys}
SET tat = CASE WHEN tat > {epoch} THEN tat ELSE {epoch} END + :seconds::float8
WHERE id = :id::bigint

-- name: unlaned
{lane_from_bound}
LIMIT :window::bigint

-- name: jobs_lock
SELECT id, priority
FROM {jobs} {by_primary}
WHERE id IN (:ids*uuid)
ORDER BY id
{skip_locked}

-- name: jobs_set_lane
UPDATE {jobs}
SET lane = :lane::bigint, limit_key = '', flags = flags | 64
WHERE id IN (:ids*uuid)

-- name: job_lanes
SELECT id, lane
FROM {jobs} {by_primary}
WHERE id IN (:ids*uuid)

-- name: limit_waiting
SELECT priority_order, count(*)
FROM
  (SELECT priority_order FROM {ready} {by_primary}
   WHERE queue_id = :queue_id::bigint AND priority_order >= 8
   ORDER BY priority_order, job_id LIMIT :n::bigint) a
GROUP BY priority_order

-- name: limit_keys_all
SELECT id, limit_id, name, tat - {epoch}
FROM {limit_keys}

-- name: limit_keys_named
SELECT k.id, m.target, k.name, k.tat, {epoch}, m.spacing, m.burst, m.max_running
FROM {limit_keys} k {by_primary}
JOIN {limits} m ON m.id = k.limit_id
WHERE k.id IN (:ids*bigint)

-- name: limit_holders
SELECT job_id
FROM {leases}
WHERE priority_order IN (:lanes*bigint)
LIMIT :n::bigint

-- name: limit_holders_in
SELECT job_id
FROM {leases}
WHERE queue_id = :queue_id::bigint
LIMIT :n::bigint

-- Keys of which nothing is known but their names: a claim that meets one writes it again.
-- name: limit_keys_idle
SELECT id
FROM {limit_keys}
WHERE tat < {epoch} - 3600
LIMIT :n::bigint

-- name: limit_keys_drop
DELETE FROM {limit_keys}
WHERE id IN (:ids*bigint)
  AND tat < {epoch}
