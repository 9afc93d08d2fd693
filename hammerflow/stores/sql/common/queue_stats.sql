-- What the views of queues show. Every read is bounded: no view counts a table to its end.

-- name: queues_all
SELECT q.id, q.name, p.paused_at, p.paused_by, p.reason
FROM {queues} q
LEFT JOIN {pauses} p ON p.kind = 1 AND p.id = q.id AND p.paused_at IS NOT NULL
ORDER BY q.name

-- The next queue with ready jobs: one step down the key.
-- name: ready_next_queue
SELECT queue_id
FROM {ready} {by_primary}
WHERE queue_id > :after::bigint
ORDER BY queue_id, priority_order, job_id
LIMIT 1

-- name: ready_count
SELECT count(*)
FROM (SELECT 1 FROM {ready} {by_primary} WHERE queue_id = :queue_id::bigint LIMIT :n::bigint) a

-- name: ready_page
SELECT priority_order, job_id
FROM {ready} {by_primary}
WHERE queue_id = :queue_id::bigint
  AND priority_order >= :priority_order::bigint
  AND (priority_order > :priority_order::bigint OR job_id > :id::uuid)
ORDER BY priority_order, job_id
LIMIT :n::bigint

-- macro: first_ready
SELECT * FROM (SELECT job_id FROM {ready} {by_primary} WHERE queue_id = :queue_id::bigint AND priority_order = @
               ORDER BY job_id LIMIT 1) p@

-- Seconds since the oldest ready job of each priority was enqueued; of these the most.
-- name: ready_oldest
SELECT max({age:created_at})
FROM ({first_ready:0} UNION ALL {first_ready:1} UNION ALL {first_ready:2} UNION ALL {first_ready:3}
      UNION ALL {first_ready:4}) r
JOIN {jobs} j ON j.id = r.job_id

-- Not EXISTS: that may become a join, which MariaDB and PostgreSQL then make by reading all ready jobs.
-- macro: has_ready
(SELECT r.queue_id FROM {ready} r {by_primary} WHERE r.queue_id = q.id LIMIT 1) IS NOT NULL

-- macro: created_first
(SELECT j.created_at FROM {jobs} j WHERE j.id = (
  SELECT r.job_id FROM {ready} r {by_primary} WHERE r.queue_id = q.id AND r.priority_order = @ ORDER BY r.job_id LIMIT 1))

-- Of each queue with ready jobs: when the oldest one of each priority was enqueued, and the first of a lane.
-- name: ready_oldest_all
SELECT q.id, {epoch}, {created_first:0}, {created_first:1}, {created_first:2}, {created_first:3}, {created_first:4},
  (SELECT r.job_id FROM {ready} r {by_primary} WHERE r.queue_id = q.id AND r.priority_order > 4
   ORDER BY r.priority_order, r.job_id LIMIT 1)
FROM {queues} q
WHERE {has_ready}

-- macro: by_queue
SELECT queue_id, count(*)
FROM (SELECT queue_id FROM {@} LIMIT :n::bigint) a
GROUP BY queue_id

-- name: by_queue_running
{by_queue:leases}

-- name: by_queue_scheduled
{by_queue:scheduled}

-- name: by_queue_waiting
{by_queue:waiting}

-- name: by_queue_parked
{by_queue:parked}

-- macro: enqueued_between
FROM {jobs}
WHERE id >= :low::uuid
  AND id < :high::uuid
ORDER BY id DESC

-- The newest jobs by the time in their ids.
-- name: enqueued_lately
SELECT queue_id, count(*)
FROM (SELECT queue_id {enqueued_between} LIMIT :n::bigint) a
GROUP BY queue_id

-- The oldest of the n newest.
-- name: enqueued_nth
SELECT id
{enqueued_between}
LIMIT 1 OFFSET :n::bigint

-- When the newest jobs were enqueued, claimed and ended. Not by a join: a planner may read all of done.
-- name: times_lately
SELECT a.created_at,
  (SELECT d.started_at FROM {done} d WHERE d.job_id = a.id),
  (SELECT d.finished_at FROM {done} d WHERE d.job_id = a.id)
FROM (SELECT id, created_at {enqueued_between} LIMIT :n::bigint) a

-- Of each state no more than the bound is counted, along a key.
-- name: state_counts
SELECT 'ready' AS state, count(*) AS jobs
FROM (SELECT 1 FROM {ready} {by_primary} LIMIT :n::bigint) a
UNION ALL SELECT 'running', count(*)
FROM (SELECT 1 FROM {leases} {by_primary} LIMIT :n::bigint) b
UNION ALL SELECT 'scheduled', count(*)
FROM (SELECT 1 FROM {scheduled} {by_primary} LIMIT :n::bigint) c
UNION ALL SELECT 'waiting', count(*)
FROM (SELECT 1 FROM {waiting} {by_primary} LIMIT :n::bigint) d
UNION ALL SELECT 'parked', count(*)
FROM (SELECT 1 FROM {parked} {by_primary} LIMIT :n::bigint) e
UNION ALL SELECT 'paused', count(*) FROM {pauses} WHERE kind <> 0 AND paused_at IS NOT NULL
UNION ALL SELECT 'workers', count(*) FROM {workers}
UNION ALL SELECT 'firing', count(*) FROM {alerts} WHERE state = 'firing'
UNION ALL SELECT 'app_paused', count(*) FROM {pauses} WHERE kind = 0 AND paused_at IS NOT NULL
UNION ALL SELECT 'queues', count(*) FROM {queues}
UNION ALL SELECT 'schedules', count(*) FROM {schedules}
UNION ALL SELECT 'limits', count(*) FROM {limits}
UNION ALL SELECT 'sinks', count(*) FROM {sinks} WHERE kind <> 'webhook'
UNION ALL SELECT 'endpoints_off', count(*) FROM {webhooks} WHERE disabled_at IS NOT NULL

-- macro: head
(SELECT {head_pair:r} FROM {ready} r {by_primary} WHERE r.queue_id = q.id AND r.priority_order = @
 ORDER BY r.job_id LIMIT 1)

-- The first ready job of each priority of each queue that is not paused, and of the first lane: its id as hex,
-- a blank, and since when it is ready where that is later than the time in the id. One text, as each place of
-- the key that is looked up costs the same again.
-- name: queue_heads
SELECT q.name, {epoch}, {head:0}, {head:1}, {head:2}, {head:3}, {head:4},
  (SELECT {head_pair:r} FROM {ready} r {by_primary} WHERE r.queue_id = q.id AND r.priority_order > 4
   ORDER BY r.priority_order, r.job_id LIMIT 1)
FROM {queues} q
WHERE EXISTS (SELECT 1 FROM {ready} r {by_primary} WHERE r.queue_id = q.id)
  AND NOT EXISTS (SELECT 1 FROM {pauses} p WHERE p.kind = 1 AND p.id = q.id AND p.paused_at IS NOT NULL)
