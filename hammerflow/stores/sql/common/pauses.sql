-- Pauses, by kind: 0 the whole app, whose id is 0; 1 a queue; 2 a task.

-- macro: is_paused
EXISTS (SELECT 1 FROM {pauses} p {by_primary}
        WHERE p.kind IN (0, 1) AND p.id IN (0, :queue_id::bigint) AND p.paused_at IS NOT NULL)

-- macro: paused_tasks
SELECT id FROM {pauses} WHERE kind = 2 AND paused_at IS NOT NULL

-- name: pause_put
INSERT INTO {pauses} (kind, id, name, paused_at, paused_by, reason)
VALUES (:kind::smallint, :id::bigint, :name::text, {now}, :by::text, :reason::text)
ON CONFLICT (kind, id) DO UPDATE
SET paused_at = excluded.paused_at, paused_by = excluded.paused_by, reason = excluded.reason

-- name: pause_end
UPDATE {pauses}
SET paused_at = NULL, paused_by = NULL, reason = NULL
WHERE kind = :kind::smallint
  AND id = :id::bigint
  AND paused_at IS NOT NULL

-- name: pauses_list
SELECT kind, name, paused_at, paused_by, reason
FROM {pauses}
WHERE paused_at IS NOT NULL
ORDER BY kind, name

-- name: pauses_of
SELECT kind, name, paused_at, paused_by, reason
FROM {pauses}
WHERE paused_at IS NOT NULL
  AND (kind = 0 OR (kind = 1 AND id = :queue_id::bigint) OR (kind = 2 AND id = :task_id::bigint))
ORDER BY kind

-- Jobs of paused tasks that have not started, by queue and state.
-- name: paused_task_counts
SELECT q.name, s.state, count(*)
FROM
  (SELECT queue_id, task_id, 'ready' AS state FROM {ready}
   UNION ALL
   SELECT queue_id, task_id, 'scheduled' FROM {scheduled}) s
JOIN {queues} q ON q.id = s.queue_id
WHERE s.task_id IN ({paused_tasks})
GROUP BY q.name, s.state
