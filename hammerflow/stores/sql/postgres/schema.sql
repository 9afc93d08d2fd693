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

-- Every statement of the transaction sees what was committed before the first SELECT. It may read
-- whole tables in any way, and take its time.
-- name: begin_snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL statement_timeout = 0;
SET LOCAL enable_seqscan = on;
SET LOCAL enable_bitmapscan = on;
SELECT 1

-- name: table_columns
SELECT a.attname, format_type(a.atttypid, NULL)
FROM pg_attribute a
WHERE a.attrelid = to_regclass(:table::text)
  AND a.attnum > 0
  AND NOT a.attisdropped
ORDER BY a.attnum
