-- Searches of jobs by indexes.

-- macro: materialized

-- macro: by_trace
FORCE INDEX ({prefix}jobs_trace)

-- macro: is_of_trace
trace = :trace::text OR trace LIKE :traceparent::text

-- macro: by_correlation
FORCE INDEX ({prefix}jobs_correlation)

-- macro: is_correlated
correlation = :value::text

-- macro: by_workflow_trace
FORCE INDEX ({prefix}workflows_trace)

-- macro: is_workflow_trace
trace = :value::text

-- macro: by_workflow_correlation
FORCE INDEX ({prefix}workflows_correlation)

-- macro: is_workflow_correlation
correlation = :value::text

-- macro: position
instr(@, :text::text)

-- macro: head_pair
concat(hex(@.job_id), ' ', coalesce(@.ready_at, ''))

-- macro: first_of_each
SELECT queue_id, @ AS priority_order, MIN(job_id) AS job_id FROM {ready} WHERE priority_order = @ GROUP BY queue_id

-- Each part reads the key in steps from queue to queue (a loose index scan): four times as fast as six places
-- that are looked up for each queue.
-- name: queue_heads
SELECT q.name, {epoch}, {head_pair:r}
FROM ({first_of_each:0} UNION ALL {first_of_each:1} UNION ALL {first_of_each:2} UNION ALL {first_of_each:3}
  UNION ALL {first_of_each:4}
  UNION ALL
  SELECT l.queue_id, l.priority_order,
    (SELECT f.job_id FROM {ready} f {by_primary}
     WHERE f.queue_id = l.queue_id AND f.priority_order = l.priority_order ORDER BY f.job_id LIMIT 1)
  FROM (SELECT queue_id, MIN(priority_order) AS priority_order FROM {ready} WHERE priority_order > 4 GROUP BY queue_id) l) h
STRAIGHT_JOIN {ready} r {by_primary} ON r.queue_id = h.queue_id AND r.priority_order = h.priority_order AND r.job_id = h.job_id
STRAIGHT_JOIN {queues} q ON q.id = h.queue_id
WHERE NOT EXISTS (SELECT 1 FROM {pauses} p WHERE p.kind = 1 AND p.id = h.queue_id AND p.paused_at IS NOT NULL)

-- All queues with ready jobs, by steps from queue to queue along the key.
-- name: ready_queues
SELECT DISTINCT queue_id
FROM {ready}
ORDER BY queue_id

-- How many jobs of each queue are ready, up to a bound: whether there is one more, else their count.
-- name: ready_counts
SELECT q.id,
  CASE WHEN (SELECT 1 FROM {ready} r {by_primary} WHERE r.queue_id = q.id LIMIT 1 OFFSET :n::bigint) IS NOT NULL
  THEN :n::bigint
  ELSE (SELECT count(*) FROM {ready} c {by_primary} WHERE c.queue_id = q.id) END
FROM {queues} q

-- The same by a loose index scan.
-- name: ready_tops
SELECT queue_id, priority_order, MAX(job_id) AS top
FROM {ready}
WHERE job_id < :before::uuid
GROUP BY queue_id, priority_order
ORDER BY top DESC
LIMIT :n::bigint

-- Likewise: a row for each priority of a queue, and one for its lanes.
-- name: ready_oldest_all
SELECT h.queue_id, {epoch}, j.created_at, NULL
FROM ({first_of_each:0} UNION ALL {first_of_each:1} UNION ALL {first_of_each:2} UNION ALL {first_of_each:3}
  UNION ALL {first_of_each:4}) h
STRAIGHT_JOIN {jobs} j ON j.id = h.job_id
UNION ALL
SELECT l.queue_id, {epoch}, NULL,
  (SELECT f.job_id FROM {ready} f {by_primary}
   WHERE f.queue_id = l.queue_id AND f.priority_order = l.priority_order ORDER BY f.job_id LIMIT 1)
FROM (SELECT queue_id, MIN(priority_order) AS priority_order FROM {ready} WHERE priority_order > 4 GROUP BY queue_id) l

-- name: queues_with_lanes
SELECT queue_id, MIN(priority_order)
FROM {ready}
WHERE priority_order >= 8
GROUP BY queue_id
