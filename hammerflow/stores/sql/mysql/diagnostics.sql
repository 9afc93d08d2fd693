-- name: health_server
SELECT CASE WHEN version() LIKE '%MariaDB%' THEN 'MariaDB' ELSE 'MySQL' END, version()

-- name: health_settings
SHOW VARIABLES WHERE Variable_name IN
  ('innodb_flush_log_at_trx_commit', 'innodb_doublewrite', 'log_bin', 'sync_binlog', 'wsrep_on',
   'read_only', 'super_read_only', 'max_allowed_packet')

-- name: health_connections
SELECT LEAST(@@max_connections, CASE @@max_user_connections WHEN 0 THEN @@max_connections
    ELSE @@max_user_connections END), CAST(VARIABLE_VALUE AS UNSIGNED)
FROM /*M! information_schema.GLOBAL_STATUS */ /*!50708 performance_schema.global_status */
WHERE VARIABLE_NAME = 'THREADS_CONNECTED'

-- name: health_grant
SELECT CONCAT('GRANT SELECT, INSERT, UPDATE, DELETE ON `', DATABASE(), '`.* TO ''',
  LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - LOCATE('@', REVERSE(CURRENT_USER()))),
  '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')

-- The tables with their indexes, and estimated numbers of rows.
-- name: health_sizes
SELECT table_name, COALESCE(data_length + index_length, 0), COALESCE(table_rows, 0)
FROM information_schema.tables
WHERE table_schema = DATABASE()
  AND table_type = 'BASE TABLE'
  AND table_name LIKE '{prefix}%'
ORDER BY 2 DESC

-- What keeps tables in shape. A table that others use for long is not waited for, as they would wait, too.
-- name: upkeep_session
SET SESSION lock_wait_timeout = 3

-- name: upkeep_vacuum
OPTIMIZE TABLE @table

-- name: upkeep_analyze
ANALYZE TABLE @table

-- name: upkeep_reindex
ALTER TABLE @table FORCE

-- Tables with much free space inside: (table, free bytes, bytes used, 0).
-- name: upkeep_signs
SELECT table_name, data_free, data_length + index_length, 0
FROM information_schema.tables
WHERE table_schema = DATABASE()
  AND table_name LIKE '{prefix}%'
  AND data_free > 268435456
  AND data_free > data_length + index_length
ORDER BY data_free DESC
