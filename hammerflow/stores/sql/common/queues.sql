-- Names of queues and tasks; counts.

-- name: queue_counts
SELECT q.name, p.paused_at, p.paused_by, p.reason,
  (SELECT count(*) FROM {ready} r WHERE r.queue_id = q.id),
  (SELECT count(*) FROM {leases} l WHERE l.queue_id = q.id),
  (SELECT count(*) FROM {scheduled} s WHERE s.queue_id = q.id),
  (SELECT count(*) FROM {waiting} w WHERE w.queue_id = q.id),
  (SELECT count(*) FROM {parked} p WHERE p.queue_id = q.id)
FROM {queues} q
LEFT JOIN {pauses} p ON p.kind = 1 AND p.id = q.id AND p.paused_at IS NOT NULL
ORDER BY q.name

-- Whether a queue rests, because it or the whole app is paused.
-- name: queues_seen
SELECT id, name,
  EXISTS (SELECT 1 FROM {pauses} p
          WHERE p.kind IN (0, 1) AND p.id IN (0, q.id) AND p.paused_at IS NOT NULL)
FROM {queues} q

-- name: queue_names
SELECT id, name
FROM {queues}

-- Which of these names are there; and the kinds of events that sinks want.
-- name: names_present
SELECT 'queue', id FROM {queues} WHERE id IN (:ids*bigint)
UNION ALL
SELECT 'task', id FROM {tasks} WHERE id IN (:ids*bigint)
UNION ALL
SELECT 'wanted', wanted FROM {relay}

-- name: task_list
SELECT t.name, (SELECT count(*) FROM {worker_tasks} w WHERE w.task_id = t.id),
  p.paused_at, p.paused_by, p.reason
FROM {tasks} t
LEFT JOIN {pauses} p ON p.kind = 2 AND p.id = t.id AND p.paused_at IS NOT NULL
ORDER BY t.name

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
