-- Webhooks: secrets, states and failures of endpoints, and the log of deliveries.

-- name: webhooks_list
SELECT s.name, s.config, s.filters, s.app, s.state, s.position, w.state, w.since, w.failures, w.success_at, w.disabled_at,
       w.probe_at, w.reason, w.old_until
FROM {sinks} s
JOIN {webhooks} w ON w.name = s.name
WHERE s.kind = 'webhook'
ORDER BY s.name

-- name: webhook_target
SELECT s.config, w.state, w.probe_at - {epoch}, w.secret,
       CASE WHEN w.old_until > {epoch} THEN w.old_secret END
FROM {sinks} s
JOIN {webhooks} w ON w.name = s.name
WHERE s.kind = 'webhook'
  AND s.name = :name::text

-- name: webhook_lock
SELECT state, since, failures, success_at, probe_at, {epoch}
FROM {webhooks}
WHERE name = :name::text
{for_update}

-- name: webhook_insert
INSERT INTO {webhooks} (name, secret, state, since, failures, changed_by)
VALUES (:name::text, :secret::text, 'enabled', {epoch}, 0, :by::text)

-- name: webhook_rotate
UPDATE {webhooks}
SET old_secret = secret, old_until = {epoch} + :keep::float8, secret = :secret::text, changed_by = :by::text
WHERE name = :name::text

-- name: webhook_succeed
UPDATE {webhooks}
SET failures = 0, success_at = {epoch}
WHERE name = :name::text

-- name: webhook_fail
UPDATE {webhooks}
SET failures = failures + 1
WHERE name = :name::text

-- name: webhook_disable
UPDATE {webhooks}
SET state = 'disabled', disabled_at = {epoch}, probe_at = {epoch} + :probe::float8, reason = :reason::text, changed_by = :by::text
WHERE name = :name::text

-- name: webhook_enable
UPDATE {webhooks}
SET state = 'enabled', since = {epoch}, failures = 0, disabled_at = NULL, probe_at = NULL, reason = NULL, changed_by = :by::text
WHERE name = :name::text

-- One of the deliveries that wait may try again.
-- name: webhook_probe
UPDATE {webhooks}
SET probe_at = {epoch} + :pause::float8
WHERE name = :name::text
  AND state = 'disabled'
  AND probe_at <= {epoch}

-- name: webhook_drop
DELETE FROM {webhooks}
WHERE name = :name::text

-- name: webhook_log_insert
INSERT INTO {webhook_deliveries} (id, endpoint, message, position, attempt, at, status, ms, address, error, answer)
VALUES (:id::uuid, :endpoint::text, :message::text, :position::bigint, :attempt::integer, {epoch}, :status::integer,
        :ms::bigint, :address::text, :error::text, :answer::text)

-- name: webhook_log_page
SELECT id, endpoint, message, position, attempt, at, status, ms, address, error, answer
FROM {webhook_deliveries}
WHERE endpoint = :endpoint::text
ORDER BY id DESC
LIMIT :n::bigint

-- name: webhook_log_drop
DELETE FROM {webhook_deliveries}
WHERE endpoint = :name::text

-- name: webhook_log_prune
DELETE FROM {webhook_deliveries}
WHERE id < :before::uuid
