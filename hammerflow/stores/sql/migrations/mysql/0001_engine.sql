-- DDL commits implicitly here, so each statement can be run again (resumable after a crash).
-- Unique keys are bytes (UTF-8): every collation that MariaDB and MySQL share takes 'order-1' and 'order-1 '
-- for equal, utf8mb4_bin too. Names of queues and tasks are distinguished by their ids.
CREATE TABLE IF NOT EXISTS {queues} (id BIGINT PRIMARY KEY, name VARCHAR(255) NOT NULL, retention TEXT) {table};
CREATE TABLE IF NOT EXISTS {tasks} (id BIGINT PRIMARY KEY, name VARCHAR(255) NOT NULL, retention TEXT) {table};
-- The row of the app is always there: claims share a lock on it, and each pause counts its
-- version up, and live says how many hold.
CREATE TABLE IF NOT EXISTS {pauses} (kind SMALLINT NOT NULL, id BIGINT NOT NULL, name VARCHAR(255) NOT NULL,
  paused_at DATETIME(6), paused_by TEXT, reason TEXT,
  version INTEGER NOT NULL DEFAULT 0, live INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (kind, id)) {table};
INSERT IGNORE INTO {pauses} (kind, id, name) VALUES (0, 0, '');
CREATE TABLE IF NOT EXISTS {clients} (id BIGINT PRIMARY KEY, doorbell LONGTEXT NOT NULL, seen_at DATETIME(6) NOT NULL) {table};
CREATE TABLE IF NOT EXISTS {workers} (id BIGINT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL,
  started_at DATETIME(6) NOT NULL, beat_at DATETIME(6) NOT NULL, beats BIGINT NOT NULL DEFAULT 0, watched DOUBLE NOT NULL DEFAULT 0, info LONGTEXT NOT NULL,
  state LONGTEXT) {table};
CREATE TABLE IF NOT EXISTS {worker_tasks} (task_id BIGINT NOT NULL, worker_id BIGINT NOT NULL, shape TEXT,
  PRIMARY KEY (task_id, worker_id), KEY (worker_id)) {table};
CREATE TABLE IF NOT EXISTS {worker_requests} (worker_id BIGINT NOT NULL, id BIGINT NOT NULL, kind TEXT NOT NULL,
  job_id BINARY(16), detail LONGTEXT, asked_by TEXT NOT NULL, asked_at DATETIME(6) NOT NULL, answer LONGTEXT,
  PRIMARY KEY (worker_id, id)) {table};
-- No index leaves rows out here: jobs without a header correlation_id are in theirs with NULL. The column is
-- stored, as indexes of virtual ones are purged by evaluating them.
CREATE TABLE IF NOT EXISTS {jobs} (
  id BINARY(16) PRIMARY KEY, queue_id BIGINT NOT NULL, priority SMALLINT NOT NULL, task_id BIGINT NOT NULL,
  args LONGBLOB NOT NULL, options LONGTEXT, headers LONGTEXT, parent_id BINARY(16), root_id BINARY(16),
  depth SMALLINT NOT NULL, spawn_index INTEGER, dependent_id BINARY(16), unique_key VARCHAR(255), trace TEXT,
  workflow_id BINARY(16), awaits INTEGER, flags SMALLINT NOT NULL DEFAULT 0, lane BIGINT, limit_key TEXT, fair_key TEXT,
  expires_at DATETIME(6), created_at DATETIME(6) NOT NULL,
  correlation VARCHAR(200) AS (IF(instr(headers,'"correlation_id":"') > 0,left(substring_index(
    substring(headers,instr(headers,'"correlation_id":"') + 18),'"',1),200),NULL)) STORED,
  UNIQUE KEY {prefix}jobs_children (parent_id, spawn_index), INDEX {prefix}jobs_trace (trace(52)),
  INDEX {prefix}jobs_correlation (correlation)) {table};
CREATE TABLE IF NOT EXISTS {ready} (
  queue_id BIGINT NOT NULL, priority_order BIGINT NOT NULL, job_id BINARY(16) NOT NULL, task_id BIGINT NOT NULL,
  lease INTEGER NOT NULL, attempt INTEGER NOT NULL, ready_at DOUBLE,
  PRIMARY KEY (queue_id, priority_order, job_id)) {table};
CREATE TABLE IF NOT EXISTS {leases} (
  worker_id BIGINT NOT NULL, job_id BINARY(16) NOT NULL, lease INTEGER NOT NULL, attempt INTEGER NOT NULL,
  queue_id BIGINT NOT NULL, priority_order BIGINT NOT NULL, task_id BIGINT NOT NULL,
  started_at DATETIME(6) NOT NULL, flags SMALLINT NOT NULL DEFAULT 0, cancel TEXT,
  PRIMARY KEY (worker_id, job_id), UNIQUE KEY {prefix}leases_job (job_id)) {table};
CREATE TABLE IF NOT EXISTS {limits} (
  id BIGINT PRIMARY KEY, target TEXT NOT NULL, spacing DOUBLE, burst INTEGER, max_running INTEGER, declared TEXT,
  given TEXT, set_by TEXT, set_at DATETIME(6)) {table};
CREATE TABLE IF NOT EXISTS {limit_keys} (
  id BIGINT PRIMARY KEY, limit_id BIGINT NOT NULL, name TEXT NOT NULL, tat DOUBLE NOT NULL) {table};
CREATE TABLE IF NOT EXISTS {limit_locks} (id SMALLINT PRIMARY KEY, version BIGINT NOT NULL DEFAULT 0) {table};
INSERT IGNORE INTO {limit_locks} (id)
WITH RECURSIVE locks (id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM locks WHERE id < 255) SELECT id FROM locks;
CREATE TABLE IF NOT EXISTS {scheduled} (
  run_at DATETIME(6) NOT NULL, job_id BINARY(16) NOT NULL, queue_id BIGINT NOT NULL, priority_order BIGINT NOT NULL,
  task_id BIGINT NOT NULL, lease INTEGER NOT NULL, attempt INTEGER NOT NULL, why VARCHAR(16) NOT NULL,
  PRIMARY KEY (run_at, job_id), UNIQUE KEY {prefix}scheduled_job (job_id)) {table};
CREATE TABLE IF NOT EXISTS {waiting} (
  job_id BINARY(16) PRIMARY KEY, pending INTEGER NOT NULL, failed INTEGER NOT NULL, skipped INTEGER NOT NULL,
  total INTEGER NOT NULL, rule SMALLINT NOT NULL, lease INTEGER NOT NULL, delay DOUBLE, eta DATETIME(6),
  queue_id BIGINT NOT NULL, priority_order BIGINT NOT NULL, task_id BIGINT NOT NULL, workflow_id BINARY(16),
  cause BINARY(16)) {table};
CREATE TABLE IF NOT EXISTS {done} (
  job_id BINARY(16) PRIMARY KEY, started_at DATETIME(6), finished_at DATETIME(6) NOT NULL, state SMALLINT NOT NULL,
  attempt INTEGER NOT NULL, lease INTEGER NOT NULL, worker_id BIGINT, result LONGBLOB, reason TEXT,
  result_until DATETIME(6), cause BINARY(16), KEY {prefix}done_finished (finished_at),
  KEY {prefix}done_results (result_until)) {table};
CREATE TABLE IF NOT EXISTS {errors} (
  job_id BINARY(16) NOT NULL, lease INTEGER NOT NULL, kind VARCHAR(16) NOT NULL, attempt INTEGER NOT NULL,
  at DATETIME(6) NOT NULL, started_at DATETIME(6), worker_id BIGINT, type TEXT NOT NULL,
  message LONGTEXT NOT NULL, trace LONGTEXT NOT NULL, PRIMARY KEY (job_id, lease, kind)) {table};
CREATE TABLE IF NOT EXISTS {job_logs} (
  job_id BINARY(16) NOT NULL, lease INTEGER NOT NULL, attempt INTEGER NOT NULL, line_count INTEGER NOT NULL,
  dropped INTEGER NOT NULL, data MEDIUMBLOB NOT NULL, PRIMARY KEY (job_id, lease)) {table};
CREATE TABLE IF NOT EXISTS {parked} (
  job_id BINARY(16) PRIMARY KEY, at DATETIME(6) NOT NULL, why VARCHAR(32) NOT NULL, detail LONGTEXT NOT NULL,
  queue_id BIGINT NOT NULL, priority_order BIGINT NOT NULL, task_id BIGINT NOT NULL, lease INTEGER NOT NULL,
  attempt INTEGER NOT NULL) {table};
CREATE TABLE IF NOT EXISTS {unique_keys} (ukey VARBINARY(1020) PRIMARY KEY, job_id BINARY(16) NOT NULL,
  until DATETIME(6), latest DATETIME(6), KEY {prefix}unique_until (until)) {table};
CREATE TABLE IF NOT EXISTS {spawns} (
  parent_id BINARY(16) NOT NULL, lease INTEGER NOT NULL, requested INTEGER NOT NULL, spawned INTEGER NOT NULL,
  started_at DATETIME(6) NOT NULL, ended_at DATETIME(6) NOT NULL, handler TEXT NOT NULL, operation_id TEXT,
  metadata LONGTEXT, error TEXT, PRIMARY KEY (parent_id, lease), KEY {prefix}spawns_ended (ended_at)) {table};
CREATE TABLE IF NOT EXISTS {edges} (
  parent_id BINARY(16) NOT NULL, child_id BINARY(16) NOT NULL, kind SMALLINT NOT NULL,
  PRIMARY KEY (parent_id, child_id), KEY {prefix}edges_child (child_id)) {table};
CREATE TABLE IF NOT EXISTS {workflows} (
  id BINARY(16) PRIMARY KEY, parent_id BINARY(16), dependent_id BINARY(16), created_at DATETIME(6) NOT NULL,
  ended_at DATETIME(6), deadline_at DATETIME(6), check_at DATETIME(6), check_every DOUBLE,
  failures INTEGER NOT NULL, status SMALLINT NOT NULL, policy SMALLINT NOT NULL, collects SMALLINT NOT NULL,
  flags SMALLINT NOT NULL, kind VARCHAR(16) NOT NULL, name TEXT NOT NULL, options LONGTEXT, reason TEXT,
  health TEXT,
  trace VARCHAR(200) AS (IF(instr(options,'"trace_id":"') > 0,left(substring_index(
    substring(options,instr(options,'"trace_id":"') + 12),'"',1),200),NULL)) STORED,
  correlation VARCHAR(200) AS (IF(instr(options,'"correlation_id":"') > 0,left(substring_index(
    substring(options,instr(options,'"correlation_id":"') + 18),'"',1),200),NULL)) STORED,
  INDEX {prefix}workflows_trace (trace), INDEX {prefix}workflows_correlation (correlation),
  KEY {prefix}workflows_parent (parent_id), KEY {prefix}workflows_deadline (deadline_at),
  KEY {prefix}workflows_check (check_at), KEY {prefix}workflows_ended (ended_at)) {table};
CREATE TABLE IF NOT EXISTS {nodes} (
  workflow_id BINARY(16) NOT NULL, job_id BINARY(16) NOT NULL, position INTEGER, name TEXT,
  PRIMARY KEY (workflow_id, job_id)) {table};
CREATE TABLE IF NOT EXISTS {barriers} (
  id BINARY(16) PRIMARY KEY, pending INTEGER NOT NULL, failed INTEGER NOT NULL) {table};
CREATE TABLE IF NOT EXISTS {progress} (job_id BINARY(16) PRIMARY KEY, at DATETIME(6) NOT NULL,
  fraction DOUBLE NOT NULL, note TEXT NOT NULL) {table};
CREATE TABLE IF NOT EXISTS {schedules} (
  id BIGINT PRIMARY KEY, name VARCHAR(255) NOT NULL, app VARCHAR(255) NOT NULL, code LONGTEXT, edit LONGTEXT,
  anchor DATETIME(6) NOT NULL, created_at DATETIME(6) NOT NULL, edited_at DATETIME(6), edited_by TEXT,
  next_at DATETIME(6), look_at DATETIME(6), paused_at DATETIME(6), paused_by TEXT, reason TEXT,
  disabled_since DATETIME(6), trouble TEXT, last_tick DATETIME(6), last_outcome VARCHAR(16), last_run BINARY(16),
  earlier_run BINARY(16), missed BIGINT NOT NULL DEFAULT 0, other_runs TEXT, KEY {prefix}schedules_due (look_at)) {table};
CREATE TABLE IF NOT EXISTS {schedule_ticks} (
  schedule_id BIGINT NOT NULL, tick DATETIME(6) NOT NULL, at DATETIME(6) NOT NULL, outcome VARCHAR(16) NOT NULL,
  run BINARY(16), missed BIGINT NOT NULL, detail TEXT, PRIMARY KEY (schedule_id, tick),
  KEY {prefix}schedule_ticks_tick (tick)) {table};
CREATE TABLE IF NOT EXISTS {schedule_sets} (
  app_id BIGINT NOT NULL, version BIGINT NOT NULL, declared_at DATETIME(6) NOT NULL, turn INTEGER NOT NULL,
  PRIMARY KEY (app_id, version)) {table};
CREATE TABLE IF NOT EXISTS {retention} (id SMALLINT PRIMARY KEY, due_at DATETIME(6) NOT NULL,
  position BINARY(16), removed BIGINT NOT NULL, archived BIGINT NOT NULL DEFAULT 0,
  restored BIGINT NOT NULL DEFAULT 0, purged BIGINT NOT NULL DEFAULT 0, walked_at DATETIME(6)) {table};
CREATE TABLE IF NOT EXISTS {archived} (id BINARY(16) PRIMARY KEY, pack_id BINARY(16) NOT NULL, group_id BINARY(16) NOT NULL,
  task_id BIGINT, queue_id BIGINT, ended_at DATETIME(6) NOT NULL, size INTEGER NOT NULL, state SMALLINT NOT NULL,
  root_id BINARY(16), workflow_id BINARY(16), KEY {prefix}archived_group (group_id)) {table};
CREATE TABLE IF NOT EXISTS {archive_packs} (id BINARY(16) NOT NULL, piece INTEGER NOT NULL, archived_at DATETIME(6) NOT NULL,
  data LONGBLOB NOT NULL, PRIMARY KEY (id, piece)) {table};
CREATE TABLE IF NOT EXISTS {restored} (id BINARY(16) PRIMARY KEY, until DATETIME(6) NOT NULL) {table};
CREATE TABLE IF NOT EXISTS {statistics} (
  span INTEGER NOT NULL, begin BIGINT NOT NULL, task_id BIGINT NOT NULL, queue_id BIGINT NOT NULL, state SMALLINT NOT NULL,
  jobs BIGINT NOT NULL, run_seconds DOUBLE NOT NULL, wait_seconds DOUBLE NOT NULL, runs BLOB NOT NULL, waits BLOB NOT NULL,
  PRIMARY KEY (span, begin, task_id, queue_id, state)) {table};
-- The same of runs of spawners.
CREATE TABLE IF NOT EXISTS {spawn_statistics} (
  span INTEGER NOT NULL, begin BIGINT NOT NULL, handler LONGTEXT NOT NULL, queue_id BIGINT, operations BIGINT NOT NULL, failures BIGINT NOT NULL,
  requested BIGINT NOT NULL, children BIGINT NOT NULL, most BIGINT NOT NULL, seconds DOUBLE NOT NULL, longest DOUBLE NOT NULL, INDEX {prefix}spawn_statistics_time (span, begin)) {table};
-- The same of workflows, by kind and name; state is one of WorkflowState.
CREATE TABLE IF NOT EXISTS {workflow_statistics} (
  span INTEGER NOT NULL, begin BIGINT NOT NULL, kind VARCHAR(16) NOT NULL, name TEXT NOT NULL, state SMALLINT NOT NULL,
  runs BIGINT NOT NULL, seconds DOUBLE NOT NULL, times LONGBLOB NOT NULL, INDEX {prefix}workflow_statistics_time (span, begin)) {table};
CREATE TABLE IF NOT EXISTS {statistics_progress} (id SMALLINT PRIMARY KEY, due_at DATETIME(6) NOT NULL,
  counted_to BIGINT NOT NULL, final_to BIGINT NOT NULL) {table};
CREATE TABLE IF NOT EXISTS {metrics} (id SMALLINT PRIMARY KEY, holder BIGINT, until DOUBLE NOT NULL, counted_to BIGINT NOT NULL,
  totals LONGTEXT NOT NULL) {table};
CREATE TABLE IF NOT EXISTS {replays} (
  operation_id BINARY(16) NOT NULL, job_id BINARY(16) NOT NULL, at DATETIME(6) NOT NULL, lease INTEGER NOT NULL, attempt INTEGER NOT NULL,
  state SMALLINT, replayed_by TEXT NOT NULL, reason TEXT, detail LONGTEXT, PRIMARY KEY (operation_id, job_id), KEY {prefix}replays_job (job_id)) {table};
-- Events: a row of outbox for each transaction, which the relay moves to the log; a row of the log holds the
-- positions from first_position to position. Transactions of SQLite, which come one after another, write the log.
CREATE TABLE IF NOT EXISTS {outbox} (seq BIGINT AUTO_INCREMENT PRIMARY KEY, at DOUBLE NOT NULL, n INTEGER NOT NULL,
  pack LONGBLOB NOT NULL) {table};
CREATE TABLE IF NOT EXISTS {events} (position BIGINT PRIMARY KEY, first_position BIGINT NOT NULL, at DOUBLE NOT NULL,
  pack LONGBLOB NOT NULL) {table};
-- One row: the last position, the kinds of events that sinks want (bits), and which process moves them.
CREATE TABLE IF NOT EXISTS {relay} (id INTEGER PRIMARY KEY, position BIGINT NOT NULL, wanted BIGINT NOT NULL, holder BIGINT,
  until DOUBLE) {table};
CREATE TABLE IF NOT EXISTS {sinks} (
  name VARCHAR(255) PRIMARY KEY, kind VARCHAR(64) NOT NULL, config LONGTEXT NOT NULL, filters LONGTEXT NOT NULL, app VARCHAR(255) NOT NULL,
  wanted BIGINT NOT NULL, position BIGINT NOT NULL, state VARCHAR(16) NOT NULL, created_at DOUBLE NOT NULL, changed_by LONGTEXT,
  reason LONGTEXT, holder BIGINT, term BIGINT NOT NULL, until DOUBLE, sent BIGINT NOT NULL, sent_at DOUBLE, failures INTEGER NOT NULL,
  error LONGTEXT, error_at DOUBLE, gap_from BIGINT, gap_to BIGINT,
  delivered BIGINT NOT NULL DEFAULT 0) {table};
CREATE TABLE IF NOT EXISTS {sink_errors} (
  sink VARCHAR(255) NOT NULL, position BIGINT NOT NULL, at DOUBLE NOT NULL, kind INTEGER NOT NULL, id BINARY(16) NOT NULL,
  error LONGTEXT NOT NULL, body LONGTEXT NOT NULL, PRIMARY KEY (sink, position)) {table};
-- Webhooks: what a sink of that kind has besides, and the log of its deliveries.
CREATE TABLE IF NOT EXISTS {webhooks} (
  name VARCHAR(255) PRIMARY KEY, secret LONGTEXT NOT NULL, old_secret LONGTEXT, old_until DOUBLE, state VARCHAR(16) NOT NULL,
  since DOUBLE NOT NULL, failures INTEGER NOT NULL, success_at DOUBLE, disabled_at DOUBLE, probe_at DOUBLE, rest_until DOUBLE,
  reason LONGTEXT, changed_by LONGTEXT, delivered BIGINT NOT NULL, failed BIGINT NOT NULL) {table};
CREATE TABLE IF NOT EXISTS {webhook_deliveries} (
  id BINARY(16) PRIMARY KEY, endpoint VARCHAR(255) NOT NULL, message VARCHAR(255) NOT NULL, position BIGINT NOT NULL,
  attempt INTEGER NOT NULL, at DOUBLE NOT NULL, status INTEGER, ms BIGINT NOT NULL, address VARCHAR(255), error LONGTEXT,
  answer LONGTEXT NOT NULL, INDEX webhook_deliveries_endpoint (endpoint, id)) {table};
-- Alerts: one row says which process evaluates them.
CREATE TABLE IF NOT EXISTS {alerting} (id SMALLINT PRIMARY KEY, holder BIGINT, until DOUBLE NOT NULL) {table};
CREATE TABLE IF NOT EXISTS {alert_settings} (
  part VARCHAR(16) NOT NULL, name VARCHAR(255) NOT NULL, kind VARCHAR(255) NOT NULL, config LONGTEXT NOT NULL, app VARCHAR(255) NOT NULL, changed_by LONGTEXT,
  changed_at DOUBLE NOT NULL, until DOUBLE, sent_at DOUBLE, error LONGTEXT, PRIMARY KEY (part, name)) {table};
CREATE TABLE IF NOT EXISTS {alerts} (
  rule VARCHAR(255) NOT NULL, subject VARCHAR(255) NOT NULL, state VARCHAR(16) NOT NULL, since DOUBLE NOT NULL, severity VARCHAR(16) NOT NULL,
  value DOUBLE NOT NULL, says LONGTEXT NOT NULL, below_since DOUBLE, told VARCHAR(16) NOT NULL, told_at DOUBLE, PRIMARY KEY (rule, subject)) {table};
CREATE TABLE IF NOT EXISTS {alert_messages} (
  id BIGINT PRIMARY KEY, target VARCHAR(255) NOT NULL, created_at DOUBLE NOT NULL, due_at DOUBLE NOT NULL, tries INTEGER NOT NULL,
  error LONGTEXT, body LONGTEXT NOT NULL) {table};
CREATE TABLE IF NOT EXISTS {worker_losses} (worker_id BIGINT PRIMARY KEY, host LONGTEXT NOT NULL, pid INTEGER NOT NULL, lost_at DOUBLE NOT NULL) {table};
INSERT IGNORE INTO {relay} (id, position, wanted) VALUES (1, 0, 0);
CREATE TABLE IF NOT EXISTS {web_tokens} (
  id BINARY(16) PRIMARY KEY, name VARCHAR(255) NOT NULL, hash VARCHAR(64) NOT NULL UNIQUE, role SMALLINT NOT NULL,
  sees_values SMALLINT NOT NULL, created_at DOUBLE NOT NULL, created_by LONGTEXT NOT NULL, expires_at DOUBLE, revoked_at DOUBLE,
  used_at DOUBLE) {table};
CREATE TABLE IF NOT EXISTS {audit} (
  id BINARY(16) PRIMARY KEY, at DOUBLE NOT NULL, who LONGTEXT NOT NULL, address LONGTEXT NOT NULL, action VARCHAR(255) NOT NULL,
  target LONGTEXT NOT NULL, details LONGTEXT NOT NULL, outcome LONGTEXT) {table};
CREATE TABLE IF NOT EXISTS {web_answers} (
  hash VARCHAR(64) PRIMARY KEY, body VARCHAR(64) NOT NULL, until DOUBLE NOT NULL, status SMALLINT, answer LONGTEXT) {table};
CREATE TABLE IF NOT EXISTS {operations} (
  id BINARY(16) PRIMARY KEY, action VARCHAR(64) NOT NULL, made_by LONGTEXT NOT NULL, wanted LONGTEXT NOT NULL, at DOUBLE NOT NULL,
  beat_at DOUBLE NOT NULL, state VARCHAR(16) NOT NULL, total BIGINT NOT NULL, done BIGINT NOT NULL, failed BIGINT NOT NULL,
  error LONGTEXT) {table};
CREATE OR REPLACE VIEW {job_states} AS {view};
