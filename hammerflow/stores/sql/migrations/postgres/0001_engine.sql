-- Hot tables hold narrow rows that are inserted and deleted; they are vacuumed early and cheaply.
CREATE TABLE {queues} (id bigint PRIMARY KEY, name text NOT NULL UNIQUE, retention text);
CREATE TABLE {tasks} (id bigint PRIMARY KEY, name text NOT NULL UNIQUE, retention text);
CREATE TABLE {pauses} (kind smallint NOT NULL, id bigint NOT NULL, name text NOT NULL, paused_at timestamptz,
  paused_by text, reason text, PRIMARY KEY (kind, id));
CREATE TABLE {clients} (id bigint PRIMARY KEY, doorbell text NOT NULL, seen_at timestamptz NOT NULL);
CREATE TABLE {workers} (id bigint PRIMARY KEY, host text NOT NULL, pid integer NOT NULL,
  started_at timestamptz NOT NULL, beat_at timestamptz NOT NULL, beats bigint NOT NULL DEFAULT 0, watched float8 NOT NULL DEFAULT 0, info text NOT NULL, state text);
CREATE TABLE {worker_tasks} (task_id bigint NOT NULL, worker_id bigint NOT NULL, shape text,
  PRIMARY KEY (task_id, worker_id));
CREATE TABLE {worker_requests} (worker_id bigint NOT NULL, id bigint NOT NULL, kind text NOT NULL,
  job_id uuid, detail text, asked_by text NOT NULL, asked_at timestamptz NOT NULL, answer text,
  PRIMARY KEY (worker_id, id));
CREATE TABLE {jobs} (
  id uuid PRIMARY KEY, queue_id bigint NOT NULL, task_id bigint NOT NULL, created_at timestamptz NOT NULL,
  expires_at timestamptz, spawn_index integer, priority smallint NOT NULL, depth smallint NOT NULL,
  parent_id uuid, root_id uuid, dependent_id uuid, workflow_id uuid, awaits integer,
  flags smallint NOT NULL DEFAULT 0, args bytea NOT NULL, options text, headers text,
  unique_key text, trace text, lane bigint, limit_key text, fair_key text);
CREATE UNIQUE INDEX {prefix}jobs_children ON {jobs} (parent_id, spawn_index) WHERE parent_id IS NOT NULL;
-- Only rows that carry what is searched are in these indexes. Of a W3C traceparent the characters 4 to 35 are
-- the id of the trace.
CREATE INDEX {prefix}jobs_trace ON {jobs} (substr(trace, 4, 32), id) WHERE trace IS NOT NULL;
CREATE INDEX {prefix}jobs_correlation ON {jobs} (left(substring(headers from '"correlation_id":"([^"]*)'), 200), id)
  WHERE strpos(headers, '"correlation_id":') > 0;
CREATE TABLE {ready} (
  queue_id bigint NOT NULL, task_id bigint NOT NULL, job_id uuid NOT NULL, lease integer NOT NULL,
  attempt integer NOT NULL, priority_order bigint NOT NULL, ready_at float8,
  PRIMARY KEY (queue_id, priority_order, job_id))
  WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);
CREATE TABLE {leases} (
  job_id uuid PRIMARY KEY, worker_id bigint NOT NULL, queue_id bigint NOT NULL, task_id bigint NOT NULL,
  started_at timestamptz NOT NULL, lease integer NOT NULL, attempt integer NOT NULL,
  priority_order bigint NOT NULL, flags smallint NOT NULL DEFAULT 0, cancel text)
  WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX {prefix}leases_worker ON {leases} (worker_id);
CREATE INDEX {prefix}leases_lane ON {leases} ((priority_order & 1152921504606846975)) WHERE priority_order >= 8;
CREATE TABLE {limits} (id bigint PRIMARY KEY, target text NOT NULL, spacing float8, burst integer, max_running integer,
  declared text, given text, set_by text, set_at timestamptz);
CREATE TABLE {limit_keys} (id bigint PRIMARY KEY, limit_id bigint NOT NULL, name text NOT NULL, tat float8 NOT NULL)
  WITH (fillfactor = 70);
CREATE TABLE {limit_locks} (id smallint PRIMARY KEY, version bigint NOT NULL DEFAULT 0)
  WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);
INSERT INTO {limit_locks} (id) SELECT generate_series(0, 255);
CREATE TABLE {scheduled} (
  run_at timestamptz NOT NULL, job_id uuid NOT NULL UNIQUE, queue_id bigint NOT NULL, task_id bigint NOT NULL,
  lease integer NOT NULL, attempt integer NOT NULL, priority_order bigint NOT NULL, why text NOT NULL,
  PRIMARY KEY (run_at, job_id))
  WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);
CREATE TABLE {waiting} (
  job_id uuid PRIMARY KEY, queue_id bigint NOT NULL, task_id bigint NOT NULL, workflow_id uuid,
  cause uuid, eta timestamptz, delay float8, pending integer NOT NULL, failed integer NOT NULL,
  skipped integer NOT NULL, total integer NOT NULL, lease integer NOT NULL, priority_order bigint NOT NULL,
  rule smallint NOT NULL)
  WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);
CREATE TABLE {done} (
  job_id uuid PRIMARY KEY, started_at timestamptz, finished_at timestamptz NOT NULL, result_until timestamptz, worker_id bigint,
  lease integer NOT NULL, attempt integer NOT NULL, state smallint NOT NULL, cause uuid, result bytea,
  reason text);
CREATE INDEX {prefix}done_finished ON {done} USING brin (finished_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX {prefix}done_results ON {done} (result_until) WHERE result_until IS NOT NULL;
CREATE TABLE {errors} (
  job_id uuid NOT NULL, lease integer NOT NULL, kind text NOT NULL, attempt integer NOT NULL,
  at timestamptz NOT NULL, started_at timestamptz, worker_id bigint, type text NOT NULL,
  message text NOT NULL, trace text NOT NULL, PRIMARY KEY (job_id, lease, kind));
CREATE TABLE {job_logs} (
  job_id uuid NOT NULL, lease integer NOT NULL, attempt integer NOT NULL, line_count integer NOT NULL,
  dropped integer NOT NULL, data bytea NOT NULL, PRIMARY KEY (job_id, lease));
CREATE TABLE {parked} (
  job_id uuid PRIMARY KEY, at timestamptz NOT NULL, queue_id bigint NOT NULL, task_id bigint NOT NULL,
  lease integer NOT NULL, attempt integer NOT NULL, priority_order bigint NOT NULL, why text NOT NULL,
  detail text NOT NULL);
CREATE TABLE {unique_keys} (ukey text PRIMARY KEY, job_id uuid NOT NULL, until timestamptz, latest timestamptz);
CREATE INDEX {prefix}unique_until ON {unique_keys} (until) WHERE until IS NOT NULL;
CREATE TABLE {spawns} (parent_id uuid NOT NULL, lease integer NOT NULL, requested integer NOT NULL,
  spawned integer NOT NULL, started_at timestamptz NOT NULL, ended_at timestamptz NOT NULL,
  handler text NOT NULL, operation_id text, metadata text, error text, PRIMARY KEY (parent_id, lease));
CREATE INDEX {prefix}spawns_ended ON {spawns} (ended_at);
-- Edges are written with the child and never changed. The only dependent of a job is in jobs.dependent_id
-- instead, so that a chain, a chord and a batch of a million need no row here.
CREATE TABLE {edges} (parent_id uuid NOT NULL, child_id uuid NOT NULL, kind smallint NOT NULL,
  PRIMARY KEY (parent_id, child_id));
CREATE INDEX {prefix}edges_child ON {edges} (child_id);
CREATE TABLE {workflows} (
  id uuid PRIMARY KEY, parent_id uuid, dependent_id uuid, created_at timestamptz NOT NULL, ended_at timestamptz,
  deadline_at timestamptz, check_at timestamptz, check_every float8, failures integer NOT NULL,
  status smallint NOT NULL, policy smallint NOT NULL, collects smallint NOT NULL, flags smallint NOT NULL,
  kind text NOT NULL, name text NOT NULL, options text, reason text, health text);
CREATE INDEX {prefix}workflows_parent ON {workflows} (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX {prefix}workflows_deadline ON {workflows} (deadline_at) WHERE deadline_at IS NOT NULL;
CREATE INDEX {prefix}workflows_check ON {workflows} (check_at) WHERE check_at IS NOT NULL;
CREATE INDEX {prefix}workflows_ended ON {workflows} (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX {prefix}workflows_trace ON {workflows} (left(substring(options from '"trace_id":"([^"]*)'), 200))
  WHERE strpos(options, '"trace_id":"') > 0;
CREATE INDEX {prefix}workflows_correlation ON {workflows} (left(substring(options from '"correlation_id":"([^"]*)'), 200))
  WHERE strpos(options, '"correlation_id":"') > 0;
CREATE TABLE {nodes} (workflow_id uuid NOT NULL, job_id uuid NOT NULL, position integer, name text,
  PRIMARY KEY (workflow_id, job_id));
-- Counters that belong to no job: of the end of a workflow, and of a spawner whose dependents wait for its children.
CREATE TABLE {barriers} (id uuid PRIMARY KEY, pending integer NOT NULL, failed integer NOT NULL)
  WITH (fillfactor = 50);
CREATE TABLE {progress} (job_id uuid PRIMARY KEY, at timestamptz NOT NULL, fraction float8 NOT NULL,
  note text NOT NULL);
-- A schedule is due at look_at, which is its next tick unless it is set aside (NULL) or waits for another one.
CREATE TABLE {schedules} (
  id bigint PRIMARY KEY, name text NOT NULL UNIQUE, app text NOT NULL, code text, edit text,
  anchor timestamptz NOT NULL, created_at timestamptz NOT NULL, edited_at timestamptz, edited_by text,
  next_at timestamptz, look_at timestamptz, paused_at timestamptz, paused_by text, reason text,
  disabled_since timestamptz, trouble text, last_tick timestamptz, last_outcome text, last_run uuid,
  earlier_run uuid, missed bigint NOT NULL DEFAULT 0, other_runs text);
CREATE INDEX {prefix}schedules_due ON {schedules} (look_at) WHERE look_at IS NOT NULL;
CREATE TABLE {schedule_ticks} (schedule_id bigint NOT NULL, tick timestamptz NOT NULL, at timestamptz NOT NULL,
  outcome text NOT NULL, run uuid, missed bigint NOT NULL, detail text, PRIMARY KEY (schedule_id, tick));
CREATE INDEX {prefix}schedule_ticks_tick ON {schedule_ticks} (tick);
-- The versions of an app's schedules: the one that was declared last holds. Version 0 is a lock.
CREATE TABLE {schedule_sets} (app_id bigint NOT NULL, version bigint NOT NULL, declared_at timestamptz NOT NULL, turn integer NOT NULL,
  PRIMARY KEY (app_id, version));
-- One row: who removes ended jobs next, how far the walk has come, and how many jobs went which way.
CREATE TABLE {retention} (id smallint PRIMARY KEY, due_at timestamptz NOT NULL, walked_at timestamptz,
  position uuid, removed bigint NOT NULL, archived bigint NOT NULL DEFAULT 0, restored bigint NOT NULL DEFAULT 0,
  purged bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50);
-- Archived jobs and workflows: in which pack the rows of each are, and what lists filter by. A workflow has no task.
CREATE TABLE {archived} (id uuid PRIMARY KEY, pack_id uuid NOT NULL, group_id uuid NOT NULL, task_id bigint,
  queue_id bigint, ended_at timestamptz NOT NULL, size integer NOT NULL, state smallint NOT NULL, root_id uuid,
  workflow_id uuid);
CREATE INDEX {prefix}archived_group ON {archived} (group_id);
-- The compressed rows of many jobs, in pieces that any server takes. They would not get smaller.
CREATE TABLE {archive_packs} (id uuid NOT NULL, piece integer NOT NULL, archived_at timestamptz NOT NULL,
  data bytea NOT NULL, PRIMARY KEY (id, piece));
ALTER TABLE {archive_packs} ALTER COLUMN data SET STORAGE EXTERNAL;
-- Jobs and workflows that came back from the archive: retention leaves them alone until then.
CREATE TABLE {restored} (id uuid PRIMARY KEY, until timestamptz NOT NULL);
-- Jobs by minute, hour and day; state 0 counts those that were enqueued. Times are seconds since 1970.
CREATE TABLE {statistics} (
  span integer NOT NULL, begin bigint NOT NULL, task_id bigint NOT NULL, queue_id bigint NOT NULL, state smallint NOT NULL,
  jobs bigint NOT NULL, run_seconds float8 NOT NULL, wait_seconds float8 NOT NULL, runs bytea NOT NULL, waits bytea NOT NULL,
  PRIMARY KEY (span, begin, task_id, queue_id, state));
-- The same of runs of spawners.
CREATE TABLE {spawn_statistics} (
  span integer NOT NULL, begin bigint NOT NULL, handler text NOT NULL, queue_id bigint, operations bigint NOT NULL, failures bigint NOT NULL,
  requested bigint NOT NULL, children bigint NOT NULL, most bigint NOT NULL, seconds float8 NOT NULL, longest float8 NOT NULL);
CREATE INDEX {prefix}spawn_statistics_time ON {spawn_statistics} (span, begin);
-- The same of workflows, by kind and name; state is one of WorkflowState.
CREATE TABLE {workflow_statistics} (
  span integer NOT NULL, begin bigint NOT NULL, kind text NOT NULL, name text NOT NULL, state smallint NOT NULL,
  runs bigint NOT NULL, seconds float8 NOT NULL, times bytea NOT NULL);
CREATE INDEX {prefix}workflow_statistics_time ON {workflow_statistics} (span, begin);
CREATE TABLE {statistics_progress} (id smallint PRIMARY KEY, due_at timestamptz NOT NULL, counted_to bigint NOT NULL,
  final_to bigint NOT NULL) WITH (fillfactor = 50);
CREATE TABLE {metrics} (id smallint PRIMARY KEY, holder bigint, until float8 NOT NULL, counted_to bigint NOT NULL,
  totals text NOT NULL) WITH (fillfactor = 50);
CREATE TABLE {replays} (
  operation_id uuid NOT NULL, job_id uuid NOT NULL, at timestamptz NOT NULL, lease integer NOT NULL, attempt integer NOT NULL,
  state smallint, replayed_by text NOT NULL, reason text, detail text, PRIMARY KEY (operation_id, job_id));
CREATE INDEX {prefix}replays_job ON {replays} (job_id);
-- Events: a row of outbox for each transaction, which the relay moves to the log; a row of the log holds the
-- positions from first_position to position. Transactions of SQLite, which come one after another, write the log.
CREATE TABLE {outbox} (seq bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, at float8 NOT NULL, n integer NOT NULL,
  pack bytea NOT NULL)
  WITH (fillfactor = 100, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0, toast_tuple_target = 8160);
ALTER TABLE {outbox} ALTER COLUMN pack SET STORAGE EXTERNAL;
CREATE TABLE {events} (position bigint PRIMARY KEY, first_position bigint NOT NULL, at float8 NOT NULL,
  pack bytea NOT NULL) WITH (toast_tuple_target = 8160);
ALTER TABLE {events} ALTER COLUMN pack SET STORAGE EXTERNAL;
-- One row: the last position, the kinds of events that sinks want (bits), and which process moves them.
CREATE TABLE {relay} (id integer PRIMARY KEY, position bigint NOT NULL, wanted bigint NOT NULL, holder bigint,
  until float8) WITH (fillfactor = 50);
CREATE TABLE {sinks} (
  name text PRIMARY KEY, kind text NOT NULL, config text NOT NULL, filters text NOT NULL, app text NOT NULL,
  wanted bigint NOT NULL, position bigint NOT NULL, state text NOT NULL, created_at float8 NOT NULL, changed_by text,
  reason text, holder bigint, term bigint NOT NULL, until float8, sent bigint NOT NULL, sent_at float8, failures integer NOT NULL,
  error text, error_at float8, gap_from bigint, gap_to bigint,
  delivered bigint NOT NULL DEFAULT 0) WITH (fillfactor = 50);
CREATE TABLE {sink_errors} (
  sink text NOT NULL, position bigint NOT NULL, at float8 NOT NULL, kind integer NOT NULL, id uuid NOT NULL,
  error text NOT NULL, body text NOT NULL, PRIMARY KEY (sink, position));
-- Webhooks: what a sink of that kind has besides, and the log of its deliveries.
CREATE TABLE {webhooks} (
  name text PRIMARY KEY, secret text NOT NULL, old_secret text, old_until float8, state text NOT NULL, since float8 NOT NULL,
  failures integer NOT NULL, success_at float8, disabled_at float8, probe_at float8, rest_until float8, reason text, changed_by text,
  delivered bigint NOT NULL, failed bigint NOT NULL) WITH (fillfactor = 50);
CREATE TABLE {webhook_deliveries} (
  id uuid PRIMARY KEY, endpoint text NOT NULL, message text NOT NULL, position bigint NOT NULL, attempt integer NOT NULL,
  at float8 NOT NULL, status integer, ms bigint NOT NULL, address text, error text, answer text NOT NULL);
CREATE INDEX {prefix}webhook_deliveries_endpoint ON {webhook_deliveries} (endpoint, id);
-- Alerts: one row says which process evaluates them.
CREATE TABLE {alerting} (id smallint PRIMARY KEY, holder bigint, until float8 NOT NULL) WITH (fillfactor = 50);
CREATE TABLE {alert_settings} (
  part text NOT NULL, name text NOT NULL, kind text NOT NULL, config text NOT NULL, app text NOT NULL, changed_by text,
  changed_at float8 NOT NULL, until float8, sent_at float8, error text, PRIMARY KEY (part, name));
CREATE TABLE {alerts} (
  rule text NOT NULL, subject text NOT NULL, state text NOT NULL, since float8 NOT NULL, severity text NOT NULL,
  value float8 NOT NULL, says text NOT NULL, below_since float8, told text NOT NULL, told_at float8, PRIMARY KEY (rule, subject));
CREATE TABLE {alert_messages} (
  id bigint PRIMARY KEY, target text NOT NULL, created_at float8 NOT NULL, due_at float8 NOT NULL, tries integer NOT NULL,
  error text, body text NOT NULL);
CREATE TABLE {worker_losses} (worker_id bigint PRIMARY KEY, host text NOT NULL, pid integer NOT NULL, lost_at float8 NOT NULL);
INSERT INTO {relay} (id, position, wanted) VALUES (1, 0, 0);
CREATE TABLE {web_tokens} (
  id uuid PRIMARY KEY, name text NOT NULL, hash text NOT NULL UNIQUE, role smallint NOT NULL, sees_values smallint NOT NULL,
  created_at float8 NOT NULL, created_by text NOT NULL, expires_at float8, revoked_at float8, used_at float8);
CREATE TABLE {audit} (
  id uuid PRIMARY KEY, at float8 NOT NULL, who text NOT NULL, address text NOT NULL, action text NOT NULL, target text NOT NULL,
  details text NOT NULL, outcome text);
CREATE TABLE {web_answers} (
  hash text PRIMARY KEY, body text NOT NULL, until float8 NOT NULL, status smallint, answer text);
CREATE TABLE {operations} (
  id uuid PRIMARY KEY, action text NOT NULL, made_by text NOT NULL, wanted text NOT NULL, at float8 NOT NULL, beat_at float8 NOT NULL,
  state text NOT NULL, total bigint NOT NULL, done bigint NOT NULL, failed bigint NOT NULL, error text);
CREATE VIEW {job_states} AS {view};
