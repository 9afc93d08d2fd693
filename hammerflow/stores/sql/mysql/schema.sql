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

-- Not information_schema.columns: it is sorted in a temporary table, and under load MariaDB 10.11.19 has
-- crashed as it freed that one.
-- name: table_created
SHOW CREATE TABLE @table
