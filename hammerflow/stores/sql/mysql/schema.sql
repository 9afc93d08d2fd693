-- name: migration_lock
SELECT GET_LOCK('{prefix}migrations', 50)

-- name: migration_unlock
SELECT RELEASE_LOCK('{prefix}migrations')

-- name: migrations_table
CREATE TABLE IF NOT EXISTS {migrations} (
  version INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL, applied_at DATETIME(6) NOT NULL) {table}

-- Every statement of the transaction sees what was committed when it began.
-- name: begin_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY

-- name: table_columns
SELECT column_name, data_type
FROM information_schema.columns
WHERE table_schema = DATABASE()
  AND table_name = REPLACE(:table::text, '`', '')
ORDER BY ordinal_position
