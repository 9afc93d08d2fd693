-- name: migration_lock
SELECT GET_LOCK('{prefix}migrations', 50)

-- name: migration_unlock
SELECT RELEASE_LOCK('{prefix}migrations')

-- name: migrations_table
CREATE TABLE IF NOT EXISTS {migrations} (
  version INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL, applied_at DATETIME(6) NOT NULL) {table}
