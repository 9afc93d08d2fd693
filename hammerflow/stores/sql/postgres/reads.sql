-- Searches of jobs by indexes that hold only few of them.

-- macro: materialized
MATERIALIZED

-- macro: by_trace

-- macro: is_of_trace
trace IS NOT NULL AND substr(trace, 4, 32) IN (:keys*text)

-- macro: by_correlation

-- macro: is_correlated
strpos(headers, '"correlation_id":') > 0
  AND left(substring(headers from '"correlation_id":"([^"]*)'), 200) = :value::text

-- macro: by_workflow_trace

-- macro: is_workflow_trace
strpos(options, '"trace_id":"') > 0
  AND left(substring(options from '"trace_id":"([^"]*)'), 200) = :value::text

-- macro: by_workflow_correlation

-- macro: is_workflow_correlation
strpos(options, '"correlation_id":"') > 0
  AND left(substring(options from '"correlation_id":"([^"]*)'), 200) = :value::text

-- macro: position
strpos(@, :text::text)

-- All queues with ready jobs, each by one step down the key; MariaDB would read the whole key for each.
-- name: ready_queues
WITH RECURSIVE w (queue_id) AS (
  (SELECT r.queue_id FROM {ready} r ORDER BY r.queue_id LIMIT 1)
  UNION ALL
  SELECT (SELECT r.queue_id FROM {ready} r WHERE r.queue_id > w.queue_id ORDER BY r.queue_id LIMIT 1)
  FROM w WHERE w.queue_id IS NOT NULL)
SELECT queue_id
FROM w
WHERE queue_id IS NOT NULL

-- How many jobs of each queue are ready, up to a bound. MariaDB knows no q.id that deep.
-- name: ready_counts
SELECT q.id, (SELECT count(*) FROM (SELECT 1 FROM {ready} r WHERE r.queue_id = q.id LIMIT :n::bigint) a)
FROM {queues} q

-- macro: head_pair
replace(@.job_id::text, '-', '') || ' ' || coalesce(@.ready_at::text, '')

-- The first ready job of each place of the key that has any, each by one step down the key, of all lanes of a
-- queue the first: six places that are looked up for each queue cost twice as much, as most of them are empty.
-- name: queue_heads
WITH RECURSIVE w (queue_id, priority_order, job_id, ready_at) AS (
  (SELECT r.queue_id, r.priority_order, r.job_id, r.ready_at
   FROM {ready} r
   ORDER BY r.queue_id, r.priority_order, r.job_id
   LIMIT 1)
  UNION ALL
  SELECT n.queue_id, n.priority_order, n.job_id, n.ready_at
  FROM w, LATERAL (
    SELECT r.queue_id, r.priority_order, r.job_id, r.ready_at
    FROM {ready} r
    WHERE (r.queue_id, r.priority_order)
      > (w.queue_id, CASE WHEN w.priority_order > 4 THEN 9223372036854775807 ELSE w.priority_order END)
    ORDER BY r.queue_id, r.priority_order, r.job_id
    LIMIT 1) n)
SELECT q.name, {epoch}, {head_pair:w}
FROM w
JOIN {queues} q ON q.id = w.queue_id
WHERE NOT EXISTS (SELECT 1 FROM {pauses} p WHERE p.kind = 1 AND p.id = q.id AND p.paused_at IS NOT NULL)
