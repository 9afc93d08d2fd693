-- Times are REAL seconds since 1970 (UTC); ids are the 16 bytes of a UUID.
CREATE TABLE IF NOT EXISTS {queues} (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, retention TEXT);
CREATE TABLE IF NOT EXISTS {tasks} (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, retention TEXT);
CREATE TABLE IF NOT EXISTS {pauses} (kind INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT NOT NULL, paused_at REAL,
  paused_by TEXT, reason TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {clients} (id INTEGER PRIMARY KEY, doorbell TEXT NOT NULL, seen_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS {workers} (
  id INTEGER PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL,
  started_at REAL NOT NULL, beat_at REAL NOT NULL, beats INTEGER NOT NULL DEFAULT 0, watched REAL NOT NULL DEFAULT 0, info TEXT NOT NULL, state TEXT);
CREATE TABLE IF NOT EXISTS {worker_tasks} (
  task_id INTEGER NOT NULL, worker_id INTEGER NOT NULL, shape TEXT,
  PRIMARY KEY (task_id, worker_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {worker_requests} (
  worker_id INTEGER NOT NULL, id INTEGER NOT NULL, kind TEXT NOT NULL, job_id BLOB, detail TEXT,
  asked_by TEXT NOT NULL, asked_at REAL NOT NULL, answer TEXT, PRIMARY KEY (worker_id, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {jobs} (
  id BLOB PRIMARY KEY, queue_id INTEGER NOT NULL, priority INTEGER NOT NULL, task_id INTEGER NOT NULL,
  args BLOB NOT NULL, options TEXT, headers TEXT, parent_id BLOB, root_id BLOB,
  depth INTEGER NOT NULL, spawn_index INTEGER, dependent_id BLOB, unique_key TEXT, trace TEXT,
  workflow_id BLOB, awaits INTEGER, flags INTEGER NOT NULL DEFAULT 0, expires_at REAL, created_at REAL NOT NULL,
  lane INTEGER, limit_key TEXT, fair_key TEXT) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS {prefix}jobs_children ON {jobs} (parent_id, spawn_index)
  WHERE parent_id IS NOT NULL;
-- Only rows that carry what is searched are in these indexes. Of a W3C traceparent the characters 4 to 35 are
-- the id of the trace.
CREATE INDEX IF NOT EXISTS {prefix}jobs_trace ON {jobs} (substr(trace, 4, 32)) WHERE trace IS NOT NULL;
CREATE INDEX IF NOT EXISTS {prefix}jobs_correlation ON {jobs} (substr(headers, instr(headers, '"correlation_id":') + 18, 200))
  WHERE instr(headers, '"correlation_id":') > 0;
CREATE TABLE IF NOT EXISTS {ready} (
  queue_id INTEGER NOT NULL, priority_order INTEGER NOT NULL, job_id BLOB NOT NULL, task_id INTEGER NOT NULL,
  lease INTEGER NOT NULL, attempt INTEGER NOT NULL, ready_at REAL,
  PRIMARY KEY (queue_id, priority_order, job_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {leases} (
  job_id BLOB PRIMARY KEY, lease INTEGER NOT NULL, attempt INTEGER NOT NULL, worker_id INTEGER NOT NULL,
  queue_id INTEGER NOT NULL, priority_order INTEGER NOT NULL, task_id INTEGER NOT NULL,
  started_at REAL NOT NULL, flags INTEGER NOT NULL DEFAULT 0, cancel TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {prefix}leases_lane ON {leases} ((priority_order & 1152921504606846975)) WHERE priority_order >= 8;
CREATE TABLE IF NOT EXISTS {limits} (
  id INTEGER PRIMARY KEY, target TEXT NOT NULL, spacing REAL, burst INTEGER, max_running INTEGER, declared TEXT,
  given TEXT, set_by TEXT, set_at REAL);
CREATE TABLE IF NOT EXISTS {limit_keys} (
  id INTEGER PRIMARY KEY, limit_id INTEGER NOT NULL, name TEXT NOT NULL, tat REAL NOT NULL);
CREATE TABLE IF NOT EXISTS {limit_locks} (id INTEGER PRIMARY KEY, version INTEGER NOT NULL DEFAULT 0);
WITH RECURSIVE locks (id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM locks WHERE id < 255)
INSERT OR IGNORE INTO {limit_locks} (id) SELECT id FROM locks;
CREATE TABLE IF NOT EXISTS {scheduled} (
  run_at REAL NOT NULL, job_id BLOB NOT NULL UNIQUE, queue_id INTEGER NOT NULL, priority_order INTEGER NOT NULL,
  task_id INTEGER NOT NULL, lease INTEGER NOT NULL, attempt INTEGER NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (run_at, job_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {waiting} (
  job_id BLOB PRIMARY KEY, pending INTEGER NOT NULL, failed INTEGER NOT NULL, skipped INTEGER NOT NULL,
  total INTEGER NOT NULL, rule INTEGER NOT NULL, lease INTEGER NOT NULL, delay REAL, eta REAL,
  queue_id INTEGER NOT NULL, priority_order INTEGER NOT NULL, task_id INTEGER NOT NULL, workflow_id BLOB,
  cause BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {done} (
  job_id BLOB PRIMARY KEY, started_at REAL, finished_at REAL NOT NULL, state INTEGER NOT NULL, attempt INTEGER NOT NULL,
  lease INTEGER NOT NULL, worker_id INTEGER, result BLOB, reason TEXT, result_until REAL,
  cause BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {prefix}done_finished ON {done} (finished_at);
CREATE INDEX IF NOT EXISTS {prefix}done_results ON {done} (result_until)
  WHERE result_until IS NOT NULL;
CREATE TABLE IF NOT EXISTS {errors} (
  job_id BLOB NOT NULL, lease INTEGER NOT NULL, kind TEXT NOT NULL, attempt INTEGER NOT NULL,
  at REAL NOT NULL, started_at REAL, worker_id INTEGER, type TEXT NOT NULL, message TEXT NOT NULL,
  trace TEXT NOT NULL, PRIMARY KEY (job_id, lease, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {job_logs} (
  job_id BLOB NOT NULL, lease INTEGER NOT NULL, attempt INTEGER NOT NULL, line_count INTEGER NOT NULL,
  dropped INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (job_id, lease)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {parked} (
  job_id BLOB PRIMARY KEY, at REAL NOT NULL, why TEXT NOT NULL, detail TEXT NOT NULL,
  queue_id INTEGER NOT NULL, priority_order INTEGER NOT NULL, task_id INTEGER NOT NULL,
  lease INTEGER NOT NULL, attempt INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {unique_keys} (
  ukey TEXT PRIMARY KEY, job_id BLOB NOT NULL, until REAL, latest REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {prefix}unique_until ON {unique_keys} (until) WHERE until IS NOT NULL;
CREATE TABLE IF NOT EXISTS {spawns} (
  parent_id BLOB NOT NULL, lease INTEGER NOT NULL, requested INTEGER NOT NULL, spawned INTEGER NOT NULL,
  started_at REAL NOT NULL, ended_at REAL NOT NULL, handler TEXT NOT NULL, operation_id TEXT,
  metadata TEXT, error TEXT, PRIMARY KEY (parent_id, lease)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {prefix}spawns_ended ON {spawns} (ended_at);
CREATE TABLE IF NOT EXISTS {edges} (
  parent_id BLOB NOT NULL, child_id BLOB NOT NULL, kind INTEGER NOT NULL,
  PRIMARY KEY (parent_id, child_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {prefix}edges_child ON {edges} (child_id);
CREATE TABLE IF NOT EXISTS {workflows} (
  id BLOB PRIMARY KEY, parent_id BLOB, dependent_id BLOB, created_at REAL NOT NULL, ended_at REAL,
  deadline_at REAL, check_at REAL, check_every REAL, failures INTEGER NOT NULL, status INTEGER NOT NULL,
  policy INTEGER NOT NULL, collects INTEGER NOT NULL, flags INTEGER NOT NULL, kind TEXT NOT NULL,
  name TEXT NOT NULL, options TEXT, reason TEXT, health TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {prefix}workflows_parent ON {workflows} (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS {prefix}workflows_deadline ON {workflows} (deadline_at) WHERE deadline_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS {prefix}workflows_check ON {workflows} (check_at) WHERE check_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS {prefix}workflows_ended ON {workflows} (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS {prefix}workflows_trace ON {workflows} (substr(options, instr(options, '"trace_id":"') + 12, 200))
  WHERE instr(options, '"trace_id":"') > 0;
CREATE INDEX IF NOT EXISTS {prefix}workflows_correlation ON {workflows} (substr(options, instr(options, '"correlation_id":"') + 18, 200))
  WHERE instr(options, '"correlation_id":"') > 0;
CREATE TABLE IF NOT EXISTS {nodes} (
  workflow_id BLOB NOT NULL, job_id BLOB NOT NULL, position INTEGER, name TEXT,
  PRIMARY KEY (workflow_id, job_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {barriers} (
  id BLOB PRIMARY KEY, pending INTEGER NOT NULL, failed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {progress} (
  job_id BLOB PRIMARY KEY, at REAL NOT NULL, fraction REAL NOT NULL, note TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {schedules} (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, app TEXT NOT NULL, code TEXT, edit TEXT,
  anchor REAL NOT NULL, created_at REAL NOT NULL, edited_at REAL, edited_by TEXT,
  next_at REAL, look_at REAL, paused_at REAL, paused_by TEXT, reason TEXT,
  disabled_since REAL, trouble TEXT, last_tick REAL, last_outcome TEXT, last_run BLOB,
  earlier_run BLOB, missed INTEGER NOT NULL DEFAULT 0, other_runs TEXT);
CREATE INDEX IF NOT EXISTS {prefix}schedules_due ON {schedules} (look_at) WHERE look_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS {schedule_ticks} (
  schedule_id INTEGER NOT NULL, tick REAL NOT NULL, at REAL NOT NULL, outcome TEXT NOT NULL, run BLOB,
  missed INTEGER NOT NULL, detail TEXT, PRIMARY KEY (schedule_id, tick)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {prefix}schedule_ticks_tick ON {schedule_ticks} (tick);
CREATE TABLE IF NOT EXISTS {schedule_sets} (
  app_id INTEGER NOT NULL, version INTEGER NOT NULL, declared_at REAL NOT NULL, turn INTEGER NOT NULL,
  PRIMARY KEY (app_id, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {retention} (
  id INTEGER PRIMARY KEY, due_at REAL NOT NULL, position BLOB, removed INTEGER NOT NULL,
  archived INTEGER NOT NULL DEFAULT 0, restored INTEGER NOT NULL DEFAULT 0, purged INTEGER NOT NULL DEFAULT 0, walked_at REAL);
CREATE TABLE IF NOT EXISTS {archived} (
  id BLOB PRIMARY KEY, pack_id BLOB NOT NULL, group_id BLOB NOT NULL, task_id INTEGER, queue_id INTEGER,
  ended_at REAL NOT NULL, size INTEGER NOT NULL, state INTEGER NOT NULL, root_id BLOB, workflow_id BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {prefix}archived_group ON {archived} (group_id);
CREATE TABLE IF NOT EXISTS {archive_packs} (
  id BLOB NOT NULL, piece INTEGER NOT NULL, archived_at REAL NOT NULL, data BLOB NOT NULL, PRIMARY KEY (id, piece));
CREATE TABLE IF NOT EXISTS {restored} (id BLOB PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {statistics} (
  span INTEGER NOT NULL, begin INTEGER NOT NULL, task_id INTEGER NOT NULL, queue_id INTEGER NOT NULL, state INTEGER NOT NULL,
  jobs INTEGER NOT NULL, run_seconds REAL NOT NULL, wait_seconds REAL NOT NULL, runs BLOB NOT NULL, waits BLOB NOT NULL,
  PRIMARY KEY (span, begin, task_id, queue_id, state)) WITHOUT ROWID;
-- The same of runs of spawners.
CREATE TABLE IF NOT EXISTS {spawn_statistics} (
  span INTEGER NOT NULL, begin INTEGER NOT NULL, handler TEXT NOT NULL, queue_id INTEGER, operations INTEGER NOT NULL, failures INTEGER NOT NULL,
  requested INTEGER NOT NULL, children INTEGER NOT NULL, most INTEGER NOT NULL, seconds REAL NOT NULL, longest REAL NOT NULL);
CREATE INDEX IF NOT EXISTS {prefix}spawn_statistics_time ON {spawn_statistics} (span, begin);
-- The same of workflows, by kind and name; state is one of WorkflowState.
CREATE TABLE IF NOT EXISTS {workflow_statistics} (
  span INTEGER NOT NULL, begin INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, state INTEGER NOT NULL,
  runs INTEGER NOT NULL, seconds REAL NOT NULL, times BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS {prefix}workflow_statistics_time ON {workflow_statistics} (span, begin);
CREATE TABLE IF NOT EXISTS {statistics_progress} (
  id INTEGER PRIMARY KEY, due_at REAL NOT NULL, counted_to INTEGER NOT NULL, final_to INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS {metrics} (id INTEGER PRIMARY KEY, holder INTEGER, until REAL NOT NULL, counted_to INTEGER NOT NULL,
  totals TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS {replays} (
  operation_id BLOB NOT NULL, job_id BLOB NOT NULL, at REAL NOT NULL, lease INTEGER NOT NULL, attempt INTEGER NOT NULL,
  state INTEGER, replayed_by TEXT NOT NULL, reason TEXT, detail TEXT, PRIMARY KEY (operation_id, job_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {prefix}replays_job ON {replays} (job_id);
-- Events: a row of outbox for each transaction, which the relay moves to the log; a row of the log holds the
-- positions from first_position to position. Transactions of SQLite, which come one after another, write the log.
CREATE TABLE IF NOT EXISTS {outbox} (seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, n INTEGER NOT NULL, pack BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS {events} (position INTEGER PRIMARY KEY, first_position INTEGER NOT NULL, at REAL NOT NULL,
  pack BLOB NOT NULL);
-- One row: the last position, the kinds of events that sinks want (bits), and which process moves them.
CREATE TABLE IF NOT EXISTS {relay} (id INTEGER PRIMARY KEY, position INTEGER NOT NULL, wanted INTEGER NOT NULL, holder INTEGER,
  until REAL);
CREATE TABLE IF NOT EXISTS {sinks} (
  name TEXT PRIMARY KEY, kind TEXT NOT NULL, config TEXT NOT NULL, filters TEXT NOT NULL, app TEXT NOT NULL,
  wanted INTEGER NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL, created_at REAL NOT NULL, changed_by TEXT,
  reason TEXT, holder INTEGER, term INTEGER NOT NULL, until REAL, sent INTEGER NOT NULL, sent_at REAL, failures INTEGER NOT NULL,
  error TEXT, error_at REAL, gap_from INTEGER, gap_to INTEGER,
  delivered INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS {sink_errors} (
  sink TEXT NOT NULL, position INTEGER NOT NULL, at REAL NOT NULL, kind INTEGER NOT NULL, id BLOB NOT NULL,
  error TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (sink, position)) WITHOUT ROWID;
-- Webhooks: what a sink of that kind has besides, and the log of its deliveries.
CREATE TABLE IF NOT EXISTS {webhooks} (
  name TEXT PRIMARY KEY, secret TEXT NOT NULL, old_secret TEXT, old_until REAL, state TEXT NOT NULL, since REAL NOT NULL,
  failures INTEGER NOT NULL, success_at REAL, disabled_at REAL, probe_at REAL, rest_until REAL, reason TEXT, changed_by TEXT,
  delivered INTEGER NOT NULL, failed INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS {webhook_deliveries} (
  id BLOB PRIMARY KEY, endpoint TEXT NOT NULL, message TEXT NOT NULL, position INTEGER NOT NULL, attempt INTEGER NOT NULL,
  at REAL NOT NULL, status INTEGER, ms INTEGER NOT NULL, address TEXT, error TEXT, answer TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {prefix}webhook_deliveries_endpoint ON {webhook_deliveries} (endpoint, id);
-- Alerts: one row says which process evaluates them.
CREATE TABLE IF NOT EXISTS {alerting} (id INTEGER PRIMARY KEY, holder INTEGER, until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS {alert_settings} (
  part TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, config TEXT NOT NULL, app TEXT NOT NULL, changed_by TEXT,
  changed_at REAL NOT NULL, until REAL, sent_at REAL, error TEXT, PRIMARY KEY (part, name));
CREATE TABLE IF NOT EXISTS {alerts} (
  rule TEXT NOT NULL, subject TEXT NOT NULL, state TEXT NOT NULL, since REAL NOT NULL, severity TEXT NOT NULL,
  value REAL NOT NULL, says TEXT NOT NULL, below_since REAL, told TEXT NOT NULL, told_at REAL, PRIMARY KEY (rule, subject));
CREATE TABLE IF NOT EXISTS {alert_messages} (
  id INTEGER PRIMARY KEY, target TEXT NOT NULL, created_at REAL NOT NULL, due_at REAL NOT NULL, tries INTEGER NOT NULL,
  error TEXT, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS {worker_losses} (worker_id INTEGER PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, lost_at REAL NOT NULL);
INSERT OR IGNORE INTO {relay} (id, position, wanted) VALUES (1, 0, 0);
CREATE TABLE IF NOT EXISTS {web_tokens} (
  id BLOB PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, role INTEGER NOT NULL, sees_values INTEGER NOT NULL,
  created_at REAL NOT NULL, created_by TEXT NOT NULL, expires_at REAL, revoked_at REAL, used_at REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {audit} (
  id BLOB PRIMARY KEY, at REAL NOT NULL, who TEXT NOT NULL, address TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL,
  details TEXT NOT NULL, outcome TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {web_answers} (
  hash TEXT PRIMARY KEY, body TEXT NOT NULL, until REAL NOT NULL, status INTEGER, answer TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {operations} (
  id BLOB PRIMARY KEY, action TEXT NOT NULL, made_by TEXT NOT NULL, wanted TEXT NOT NULL, at REAL NOT NULL, beat_at REAL NOT NULL,
  state TEXT NOT NULL, total INTEGER NOT NULL, done INTEGER NOT NULL, failed INTEGER NOT NULL, error TEXT) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS {job_states} AS {view};
