-- A transaction's own advisory lock: gone with it, and no session state.
-- name: migration_lock
SELECT pg_advisory_xact_lock(hashtext('{schema}.{prefix}'))

-- name: migrations_table
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {migrations} (
  version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL)
