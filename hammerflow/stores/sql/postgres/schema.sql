-- An advisory lock of the transaction: it ends with the transaction and leaves no session state.
-- name: migration_lock
SELECT pg_advisory_xact_lock(hashtext('{schema}.{prefix}'))

-- CREATE SCHEMA needs the right to create schemas even if the schema exists: check that first.
-- name: create_schema
DO $$ BEGIN
  IF '{schema}' <> '' AND NOT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = '{schema}') THEN
    EXECUTE 'CREATE SCHEMA "{schema}"';
  END IF;
END $$

-- name: migrations_table
CREATE TABLE IF NOT EXISTS {migrations} (
  version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL)
