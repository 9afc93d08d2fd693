-- name: health_server
SELECT 'PostgreSQL', current_setting('server_version')

-- name: health_settings
SELECT name, setting FROM pg_settings
WHERE name = 'fsync' OR name = 'synchronous_commit' OR name = 'full_page_writes'
   OR name = 'transaction_read_only' OR name = 'in_hot_standby'
