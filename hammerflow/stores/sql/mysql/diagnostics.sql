-- name: health_server
SELECT CASE WHEN version() LIKE '%MariaDB%' THEN 'MariaDB' ELSE 'MySQL' END, version()

-- name: health_settings
SHOW VARIABLES WHERE Variable_name IN
  ('innodb_flush_log_at_trx_commit', 'innodb_doublewrite', 'log_bin', 'sync_binlog', 'wsrep_on',
   'read_only', 'super_read_only', 'max_allowed_packet')
