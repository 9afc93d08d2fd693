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
