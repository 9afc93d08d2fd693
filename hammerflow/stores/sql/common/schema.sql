-- name: migrations_applied
SELECT version FROM {migrations} ORDER BY version

-- name: migration_insert
INSERT INTO {migrations} (version, name, applied_at) VALUES (:version::integer, :name::text, {now})

-- Views before tables, and what refers before what is referred to.
-- name: drop_tables
DROP VIEW IF EXISTS {job_states};
DROP TABLE IF EXISTS {operations};
DROP TABLE IF EXISTS {web_answers};
DROP TABLE IF EXISTS {audit};
DROP TABLE IF EXISTS {web_tokens};
DROP TABLE IF EXISTS {worker_losses};
DROP TABLE IF EXISTS {alert_messages};
DROP TABLE IF EXISTS {alerts};
DROP TABLE IF EXISTS {alert_settings};
DROP TABLE IF EXISTS {alerting};
DROP TABLE IF EXISTS {webhook_deliveries};
DROP TABLE IF EXISTS {webhooks};
DROP TABLE IF EXISTS {sink_errors};
DROP TABLE IF EXISTS {sinks};
DROP TABLE IF EXISTS {relay};
DROP TABLE IF EXISTS {events};
DROP TABLE IF EXISTS {outbox};
DROP TABLE IF EXISTS {schedule_sets};
DROP TABLE IF EXISTS {schedule_ticks};
DROP TABLE IF EXISTS {schedules};
DROP TABLE IF EXISTS {restored};
DROP TABLE IF EXISTS {archive_packs};
DROP TABLE IF EXISTS {archived};
DROP TABLE IF EXISTS {metrics};
DROP TABLE IF EXISTS {statistics_progress};
DROP TABLE IF EXISTS {spawn_statistics};
DROP TABLE IF EXISTS {workflow_statistics};
DROP TABLE IF EXISTS {statistics};
DROP TABLE IF EXISTS {replays};
DROP TABLE IF EXISTS {retention};
DROP TABLE IF EXISTS {progress};
DROP TABLE IF EXISTS {barriers};
DROP TABLE IF EXISTS {nodes};
DROP TABLE IF EXISTS {workflows};
DROP TABLE IF EXISTS {edges};
DROP TABLE IF EXISTS {spawns};
DROP TABLE IF EXISTS {unique_keys};
DROP TABLE IF EXISTS {parked};
DROP TABLE IF EXISTS {errors};
DROP TABLE IF EXISTS {job_logs};
DROP TABLE IF EXISTS {done};
DROP TABLE IF EXISTS {waiting};
DROP TABLE IF EXISTS {scheduled};
DROP TABLE IF EXISTS {leases};
DROP TABLE IF EXISTS {limit_locks};
DROP TABLE IF EXISTS {limit_keys};
DROP TABLE IF EXISTS {limits};
DROP TABLE IF EXISTS {ready};
DROP TABLE IF EXISTS {jobs};
DROP TABLE IF EXISTS {worker_requests};
DROP TABLE IF EXISTS {worker_tasks};
DROP TABLE IF EXISTS {workers};
DROP TABLE IF EXISTS {clients};
DROP TABLE IF EXISTS {pauses};
DROP TABLE IF EXISTS {tasks};
DROP TABLE IF EXISTS {queues};
DROP TABLE IF EXISTS {migrations}

-- Templates for any table: the names behind @ are written in by hammerflow.stores.tables.

-- name: table_read
SELECT @columns FROM @table @order

-- name: table_write
INSERT INTO @table (@columns) VALUES (@values)

-- name: table_any
SELECT 1 FROM @table LIMIT 1

-- name: table_count
SELECT count(*) FROM @table

-- name: table_empty
DELETE FROM @table

-- The pause of the whole app, kind 0, stays.
-- name: pauses_empty
DELETE FROM {pauses} WHERE kind <> 0

-- A copy of the database must not tell the world what the original has told.
-- name: sinks_hold
UPDATE {sinks}
SET state = 'paused', changed_by = :by::text, reason = :reason::text, holder = NULL, term = term + 1
WHERE state = 'running'

-- Nor may it alert; until = 0 marks a target that is paused.
-- name: alert_targets_hold
UPDATE {alert_settings}
SET until = 0, changed_by = :by::text
WHERE part = 'target'
