-- BEGIN IMMEDIATE, with which every transaction begins, is the lock.
-- name: migration_lock
SELECT 1

-- name: migrations_table
CREATE TABLE IF NOT EXISTS {migrations} (
  version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at REAL NOT NULL)

-- The first read after BEGIN decides what the transaction sees.
-- name: begin_snapshot
BEGIN

-- name: table_columns
SELECT name, lower(type)
FROM pragma_table_info(replace(:table::text, '"', ''))
ORDER BY cid
