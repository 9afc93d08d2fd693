-- name: health_server
SELECT 'PostgreSQL', current_setting('server_version')

-- name: health_settings
SELECT name, setting FROM pg_settings
WHERE name = 'fsync' OR name = 'synchronous_commit' OR name = 'full_page_writes'
   OR name = 'transaction_read_only' OR name = 'in_hot_standby'

-- The least of the limits that hold here (a negative one is none), and what the whole server has.
-- name: health_connections
SELECT least(current_setting('max_connections')::bigint,
    CASE WHEN rolconnlimit >= 0 THEN rolconnlimit END,
    CASE WHEN datconnlimit >= 0 THEN datconnlimit END),
  (SELECT sum(numbackends)::bigint FROM pg_stat_database)
FROM pg_roles, pg_database
WHERE rolname = current_user
  AND datname = current_database()

-- name: health_grant
SELECT format('GRANT USAGE ON SCHEMA %1$I TO %2$I; '
  'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %1$I TO %2$I', nspname, current_user)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE relname = '{prefix}jobs'
ORDER BY nspname = '{schema}' DESC, pg_table_is_visible(c.oid) DESC
LIMIT 1

-- Schemas that have the tables, whether or not a statement without a schema finds them.
-- name: health_schemas
SELECT nspname, has_schema_privilege(n.oid, 'USAGE')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE relname = '{prefix}jobs'
ORDER BY nspname

-- The tables with their indexes, and the numbers of rows that the planner assumes.
-- name: health_sizes
SELECT c.relname, pg_total_relation_size(c.oid), GREATEST(c.reltuples, 0)::bigint
FROM pg_class c
JOIN pg_class j ON j.relnamespace = c.relnamespace
WHERE j.oid = '{jobs}'::regclass
  AND c.relkind = 'r'
  AND c.relname LIKE '{prefix}%'
ORDER BY 2 DESC

-- What keeps tables in shape; each statement runs outside a transaction, and readers and writers go on.
-- name: upkeep_session
SET statement_timeout = 0

-- name: upkeep_vacuum
VACUUM (ANALYZE) @table

-- name: upkeep_analyze
ANALYZE @table

-- name: upkeep_reindex
REINDEX TABLE CONCURRENTLY @table

-- The server only warns of a table that it passes over for want of rights.
-- name: upkeep_owner
SELECT pg_get_userbyid(c.relowner), pg_has_role(c.relowner, 'USAGE')
FROM pg_class c
WHERE c.oid = '{jobs}'::regclass

-- Tables with many dead rows, or many changes since they were analyzed: (table, dead, live, changed).
-- name: upkeep_signs
SELECT s.relname, s.n_dead_tup, s.n_live_tup, s.n_mod_since_analyze
FROM pg_stat_user_tables s
JOIN pg_class j ON j.oid = '{jobs}'::regclass
WHERE s.schemaname = j.relnamespace::regnamespace::text
  AND s.relname LIKE '{prefix}%'
  AND (s.n_dead_tup > 50000 + s.n_live_tup OR s.n_mod_since_analyze > 50000 + 5 * s.n_live_tup)
ORDER BY s.n_dead_tup DESC
