-- Searches of jobs by indexes that hold only few of them.

-- macro: materialized

-- macro: by_trace
INDEXED BY {prefix}jobs_trace

-- macro: is_of_trace
trace IS NOT NULL AND substr(trace, 4, 32) IN (:keys*text)

-- macro: by_correlation
INDEXED BY {prefix}jobs_correlation

-- macro: is_correlated
instr(headers, '"correlation_id":') > 0
  AND substr(headers, instr(headers, '"correlation_id":') + 18, 200) >= :value::text
  AND substr(headers, instr(headers, '"correlation_id":') + 18, 200) < :end::text

-- macro: by_workflow_trace
INDEXED BY {prefix}workflows_trace

-- macro: is_workflow_trace
instr(options, '"trace_id":"') > 0
  AND substr(options, instr(options, '"trace_id":"') + 12, 200) >= :value::text
  AND substr(options, instr(options, '"trace_id":"') + 12, 200) < :end::text

-- macro: by_workflow_correlation
INDEXED BY {prefix}workflows_correlation

-- macro: is_workflow_correlation
instr(options, '"correlation_id":"') > 0
  AND substr(options, instr(options, '"correlation_id":"') + 18, 200) >= :value::text
  AND substr(options, instr(options, '"correlation_id":"') + 18, 200) < :end::text

-- macro: position
instr(@, :text::text)

-- All queues with ready jobs, each by one step down the key; MariaDB would read the whole key for each.
-- name: ready_queues
WITH RECURSIVE w (queue_id) AS (
  SELECT min(queue_id) FROM {ready}
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
hex(@.job_id) || ' ' || coalesce(@.ready_at, '')
