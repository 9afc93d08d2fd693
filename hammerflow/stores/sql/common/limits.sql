-- Rate and concurrency limits. A job with a limit is ready in a lane of its own: its priority_order is the
-- lane, which is 8 or more (hammerflow/jobs/limit.py), so the claim of other jobs never meets it.

-- macro: order
COALESCE(@.lane, 4 - @.priority)

-- The number of a lane's key: what is below the priority.
-- macro: key_of
(@ & 1152921504606846975)

-- macro: key_of_lane
(f.lane & 1152921504606846975)

-- How many jobs of a key run. Only PostgreSQL and SQLite have an index for it.
-- macro: running_of
(SELECT count(*) FROM {leases} WHERE priority_order >= 8 AND {key_of:priority_order} = @.id)

-- name: limit_running_of
SELECT {key_of:priority_order}, count(*)
FROM {leases}
WHERE priority_order >= 8
  AND {key_of:priority_order} IN (:ids*bigint)
GROUP BY 1

-- macro: running_of_lane
(SELECT count(*) FROM {leases} WHERE priority_order >= 8 AND {key_of:priority_order} = {key_of_lane})

-- Of jobs with a fairness key, whose lane does not tell the key of their limit; none unless they are asked for.
-- macro: fair_running
SELECT task_id, name, count(*) AS n
FROM (SELECT l.task_id, (SELECT j.limit_key FROM {jobs} j {by_primary} WHERE j.id = l.job_id) AS name
      FROM {leases} l
      WHERE l.priority_order >= 8
        AND (l.priority_order & 576460752303423488) <> 0
        AND (SELECT :fair::integer) <> 0) h
GROUP BY task_id, name

-- name: jobs_insert_limited
INSERT INTO {jobs} (id, queue_id, priority, task_id, args, options, headers, parent_id, root_id,
                    depth, spawn_index, dependent_id, unique_key, trace, workflow_id, awaits, flags,
                    expires_at, created_at, lane, limit_key, fair_key)
VALUES (:id::uuid, :queue_id::bigint, :priority::smallint, :task_id::bigint, :args::bytea,
        :options::text, :headers::text, :parent_id::uuid, :root_id::uuid, :depth::smallint,
        :spawn_index::integer, :dependent_id::uuid, :unique_key::text, :trace::text,
        :workflow_id::uuid, :awaits::integer, :flags::smallint,
        COALESCE(:expires_at::timestamptz, {after:expires}), {now}, :lane::bigint, :limit_key::text,
        :fair_key::text)

-- The numbers of all limits; and the kinds of events that sinks want, with a burst of -1.
-- name: limits_known
SELECT id, spacing, burst, max_running
FROM {limits}
UNION ALL
SELECT wanted, NULL, -1, NULL
FROM {relay}
WHERE wanted > 0

-- name: limits_all
SELECT id, target, spacing, burst, max_running, declared, given, set_by, set_at
FROM {limits}
ORDER BY target

-- name: limits_declared
SELECT target
FROM {limits}
WHERE declared IS NOT NULL

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

-- The first lane of better priority than those that are asked for, between :above and :top, if there is one.
-- macro: better_lane
SELECT (SELECT r.priority_order FROM {ready} r {by_primary}
        WHERE r.queue_id = :queue_id::bigint
          AND r.priority_order > :above::bigint
          AND r.priority_order < :top::bigint
        ORDER BY r.priority_order LIMIT 1) AS lane

-- macro: better_lanes
UNION ALL
SELECT b.lane, NULL, NULL, NULL, NULL, NULL, NULL
FROM ({better_lane}) b
WHERE b.lane IS NOT NULL

-- Of several lanes each: the first :depth jobs, walked from the one that was its first; another claim may have
-- taken that.
-- name: lane_heads
WITH RECURSIVE found (lane, job_id, n) AS (
  SELECT j.lane, j.id, 0
  FROM {jobs} j {by_primary}
  WHERE j.id IN (:firsts*uuid)
  UNION ALL
  SELECT f.lane, (SELECT r.job_id FROM {ready} r {by_primary}
                  WHERE r.queue_id = :queue_id::bigint AND r.priority_order = f.lane AND r.job_id > f.job_id
                  ORDER BY r.job_id LIMIT 1), f.n + 1
  FROM found f WHERE f.job_id IS NOT NULL AND f.n < :depth::integer)
SELECT f.lane, f.job_id
FROM found f
WHERE f.job_id IS NOT NULL
  AND (f.n > 0 OR EXISTS (SELECT 1 FROM {ready} r {by_primary}
                          WHERE r.queue_id = :queue_id::bigint AND r.priority_order = f.lane AND r.job_id = f.job_id))
ORDER BY f.n, f.job_id

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

-- Who claims jobs of these keys, or changes their rows: one at a time.
-- name: limit_locks_take
SELECT id
FROM {limit_locks} {by_primary}
WHERE id IN (:ids*bigint)
ORDER BY id
{skip_locked}

-- name: limit_locks_wait
SELECT id
FROM {limit_locks} {by_primary}
ORDER BY id
{for_update}

-- Tells claims that began earlier that the keys have changed since.
-- name: limit_locks_turn
UPDATE {limit_locks}
SET version = version + 1

-- (lane, jobs, task and name of the key of one of them) of those that run.
-- macro: running_lanes
SELECT priority_order, count(*) AS n, {any_job} AS job_id
FROM {leases}
WHERE priority_order >= 8
GROUP BY priority_order

-- name: limit_running
SELECT a.priority_order, a.n, j.task_id, j.limit_key
FROM ({running_lanes}) a
JOIN {jobs} j ON j.id = a.job_id

-- name: limit_running_in
SELECT count(*)
FROM {leases}
WHERE queue_id = :queue_id::bigint

-- When the next jobs of these keys may start: :seconds later, by a clock that is not before the start that
-- was just written.
-- name: limit_keys_start
INSERT INTO {limit_keys} (id, limit_id, name, tat)
VALUES (:id::bigint, 0, '', :seconds::float8)
ON CONFLICT (id) DO UPDATE
SET tat = CASE WHEN {limit_keys}.tat > {epoch} THEN {limit_keys}.tat ELSE {epoch} END + excluded.tat

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

-- name: job_set_lane
UPDATE {jobs}
SET lane = :lane::bigint, limit_key = :limit_key::text, fair_key = :fair_key::text
WHERE id = :id::uuid

-- name: job_lanes
SELECT id, lane
FROM {jobs} {by_primary}
WHERE id IN (:ids*uuid)

-- The queues with ready jobs in lanes: a scalar, as an EXISTS may become a join that reads all ready jobs.
-- name: queues_with_lanes
SELECT q.id
FROM {queues} q
WHERE (SELECT r.queue_id FROM {ready} r {by_primary} WHERE r.queue_id = q.id AND r.priority_order >= 8 LIMIT 1) IS NOT NULL

-- The same of those that are ready.
-- name: limit_waiting
SELECT a.priority_order, a.n, j.task_id, j.limit_key
FROM
  (SELECT priority_order, count(*) AS n, {any_job} AS job_id
   FROM
     (SELECT priority_order, job_id FROM {ready} {by_primary}
      WHERE queue_id = :queue_id::bigint AND priority_order >= 8
      ORDER BY priority_order, job_id LIMIT :n::bigint) b
   GROUP BY priority_order) a
JOIN {jobs} j ON j.id = a.job_id

-- name: limit_keys_all
SELECT id, limit_id, name, tat - {epoch}
FROM {limit_keys}

-- name: limits_named
SELECT id, target, spacing, burst, max_running, {epoch}
FROM {limits}
WHERE id IN (:ids*bigint)

-- name: limit_keys_named
SELECT id, limit_id, tat
FROM {limit_keys} {by_primary}
WHERE id IN (:ids*bigint)

-- name: limit_fair_running
{fair_running}

-- name: limit_fair_waiting
SELECT h.task_id, h.name, count(*) AS n
FROM (SELECT r.task_id, (SELECT j.limit_key FROM {jobs} j {by_primary} WHERE j.id = r.job_id) AS name
      FROM {ready} r {by_primary}
      WHERE r.queue_id = :queue_id::bigint
        AND r.priority_order >= 8
        AND (r.priority_order & 576460752303423488) <> 0
      LIMIT :n::bigint) h
GROUP BY h.task_id, h.name

-- name: limit_fair_holders
SELECT l.job_id
FROM {leases} l
WHERE l.priority_order >= 8
  AND (l.priority_order & 576460752303423488) <> 0
  AND l.task_id = :task_id::bigint
  AND (SELECT j.limit_key FROM {jobs} j {by_primary} WHERE j.id = l.job_id) = :limit_key::text
LIMIT :n::bigint

-- Limits that allow no job, whether or not a claim has met their keys.
-- name: limits_closed
SELECT target
FROM {limits}
WHERE id IN (:ids*bigint)
  AND max_running = 0
ORDER BY target

-- name: job_keys
SELECT lane, task_id, limit_key, fair_key
FROM {jobs}
WHERE id = :id::uuid

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

-- Keys of which nothing is known but their names: a claim that meets one under a rate writes it again.
-- name: limit_keys_idle
SELECT id
FROM {limit_keys}
WHERE tat < {epoch} - 3600
  AND limit_id >= 0
LIMIT :n::bigint

-- Limits of batches have numbers below zero.
-- name: limits_of_batches
SELECT target
FROM {limits}
WHERE id < 0

-- name: limits_drop
DELETE FROM {limits}
WHERE id IN (:ids*bigint)

-- name: limit_keys_drop_of
DELETE FROM {limit_keys}
WHERE id IN (:ids*bigint)

-- name: limit_keys_drop
DELETE FROM {limit_keys}
WHERE id IN (:ids*bigint)
  AND tat < {epoch}
