-- A queue or task whose row was deleted is called by its number.
-- macro: numbered
'#' || j.@_id
-- Why a job is parked: the code, which the documents name, and a sentence.
-- macro: parked_because
p.why || ': ' || p.detail

-- The present state of every job; each join uses an index, so a filter by id or parent stays cheap.
-- name: job_states_view
SELECT j.id, COALESCE(t.name, {numbered:task}) AS task, COALESCE(q.name, {numbered:queue}) AS queue, j.priority,
  CASE WHEN d.job_id IS NOT NULL THEN
         CASE d.state WHEN 4 THEN 'completed' WHEN 5 THEN 'failed' WHEN 6 THEN 'cancelled' ELSE 'skipped' END
       WHEN l.job_id IS NOT NULL THEN 'running'
       WHEN r.job_id IS NOT NULL THEN 'ready'
       WHEN s.job_id IS NOT NULL THEN 'scheduled'
       WHEN w.job_id IS NOT NULL THEN 'waiting'
       WHEN p.job_id IS NOT NULL THEN 'parked'
       ELSE 'missing' END AS state,
  CASE WHEN w.job_id IS NOT NULL THEN CASE WHEN w.failed > 0 THEN 'failed' ELSE 'waiting' END
       WHEN j.awaits IS NULL THEN 'none'
       WHEN d.state = 7 OR (d.state = 6 AND d.attempt = 0) THEN 'failed'
       ELSE 'satisfied' END AS dependency_status,
  COALESCE(d.attempt, l.attempt, r.attempt, s.attempt, p.attempt, 0) AS attempt,
  COALESCE(d.lease, l.lease, r.lease, s.lease, p.lease, w.lease, 0) AS lease,
  j.created_at, s.run_at, COALESCE(l.started_at, d.started_at) AS started_at, d.finished_at,
  j.parent_id, j.root_id, j.depth, j.spawn_index, j.unique_key,
  COALESCE(d.reason, {parked_because}, l.cancel) AS reason,
  g.fraction, g.note, j.headers, j.options,
  COALESCE(l.worker_id, d.worker_id) AS worker_id, j.workflow_id, d.cause
FROM {jobs} j
LEFT JOIN {queues} q ON q.id = j.queue_id
LEFT JOIN {tasks} t ON t.id = j.task_id
LEFT JOIN {done} d ON d.job_id = j.id
LEFT JOIN {leases} l ON l.job_id = j.id
LEFT JOIN {ready} r ON r.queue_id = j.queue_id AND r.priority_order = {order:j} AND r.job_id = j.id
LEFT JOIN {scheduled} s ON s.job_id = j.id
LEFT JOIN {waiting} w ON w.job_id = j.id
LEFT JOIN {parked} p ON p.job_id = j.id
LEFT JOIN {progress} g ON g.job_id = j.id
