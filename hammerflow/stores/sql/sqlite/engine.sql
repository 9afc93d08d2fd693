-- A job without a parent, a workflow or dependencies, as delay() writes it; the values of the second
-- statement are the first four of this one.
-- name: job_insert_plain
INSERT INTO {jobs} (id, queue_id, priority, task_id, args, options, headers, depth, trace, expires_at, created_at)
VALUES (:id::uuid, :queue_id::bigint, :priority::smallint, :task_id::bigint, :args::bytea,
        :options::text, :headers::text, 0, :trace::text,
        COALESCE(:expires_at::timestamptz, {after:expires}), {now})

-- name: ready_insert_plain
INSERT INTO {ready} (job_id, queue_id, priority_order, task_id, lease, attempt)
VALUES (:id::uuid, :queue_id::bigint, 4 - :priority::smallint, :task_id::bigint, 0, 0)

-- The transaction holds the write lock, so rows read in the order of the key can be deleted as a range.
-- macro: claimable
SELECT r.job_id, r.lease + 1, r.attempt + 1, r.task_id, r.queue_id, j.priority, j.args, j.options, j.headers,
       j.parent_id, j.root_id, j.depth, j.spawn_index, j.dependent_id, j.unique_key, j.trace,
       j.workflow_id, j.flags, COALESCE(j.expires_at <= {now}, 0)
FROM {ready} r
JOIN {jobs} j ON j.id = r.job_id
WHERE r.queue_id = :queue_id::bigint
  AND r.task_id IN (:task_ids*bigint)
  AND r.task_id NOT IN ({paused_tasks})
  AND NOT {is_paused}

-- From 8 on an order is a lane of jobs with a limit.
-- name: claim_read
{claimable}
  AND r.priority_order < 8
ORDER BY r.priority_order, r.job_id
LIMIT :n::bigint

-- name: claim_lane
{claimable}
  AND r.priority_order = :lane::bigint
ORDER BY r.job_id
LIMIT :n::bigint

-- Jobs that have been ready since a time in a span; the ids are those that begin and end it.
-- name: claim_part
{claimable}
  AND r.priority_order = :priority_order::bigint
  AND r.job_id < :end::uuid
  AND CASE WHEN r.ready_at IS NULL THEN r.job_id >= :first::uuid
           ELSE r.ready_at >= :since::float8 AND r.ready_at < :until::float8 END
ORDER BY r.job_id
LIMIT :n::bigint

-- macro: any_job
min(job_id)

-- Jobs of several lanes, which have been read before.
-- name: claim_heads
SELECT r.job_id, r.lease + 1, r.attempt + 1, r.task_id, r.queue_id, j.priority, j.args, j.options, j.headers,
       j.parent_id, j.root_id, j.depth, j.spawn_index, j.dependent_id, j.unique_key, j.trace,
       j.workflow_id, j.flags, COALESCE(j.expires_at <= {now}, 0)
FROM {jobs} j
CROSS JOIN {ready} r ON r.queue_id = :queue_id::bigint AND r.priority_order = j.lane AND r.job_id = j.id
WHERE j.id IN (:ids*uuid)
  AND r.task_id IN (:task_ids*bigint)
  AND r.task_id NOT IN ({paused_tasks})
  AND NOT {is_paused}
ORDER BY j.id

-- name: leases_take_lanes
INSERT INTO {leases} (job_id, lease, attempt, worker_id, queue_id, priority_order, task_id, started_at)
SELECT r.job_id, r.lease + 1, r.attempt + 1, :worker_id::bigint, r.queue_id, r.priority_order, r.task_id, {now}
FROM {jobs} j
CROSS JOIN {ready} r ON r.queue_id = :queue_id::bigint AND r.priority_order = j.lane AND r.job_id = j.id
WHERE j.id IN (:ids*uuid)

-- name: ready_delete_lanes
DELETE FROM {ready}
WHERE queue_id = :queue_id::bigint
  AND (priority_order, job_id) IN (SELECT lane, id FROM {jobs} WHERE id IN (:ids*uuid))

-- The rows of lanes that follow each other in the key, in its order.
-- macro: in_lanes
queue_id = :queue_id::bigint
  AND priority_order >= :first_lane::bigint
-- macro: through_lanes
{in_lanes}
  AND (priority_order, job_id) <= (:last_lane::bigint, :last::uuid)
  AND task_id IN (:task_ids*bigint)
  AND task_id NOT IN ({paused_tasks})

-- The lanes of a queue that hold ready jobs: the first job of each with its task, how many of its key run, and
-- of keys that have a row its limit and how far ahead the next start on time is; with a fairness key also the name
-- of the limit's key. One step down the primary key for each lane, however many jobs it has. A lane of better
-- priority, between :above and :top, is there without the rest.
-- name: lanes
WITH RECURSIVE found (lane, n) AS (
  SELECT (SELECT r.priority_order FROM {ready} r
          WHERE r.queue_id = :queue_id::bigint
            AND r.priority_order > :after::bigint
            AND r.priority_order < :until::bigint
          ORDER BY r.priority_order LIMIT 1), 1
  UNION ALL
  SELECT (SELECT r.priority_order FROM {ready} r
          WHERE r.queue_id = :queue_id::bigint
            AND r.priority_order > found.lane
            AND r.priority_order < :until::bigint
          ORDER BY r.priority_order LIMIT 1), n + 1
  FROM found WHERE found.lane IS NOT NULL AND n < :most::integer),
firsts AS (
  SELECT f.lane, (SELECT r.job_id FROM {ready} r
                  WHERE r.queue_id = :queue_id::bigint AND r.priority_order = f.lane
                  ORDER BY r.job_id LIMIT 1) AS job_id
  FROM found f
  WHERE f.lane IS NOT NULL)
SELECT f.lane, f.job_id, k.limit_id, k.tat - {epoch}, {running_of_lane},
       (SELECT r.task_id FROM {ready} r
        WHERE r.queue_id = :queue_id::bigint AND r.priority_order = f.lane AND r.job_id = f.job_id), j.limit_key
FROM firsts f
LEFT JOIN {limit_keys} k ON k.id = {key_of_lane}
LEFT JOIN {jobs} j ON j.id = f.job_id AND (f.lane & 576460752303423488) <> 0
{better_lanes}

-- The first jobs in lanes, and the first one of better priority.
-- name: lane_rows
SELECT * FROM (
  SELECT priority_order, job_id, task_id FROM {ready}
  WHERE queue_id = :queue_id::bigint AND priority_order > :above::bigint AND priority_order < :top::bigint
  ORDER BY priority_order, job_id LIMIT 1)
UNION ALL
SELECT * FROM (
  SELECT priority_order, job_id, task_id FROM {ready}
  WHERE queue_id = :queue_id::bigint AND priority_order > :after::bigint AND priority_order < :until::bigint
  ORDER BY priority_order, job_id LIMIT :rows::bigint)

-- Only the first job of each of these lanes; next to min(), SQLite takes the other columns from the row of the minimum.
-- name: lane_firsts
SELECT * FROM (
  SELECT priority_order, job_id, task_id FROM {ready}
  WHERE queue_id = :queue_id::bigint AND priority_order > :above::bigint AND priority_order < :top::bigint
  ORDER BY priority_order, job_id LIMIT 1)
UNION ALL
SELECT priority_order, min(job_id), task_id FROM (
  SELECT priority_order, job_id, task_id FROM {ready}
  WHERE queue_id = :queue_id::bigint AND priority_order > :after::bigint AND priority_order < :until::bigint
  ORDER BY priority_order, job_id LIMIT :rows::bigint)
GROUP BY priority_order

-- name: lanes_between
SELECT priority_order, job_id
FROM {ready}
WHERE {in_lanes}
  AND priority_order <= :last_lane::bigint
  AND task_id IN (:task_ids*bigint)
  AND task_id NOT IN ({paused_tasks})
ORDER BY priority_order, job_id
LIMIT :n::bigint

-- name: claim_lanes_through
{claimable}
  AND r.priority_order >= :first_lane::bigint
  AND (r.priority_order, r.job_id) <= (:last_lane::bigint, :last::uuid)
ORDER BY r.priority_order, r.job_id

-- name: leases_take_lanes_through
INSERT INTO {leases} (job_id, lease, attempt, worker_id, queue_id, priority_order, task_id, started_at)
SELECT job_id, lease + 1, attempt + 1, :worker_id::bigint, queue_id, priority_order, task_id, {now}
FROM {ready}
WHERE {through_lanes}

-- name: ready_delete_lanes_through
DELETE FROM {ready}
WHERE {through_lanes}

-- name: claim_named
{claimable}
  AND r.priority_order = :priority_order::bigint
  AND r.job_id IN (:ids*uuid)
ORDER BY r.job_id

-- name: ready_delete_through
DELETE FROM {ready}
WHERE queue_id = :queue_id::bigint
  AND priority_order = :priority_order::bigint
  AND job_id <= :last::uuid
  AND task_id IN (:task_ids*bigint)
  AND task_id NOT IN ({paused_tasks})

-- name: leases_take_through
INSERT INTO {leases} (job_id, lease, attempt, worker_id, queue_id, priority_order, task_id, started_at)
SELECT job_id, lease + 1, attempt + 1, :worker_id::bigint, queue_id, priority_order, task_id, {now}
FROM {ready}
WHERE queue_id = :queue_id::bigint
  AND priority_order = :priority_order::bigint
  AND job_id <= :last::uuid
  AND task_id IN (:task_ids*bigint)
  AND task_id NOT IN ({paused_tasks})

-- name: leases_take
INSERT INTO {leases} (job_id, lease, attempt, worker_id, queue_id, priority_order, task_id, started_at)
SELECT job_id, lease + 1, attempt + 1, :worker_id::bigint, queue_id, priority_order, task_id, {now}
FROM {ready}
WHERE queue_id = :queue_id::bigint
  AND priority_order = :priority_order::bigint
  AND job_id IN (:ids*uuid)

-- name: ready_delete
DELETE FROM {ready}
WHERE queue_id = :queue_id::bigint
  AND priority_order = :priority_order::bigint
  AND job_id IN (:ids*uuid)
RETURNING job_id, queue_id, priority_order, task_id, lease, attempt

-- name: leases_lock
SELECT job_id, lease, cancel, flags, started_at
FROM {leases}
WHERE worker_id = :worker_id::bigint
  AND job_id IN (:ids*uuid)

-- Waiting jobs and what depends on them, at any depth; also what does not wait any more. CROSS JOIN
-- keeps the order of the tables, and for a join of all jobs SQLite would build a filter of them first.
-- name: waiting_below
WITH RECURSIVE below (id) AS (
  SELECT job_id FROM {waiting} WHERE job_id IN (:ids*uuid)
  UNION
  SELECT e.child_id FROM below b CROSS JOIN {edges} e ON e.parent_id = b.id
  UNION
  SELECT (SELECT j.dependent_id FROM {jobs} j WHERE j.id = b.id) FROM below b)
SELECT b.id, (SELECT j.workflow_id FROM {jobs} j WHERE j.id = b.id)
FROM below b
WHERE b.id IS NOT NULL
LIMIT :n::bigint

-- name: waiting_lock
SELECT job_id, queue_id, priority_order, task_id, lease, pending, failed, skipped, cause, total, rule, delay, eta,
       workflow_id
FROM {waiting}
WHERE job_id IN (:ids*uuid)

-- name: promote_pick
SELECT job_id, queue_id, priority_order, task_id, lease, attempt
FROM {scheduled}
WHERE run_at <= {now}
ORDER BY run_at, job_id
LIMIT :n::bigint

-- Transactions come one after another, so each gives its events their positions itself.
-- name: relay_count
UPDATE {relay}
SET position = position + :n::integer
WHERE id = 1

-- name: log_append
INSERT INTO {events} (position, first_position, at, pack)
SELECT position, position - :n::integer + 1, {epoch}, :pack::bytea
FROM {relay}
WHERE id = 1
