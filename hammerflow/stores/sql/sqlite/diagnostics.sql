-- name: health_server
SELECT 'SQLite', sqlite_version()

-- The settings of this connection; synchronous 2 is FULL, 3 is EXTRA.
-- name: health_settings
SELECT 'journal_mode', journal_mode FROM pragma_journal_mode
UNION ALL SELECT 'synchronous', synchronous FROM pragma_synchronous
