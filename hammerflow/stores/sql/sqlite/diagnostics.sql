-- name: health_server
SELECT 'SQLite', sqlite_version()

-- The settings of this connection; synchronous 2 is FULL, 3 is EXTRA.
-- name: health_settings
SELECT 'journal_mode', journal_mode FROM pragma_journal_mode
UNION ALL SELECT 'synchronous', synchronous FROM pragma_synchronous

-- The file as a whole; SQLite keeps no sizes of tables.
-- name: health_sizes
SELECT '', (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size), NULL
