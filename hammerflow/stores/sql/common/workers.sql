-- Workers, their heartbeats, and the leases of the dead.

-- name: worker_insert
INSERT INTO {workers} (id, host, pid, started_at, beat_at, info)
VALUES (:id::bigint, :host::text, :pid::integer, {now}, {now}, :info::text)

-- name: worker_beat
UPDATE {workers}
SET beat_at = {now}, beats = beats + 1, watched = 0, state = :state::text
WHERE id = :id::bigint

-- name: worker_tell
UPDATE {workers}
SET info = :info::text
WHERE id = :id::bigint

-- name: worker_delete
DELETE FROM {workers}
WHERE id = :id::bigint

-- name: worker_tasks_insert
INSERT INTO {worker_tasks} (task_id, worker_id, shape)
VALUES (:task_id::bigint, :worker_id::bigint, :shape::text)

-- name: worker_tasks_delete
DELETE FROM {worker_tasks}
WHERE worker_id = :worker_id::bigint

-- Names of the tasks that a worker has registered.
-- name: tasks_of_worker
SELECT t.name
FROM {worker_tasks} w
JOIN {tasks} t ON t.id = w.task_id
WHERE w.worker_id = :worker_id::bigint
ORDER BY t.name

-- What people ask of a worker.
-- name: request_insert
INSERT INTO {worker_requests} (worker_id, id, kind, job_id, detail, asked_by, asked_at)
VALUES (:worker_id::bigint, :id::bigint, :kind::text, :job_id::uuid, :detail::text, :asked_by::text, {now})

-- name: requests_open
SELECT id, kind, job_id, detail, asked_by
FROM {worker_requests}
WHERE worker_id = :worker_id::bigint
  AND answer IS NULL
ORDER BY id

-- name: request_answer
UPDATE {worker_requests}
SET answer = :answer::text
WHERE worker_id = :worker_id::bigint
  AND id = :id::bigint

-- name: request_read
SELECT answer
FROM {worker_requests}
WHERE worker_id = :worker_id::bigint
  AND id = :id::bigint

-- name: request_delete
DELETE FROM {worker_requests}
WHERE worker_id = :worker_id::bigint
  AND id = :id::bigint

-- name: requests_delete
DELETE FROM {worker_requests}
WHERE worker_id = :worker_id::bigint

-- name: workers_all
SELECT id, host, pid, started_at, beat_at, info, {age:beat_at}, state
FROM {workers}
ORDER BY started_at

-- Tasks that more than one live worker has registered.
-- name: tasks_shared
SELECT t.name, w.worker_id
FROM {worker_tasks} w
JOIN {tasks} t ON t.id = w.task_id
WHERE EXISTS (SELECT 1 FROM {worker_tasks} o WHERE o.task_id = w.task_id AND o.worker_id <> w.worker_id)
ORDER BY t.name

-- name: task_workers
SELECT worker_id
FROM {worker_tasks}
WHERE task_id = :task_id::bigint

-- The shapes of a task, that of the worker which came last first.
-- name: task_shapes
SELECT t.shape, {age:beat_at}
FROM {worker_tasks} t
JOIN {workers} w ON w.id = t.worker_id
WHERE t.task_id = :task_id::bigint
ORDER BY w.started_at DESC, w.id DESC
LIMIT 100

-- name: workers_beats
SELECT id, beats, {age:beat_at}, watched
FROM {workers}

-- For how many seconds others have watched a worker that does not beat.
-- name: worker_watched
UPDATE {workers}
SET watched = :seconds::float8
WHERE id = :id::bigint
  AND beats = :beats::bigint
  AND watched < :seconds::float8

-- name: worker_still_dead
SELECT id
FROM {workers}
WHERE id = :id::bigint
  AND beats = :beats::bigint
{skip_locked}

-- name: leases_ownerless
SELECT DISTINCT l.worker_id
FROM {leases} l
WHERE NOT EXISTS (SELECT 1 FROM {workers} w WHERE w.id = l.worker_id)

-- name: worker_leases
SELECT job_id, queue_id, priority_order, task_id, lease, attempt, started_at, cancel
FROM {leases}
WHERE worker_id = :worker_id::bigint
ORDER BY job_id
LIMIT :n::bigint
{skip_locked}

-- name: leases_of_worker
SELECT count(*)
FROM {leases}
WHERE worker_id = :worker_id::bigint

-- name: leases_of_worker_in
SELECT count(*)
FROM {leases}
WHERE worker_id = :worker_id::bigint
  AND queue_id = :queue_id::bigint

-- name: parked_of_tasks
SELECT job_id, queue_id, priority_order, task_id, lease, attempt
FROM {parked}
WHERE why = 'unknown_task'
  AND task_id IN (:task_ids*bigint)
ORDER BY job_id
LIMIT :n::bigint
{skip_locked}

-- name: parked_delete
DELETE FROM {parked}
WHERE job_id IN (:ids*uuid)

-- Ready jobs whose task no worker serves, among the first n of a queue (a backlog is not scanned).
-- name: unserved_head
SELECT h.priority_order, h.job_id
FROM
  (SELECT priority_order, job_id, task_id FROM {ready} WHERE queue_id = :queue_id::bigint
   ORDER BY priority_order, job_id LIMIT :n::bigint) h
WHERE NOT EXISTS (SELECT 1 FROM {worker_tasks} t WHERE t.task_id = h.task_id)

-- name: served_tasks
SELECT DISTINCT task_id
FROM {worker_tasks}
WHERE task_id IN (:task_ids*bigint)

-- name: client_note
INSERT INTO {clients} (id, doorbell, seen_at)
VALUES (:id::bigint, :doorbell::text, {now})
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at

-- name: clients_of
SELECT doorbell
FROM {clients}
WHERE {age:seen_at} < :age::float8
ORDER BY id
