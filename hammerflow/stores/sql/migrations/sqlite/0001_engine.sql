-- Times are REAL seconds since 1970 (UTC); ids are the 16 bytes of a UUID.
CREATE TABLE IF NOT EXISTS {queues} (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  paused_at REAL, paused_by TEXT, reason TEXT);
CREATE TABLE IF NOT EXISTS {tasks} (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS {workers} (
  id INTEGER PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL,
  started_at REAL NOT NULL, beat_at REAL NOT NULL, info TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS {worker_tasks} (
  task_id INTEGER NOT NULL, worker_id INTEGER NOT NULL,
  PRIMARY KEY (task_id, worker_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {jobs} (
  id BLOB PRIMARY KEY, queue_id INTEGER NOT NULL, priority INTEGER NOT NULL, task_id INTEGER NOT NULL,
  args BLOB NOT NULL, options TEXT, headers TEXT, parent_id BLOB, root_id BLOB,
  depth INTEGER NOT NULL, spawn_index INTEGER, fan_in_id BLOB, unique_key TEXT, trace TEXT,
  expires_at REAL, created_at REAL NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS {prefix}jobs_children ON {jobs} (parent_id, spawn_index)
  WHERE parent_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS {ready} (
  queue_id INTEGER NOT NULL, lane INTEGER NOT NULL, job_id BLOB NOT NULL, task_id INTEGER NOT NULL,
  lease INTEGER NOT NULL, attempt INTEGER NOT NULL,
  PRIMARY KEY (queue_id, lane, job_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {leases} (
  job_id BLOB PRIMARY KEY, lease INTEGER NOT NULL, attempt INTEGER NOT NULL, worker_id INTEGER NOT NULL,
  queue_id INTEGER NOT NULL, lane INTEGER NOT NULL, task_id INTEGER NOT NULL,
  started_at REAL NOT NULL, cancel TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {prefix}leases_worker ON {leases} (worker_id);
CREATE TABLE IF NOT EXISTS {scheduled} (
  run_at REAL NOT NULL, job_id BLOB NOT NULL UNIQUE, queue_id INTEGER NOT NULL, lane INTEGER NOT NULL,
  task_id INTEGER NOT NULL, lease INTEGER NOT NULL, attempt INTEGER NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (run_at, job_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {waiting} (
  job_id BLOB PRIMARY KEY, pending INTEGER NOT NULL, failed INTEGER NOT NULL, total INTEGER NOT NULL,
  queue_id INTEGER NOT NULL, lane INTEGER NOT NULL, task_id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {done} (
  job_id BLOB PRIMARY KEY, finished_at REAL NOT NULL, state INTEGER NOT NULL, attempt INTEGER NOT NULL,
  lease INTEGER NOT NULL, worker_id INTEGER, result BLOB, reason TEXT, result_until REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {prefix}done_results ON {done} (result_until)
  WHERE result_until IS NOT NULL;
CREATE TABLE IF NOT EXISTS {errors} (
  job_id BLOB NOT NULL, lease INTEGER NOT NULL, kind TEXT NOT NULL, attempt INTEGER NOT NULL,
  at REAL NOT NULL, type TEXT NOT NULL, message TEXT NOT NULL, trace TEXT NOT NULL,
  PRIMARY KEY (job_id, lease, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {parked} (
  job_id BLOB PRIMARY KEY, at REAL NOT NULL, why TEXT NOT NULL, detail TEXT NOT NULL,
  queue_id INTEGER NOT NULL, lane INTEGER NOT NULL, task_id INTEGER NOT NULL,
  lease INTEGER NOT NULL, attempt INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {unique_keys} (
  ukey TEXT PRIMARY KEY, job_id BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {spawns} (
  parent_id BLOB PRIMARY KEY, at REAL NOT NULL, handler TEXT NOT NULL, operation_id TEXT,
  spawned INTEGER NOT NULL, metadata TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {progress} (
  job_id BLOB PRIMARY KEY, at REAL NOT NULL, fraction REAL NOT NULL, note TEXT NOT NULL) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS {job_states} AS {view};
