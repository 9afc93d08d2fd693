-- Alerts: their rules, targets and mutes, their states, and the messages that are to be sent.

-- name: alerting_begin
INSERT INTO {alerting} (id, until)
SELECT 1, 0
WHERE NOT EXISTS (SELECT 1 FROM {alerting})

-- The turn stays with its holder until it gives it back, or has shown no sign of life for :hold seconds.
-- name: alerting_take
UPDATE {alerting}
SET holder = :holder::bigint, until = {epoch} + :hold::float8
WHERE id = 1
  AND (holder IS NULL OR holder = :holder::bigint OR until < {epoch} OR until > {epoch} + 2 * :hold::float8)

-- name: alerting_give
UPDATE {alerting}
SET holder = NULL
WHERE id = 1
  AND holder = :holder::bigint

-- An evaluation holds this row until its commit; a holder that was frozen finds another one in it.
-- name: alerting_lock
SELECT holder, {epoch}
FROM {alerting}
WHERE id = 1
{for_update}

-- name: alert_settings
SELECT part, name, kind, config, app, changed_by, changed_at, until, sent_at, error
FROM {alert_settings}
ORDER BY part, name

-- name: alert_setting_lock
SELECT kind, config, app, until
FROM {alert_settings}
WHERE part = :part::text
  AND name = :name::text
{for_update}

-- name: alert_setting_insert
INSERT INTO {alert_settings} (part, name, kind, config, app, changed_by, changed_at, until)
VALUES (:part::text, :name::text, :kind::text, :config::text, :app::text, :by::text, {epoch}, :until::float8)

-- name: alert_setting_update
UPDATE {alert_settings}
SET kind = :kind::text, config = :config::text, app = :app::text, changed_by = :by::text, changed_at = {epoch},
  until = :until::float8, error = NULL
WHERE part = :part::text
  AND name = :name::text

-- name: alert_setting_delete
DELETE FROM {alert_settings}
WHERE part = :part::text
  AND name = :name::text

-- name: alert_mutes_expire
DELETE FROM {alert_settings}
WHERE part = 'mute'
  AND until < {epoch}

-- name: alert_target_note
UPDATE {alert_settings}
SET sent_at = CASE WHEN :error::text = '' THEN {epoch} ELSE sent_at END, error = :error::text
WHERE part = 'target'
  AND name = :name::text

-- name: alerts_all
SELECT rule, subject, state, since, severity, value, says, below_since, told, told_at
FROM {alerts}
ORDER BY rule, subject

-- What is told of those that fire, and behind them the mutes: the rule of one is its name, the subject its config.
-- name: alerts_told
SELECT rule, subject, state, since, severity, value, says, below_since, told, told_at
FROM {alerts}
WHERE state = 'firing'
UNION ALL SELECT name, config, 'mute', 0.0, coalesce(changed_by, ''), 0.0, '', until, '', NULL
FROM {alert_settings}
WHERE part = 'mute'

-- name: alerts_firing
SELECT rule, severity, count(*)
FROM {alerts}
WHERE state = 'firing'
GROUP BY rule, severity

-- name: alert_insert
INSERT INTO {alerts} (rule, subject, state, since, severity, value, says, below_since, told, told_at)
VALUES (:rule::text, :subject::text, :state::text, :since::float8, :severity::text, :value::float8, :says::text,
  :below_since::float8, :told::text, :told_at::float8)

-- name: alert_delete
DELETE FROM {alerts}
WHERE rule = :rule::text
  AND subject = :subject::text

-- name: alert_message_insert
INSERT INTO {alert_messages} (id, target, created_at, due_at, tries, body)
VALUES (:id::bigint, :target::text, {epoch}, {epoch}, 0, :body::text)

-- The oldest message of each target is the next one: what comes later waits for it.
-- name: alert_messages_next
SELECT m.id, m.target, {epoch} - m.created_at, m.due_at - {epoch}, m.tries, m.body
FROM {alert_messages} m
ORDER BY m.created_at, m.id
LIMIT 1000

-- Of several processes one sends it; after :hold seconds without an answer another one may.
-- name: alert_message_take
UPDATE {alert_messages}
SET due_at = {epoch} + :hold::float8
WHERE id = :id::bigint
  AND due_at <= {epoch}

-- name: alert_message_delay
UPDATE {alert_messages}
SET due_at = {epoch} + :pause::float8, tries = tries + 1, error = :error::text
WHERE id = :id::bigint

-- name: alert_message_delete
DELETE FROM {alert_messages}
WHERE id = :id::bigint

-- name: alert_messages_drop
DELETE FROM {alert_messages}
WHERE target = :target::text

-- name: alert_messages_waiting
SELECT target, count(*)
FROM {alert_messages}
GROUP BY target

-- Before another loss is noted: an earlier one of the same number, and those of whom no rule asks any more.
-- name: worker_losses_forget
DELETE FROM {worker_losses}
WHERE worker_id = :id::bigint
  OR lost_at < {epoch} - 86400

-- name: worker_loss_insert
INSERT INTO {worker_losses} (worker_id, host, pid, lost_at)
SELECT id, host, pid, {epoch}
FROM {workers}
WHERE id = :id::bigint

-- name: worker_losses
SELECT host, pid, {epoch} - lost_at
FROM {worker_losses}
WHERE lost_at >= {epoch} - :window::float8
