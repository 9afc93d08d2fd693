-- The log of events: what transactions write, and the relay that gives positions.

-- name: events_wanted
SELECT wanted
FROM {relay}

-- name: outbox_insert
INSERT INTO {outbox} (at, n, pack)
VALUES ({epoch}, :n::integer, :pack::bytea)

-- name: relay_begin
INSERT INTO {relay} (id, position, wanted)
SELECT 1, COALESCE(max(position), 0), 0
FROM {events}

-- The relay that holds this row moves the next rows; another one waits for it.
-- name: relay_lock
SELECT position
FROM {relay}
WHERE id = 1
{for_update}

-- Not from a mark on: a row whose transaction took long is committed after younger ones, and may be the
-- cause of what those tell.
-- name: outbox_read
SELECT seq, at, n, pack
FROM {outbox}
ORDER BY seq
LIMIT :n::bigint

-- name: outbox_delete
DELETE FROM {outbox}
WHERE seq IN (:seqs*bigint)

-- name: outbox_any
SELECT 1
FROM {outbox}
LIMIT 1

-- What an idle relay asks, in one statement.
-- name: relay_look
SELECT position, CASE WHEN EXISTS (SELECT 1 FROM {outbox}) THEN 1 ELSE 0 END
FROM {relay}

-- name: outbox_size
SELECT count(*)
FROM
  (SELECT 1 FROM {outbox} LIMIT 10001) o

-- name: events_insert
INSERT INTO {events} (position, first_position, at, pack)
VALUES (:position::bigint, :first_position::bigint, :at::float8, :pack::bytea)

-- name: relay_move
UPDATE {relay}
SET position = :position::bigint
WHERE id = 1

-- Of competing processes one moves rows, for :hold seconds from its last sign of life. A time that is further
-- ahead was written before the clock was set back; so it is with every hold.
-- name: relay_take
UPDATE {relay}
SET holder = :holder::bigint, until = {epoch} + :hold::float8
WHERE id = 1
  AND (holder IS NULL OR holder = :holder::bigint OR until < {epoch} OR until > {epoch} + 2 * :hold::float8)

-- name: relay_give
UPDATE {relay}
SET holder = NULL
WHERE id = 1
  AND holder = :holder::bigint

-- name: relay_row
SELECT position, wanted, holder, until - {epoch}
FROM {relay}

-- name: relay_want
UPDATE {relay}
SET wanted = :wanted::bigint
WHERE id = 1

-- Up to the row that holds the position :last, or the first row behind it.
-- name: events_after
SELECT position, first_position, at, pack
FROM {events}
WHERE position > :after::bigint
  AND position <= COALESCE(
    (SELECT min(position) FROM {events} WHERE position >= :last::bigint),
    9223372036854775807)
ORDER BY position

-- name: events_first
SELECT first_position, at
FROM {events}
ORDER BY position
LIMIT 1

-- name: events_at
SELECT first_position, position, at
FROM {events}
WHERE position >= :position::bigint
ORDER BY position
LIMIT 1

-- Of the last rows before a position, the first one that is of this time or later.
-- name: events_at_before
SELECT first_position
FROM
  (SELECT position, first_position, at FROM {events} WHERE position < :position::bigint
   ORDER BY position DESC LIMIT :n::bigint) e
WHERE at >= :at::float8
ORDER BY position
LIMIT 1

-- name: events_before
SELECT position, first_position, at, pack
FROM {events}
WHERE first_position < :before::bigint
ORDER BY position DESC
LIMIT :n::bigint

-- name: events_oldest
SELECT position, at
FROM {events}
ORDER BY position
LIMIT :n::bigint

-- name: events_prune
DELETE FROM {events}
WHERE position <= :position::bigint

-- What events of jobs tell; an end is of the event only if it has the same lease.
-- name: event_jobs
SELECT j.id, j.queue_id, j.task_id, j.priority, j.headers, j.parent_id, j.root_id, j.workflow_id, j.created_at,
       j.trace, d.lease, d.started_at, d.finished_at, d.reason, d.cause, d.worker_id
FROM {jobs} j
LEFT JOIN {done} d ON d.job_id = j.id
WHERE j.id IN (:ids*uuid)

-- name: event_errors
SELECT job_id, lease, kind, type, substr(message, 1, 2000)
FROM {errors}
WHERE job_id IN (:ids*uuid)

-- What is larger is not read: a batch of events may be of hundreds of jobs.
-- name: event_args
SELECT j.id, CASE WHEN length(j.args) <= :args::bigint THEN j.args END, d.lease,
       CASE WHEN length(d.result) <= :result::bigint THEN d.result END
FROM {jobs} j
LEFT JOIN {done} d ON d.job_id = j.id
WHERE j.id IN (:ids*uuid)

-- name: event_spawns
SELECT parent_id, lease, requested, spawned, handler, operation_id, metadata
FROM {spawns}
WHERE parent_id IN (:ids*uuid)

-- name: sinks_all
SELECT name, kind, config, filters, app, position, state, created_at, changed_by, reason, holder, term,
       until - {epoch}, sent, sent_at, failures, error, error_at, gap_from, gap_to
FROM {sinks}
ORDER BY name

-- name: sink_lock
SELECT kind, config, filters, app, position, state
FROM {sinks}
WHERE name = :name::text
{for_update}

-- name: sink_insert
INSERT INTO {sinks} (name, kind, config, filters, app, wanted, position, state, created_at, changed_by, term, sent, failures)
VALUES (:name::text, :kind::text, :config::text, :filters::text, :app::text, :wanted::bigint, :position::bigint,
        'running', {epoch}, :by::text, 0, 0, 0)

-- A new term fences the process that holds the sink.
-- name: sink_define
UPDATE {sinks}
SET kind = :kind::text, config = :config::text, filters = :filters::text, app = :app::text, wanted = :wanted::bigint,
  changed_by = :by::text, holder = NULL, term = term + 1, delivered = 0
WHERE name = :name::text

-- name: sink_set_state
UPDATE {sinks}
SET state = :state::text, changed_by = :by::text, reason = :reason::text, holder = NULL, term = term + 1, failures = 0,
  error = NULL
WHERE name = :name::text

-- name: sink_rewind
UPDATE {sinks}
SET position = :position::bigint, changed_by = :by::text, holder = NULL, term = term + 1, gap_from = NULL, gap_to = NULL,
  delivered = 0
WHERE name = :name::text

-- name: sink_delete
DELETE FROM {sinks}
WHERE name = :name::text

-- name: sink_take
UPDATE {sinks}
SET holder = :holder::bigint, until = {epoch} + :hold::float8, term = term + 1
WHERE name = :name::text
  AND state = 'running'
  AND (holder IS NULL OR until < {epoch} OR until > {epoch} + 2 * :hold::float8)

-- name: sink_taken
SELECT term, position, delivered
FROM {sinks}
WHERE name = :name::text
  AND holder = :holder::bigint

-- name: sink_renew
UPDATE {sinks}
SET until = {epoch} + :hold::float8
WHERE name = :name::text
  AND holder = :holder::bigint
  AND term = :term::bigint

-- name: sink_give
UPDATE {sinks}
SET holder = NULL
WHERE name = :name::text
  AND holder = :holder::bigint
  AND term = :term::bigint

-- name: sink_give_all
UPDATE {sinks}
SET holder = NULL
WHERE holder = :holder::bigint

-- Moved once the events are delivered, by their holder alone: a process that was frozen has an old term.
-- name: sink_advance
UPDATE {sinks}
SET position = :position::bigint, sent = sent + :sent::bigint, sent_at = {epoch}, failures = 0, error = NULL,
  until = {epoch} + :hold::float8, delivered = :delivered::bigint
WHERE name = :name::text
  AND term = :term::bigint
  AND position < :position::bigint

-- name: sink_fail
UPDATE {sinks}
SET failures = failures + 1, error = :error::text, error_at = {epoch}, until = {epoch} + :hold::float8
WHERE name = :name::text
  AND term = :term::bigint

-- name: sink_stop
UPDATE {sinks}
SET state = 'stopped', reason = :reason::text, error = :reason::text, error_at = {epoch}, holder = NULL
WHERE name = :name::text
  AND term = :term::bigint

-- name: sink_gap
UPDATE {sinks}
SET gap_from = :first::bigint, gap_to = :last::bigint
WHERE name = :name::text
  AND term = :term::bigint

-- name: sink_error_insert
INSERT INTO {sink_errors} (sink, position, at, kind, id, error, body)
VALUES (:sink::text, :position::bigint, {epoch}, :kind::integer, :id::uuid, :error::text, :body::text)

-- name: sink_errors_drop
DELETE FROM {sink_errors}
WHERE sink = :name::text
  AND position > :position::bigint

-- name: sink_errors_of
SELECT position, at, kind, id, error, body
FROM {sink_errors}
WHERE sink = :name::text
ORDER BY position DESC
LIMIT :n::bigint

-- name: sink_error_counts
SELECT sink, count(*)
FROM {sink_errors}
GROUP BY sink

-- name: sinks_wanted
SELECT wanted
FROM {sinks}

-- The slowest sink that runs or is paused keeps the events that it has not read.
-- name: sinks_floor
SELECT min(position)
FROM {sinks}
WHERE state <> 'stopped'
