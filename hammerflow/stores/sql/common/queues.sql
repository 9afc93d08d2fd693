-- Names of queues and tasks; paused queues; counts.

-- name: queue_counts
SELECT q.name, q.paused_at, q.paused_by, q.reason,
  (SELECT count(*) FROM {ready} r WHERE r.queue_id = q.id),
  (SELECT count(*) FROM {leases} l WHERE l.queue_id = q.id),
  (SELECT count(*) FROM {scheduled} s WHERE s.queue_id = q.id),
  (SELECT count(*) FROM {waiting} w WHERE w.queue_id = q.id),
  (SELECT count(*) FROM {parked} p WHERE p.queue_id = q.id)
FROM {queues} q
ORDER BY q.name

-- name: queue_paused
SELECT name
FROM {queues}
WHERE paused_at IS NOT NULL

-- name: queues_seen
SELECT id, name, paused_at IS NOT NULL
FROM {queues}

-- name: queue_paused_by
SELECT paused_at, paused_by, reason
FROM {queues}
WHERE id = :id::bigint
  AND paused_at IS NOT NULL

-- name: queue_pause
UPDATE {queues}
SET paused_at = {now}, paused_by = :by::text, reason = :reason::text
WHERE id = :id::bigint

-- name: queue_resume
UPDATE {queues}
SET paused_at = NULL, paused_by = NULL, reason = NULL
WHERE id = :id::bigint

-- name: queue_names
SELECT id, name
FROM {queues}

-- Which of these names are there.
-- name: names_present
SELECT 'queue', id FROM {queues} WHERE id IN (:ids*bigint)
UNION ALL
SELECT 'task', id FROM {tasks} WHERE id IN (:ids*bigint)

-- name: task_names
SELECT id, name
FROM {tasks}

-- name: queue_ensure
INSERT INTO {queues} (id, name)
VALUES (:id::bigint, :name::text)
ON CONFLICT DO NOTHING

-- name: task_ensure
INSERT INTO {tasks} (id, name)
VALUES (:id::bigint, :name::text)
ON CONFLICT DO NOTHING
