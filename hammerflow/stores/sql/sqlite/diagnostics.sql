-- name: health_server
SELECT 'SQLite', sqlite_version()

-- Both are what this connection was set to; synchronous 2 is FULL, 3 is EXTRA.
-- name: health_settings
SELECT 'journal_mode', journal_mode FROM pragma_journal_mode
UNION ALL SELECT 'synchronous', synchronous FROM pragma_synchronous
