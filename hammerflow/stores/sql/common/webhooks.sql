-- Webhooks: secrets, states and failures of endpoints, and the log of deliveries.

-- name: webhooks_list
SELECT s.name, s.config, s.filters, s.app, s.state, s.position, w.state, w.since, w.failures, w.success_at, w.disabled_at,
       w.probe_at, w.rest_until, w.reason, CASE WHEN w.old_until > {epoch} THEN w.old_until END, w.delivered, w.failed, w.changed_by
FROM {sinks} s
JOIN {webhooks} w ON w.name = s.name
WHERE s.kind = 'webhook'
ORDER BY s.name

-- name: webhook_target
SELECT s.config, s.app, s.created_at, s.state, w.state, {epoch} - w.disabled_at, w.probe_at - {epoch}, w.rest_until - {epoch},
       w.secret, CASE WHEN w.old_until > {epoch} THEN w.old_secret END
FROM {sinks} s
JOIN {webhooks} w ON w.name = s.name
WHERE s.kind = 'webhook'
  AND s.name = :name::text

-- name: webhook_lock
SELECT state, since, failures, success_at, probe_at, reason, {epoch}
FROM {webhooks}
WHERE name = :name::text
{for_update}

-- name: webhook_insert
INSERT INTO {webhooks} (name, secret, state, since, failures, changed_by, delivered, failed)
VALUES (:name::text, :secret::text, 'enabled', {epoch}, 0, :by::text, 0, 0)

-- name: webhook_rotate
UPDATE {webhooks}
SET old_secret = secret, old_until = {epoch} + :keep::float8, secret = :secret::text
WHERE name = :name::text

-- name: webhook_succeed
UPDATE {webhooks}
SET failures = 0, success_at = {epoch}, rest_until = NULL, delivered = delivered + 1
WHERE name = :name::text

-- name: webhook_fail
UPDATE {webhooks}
SET failures = failures + 1, failed = failed + 1,
  rest_until = CASE WHEN :rest::float8 > 0 THEN {epoch} + :rest::float8 ELSE rest_until END
WHERE name = :name::text

-- name: webhook_disable
UPDATE {webhooks}
SET state = 'disabled', disabled_at = {epoch}, probe_at = {epoch} + :probe::float8, reason = :reason::text, changed_by = :by::text
WHERE name = :name::text

-- name: webhook_enable
UPDATE {webhooks}
SET state = 'enabled', since = {epoch}, failures = 0, disabled_at = NULL, probe_at = NULL, rest_until = NULL, reason = NULL,
  changed_by = :by::text
WHERE name = :name::text

-- A sink that a person has paused, or that has stopped, stays so.
-- name: webhook_pause
UPDATE {sinks}
SET state = 'paused', changed_by = :by::text, reason = :reason::text, holder = NULL, term = term + 1
WHERE name = :name::text
  AND state = 'running'

-- name: webhook_resume
UPDATE {sinks}
SET state = 'running', changed_by = :by::text, reason = '', holder = NULL, term = term + 1, failures = 0, error = NULL
WHERE name = :name::text
  AND state = 'paused'
  AND reason = :reason::text

-- Deliveries that wait, by lane: the first n that are ready, and those among the next n jobs that are scheduled.
-- name: webhook_backlog
SELECT priority_order, count(*)
FROM
  (SELECT r.priority_order FROM
     (SELECT priority_order FROM {ready} {by_primary}
      WHERE queue_id = :queue::bigint AND priority_order >= 8
      ORDER BY priority_order, job_id LIMIT :n::bigint) r
   UNION ALL
   SELECT s.priority_order FROM
     (SELECT queue_id, priority_order FROM {scheduled} ORDER BY run_at, job_id LIMIT :n::bigint) s
   WHERE s.queue_id = :queue::bigint) b
GROUP BY priority_order

-- Deliveries to one endpoint that are to come later.
-- name: webhook_waiting
SELECT job_id
FROM {scheduled}
WHERE queue_id = :queue::bigint
  AND priority_order = :lane::bigint
  AND run_at > {now}
LIMIT :n::bigint

-- name: webhook_release
UPDATE {scheduled}
SET run_at = {now}
WHERE job_id IN (:ids*uuid)
  AND run_at > {now}

-- One of the deliveries that wait may try again.
-- name: webhook_probe
UPDATE {webhooks}
SET probe_at = {epoch} + :pause::float8
WHERE name = :name::text
  AND state = 'disabled'
  AND probe_at <= {epoch}

-- name: webhook_probe_never
UPDATE {webhooks}
SET probe_at = NULL
WHERE name = :name::text

-- name: webhook_drop
DELETE FROM {webhooks}
WHERE name = :name::text

-- name: webhook_log_insert
INSERT INTO {webhook_deliveries} (id, endpoint, message, position, attempt, at, status, ms, address, error, answer)
VALUES (:id::uuid, :endpoint::text, :message::text, :position::bigint, :attempt::integer, {epoch}, :status::integer,
        :ms::bigint, :address::text, :error::text, :answer::text)

-- name: webhook_logged
SELECT id
FROM {webhook_deliveries}
WHERE id = :id::uuid

-- name: webhook_log_page
SELECT id, endpoint, message, position, attempt, at, status, ms, address, error, answer
FROM {webhook_deliveries}
WHERE endpoint = :endpoint::text
  AND id < :before::uuid
ORDER BY id DESC
LIMIT :n::bigint

-- Old rows are deleted page by page; this one begins the next page.
-- name: webhook_log_next
SELECT id
FROM {webhook_deliveries}
WHERE id < :before::uuid
ORDER BY id
LIMIT 1 OFFSET :n::bigint

-- name: webhook_log_prune
DELETE FROM {webhook_deliveries}
WHERE id < :before::uuid

-- name: webhook_log_next_of
SELECT id
FROM {webhook_deliveries}
WHERE endpoint = :name::text
ORDER BY id
LIMIT 1 OFFSET :n::bigint

-- name: webhook_log_drop
DELETE FROM {webhook_deliveries}
WHERE endpoint = :name::text
  AND id < :before::uuid
