-- BEGIN IMMEDIATE, which every unit here begins with, is the lock.
-- name: migration_lock
SELECT 1

-- name: migrations_table
CREATE TABLE IF NOT EXISTS {migrations} (
  version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at REAL NOT NULL)
