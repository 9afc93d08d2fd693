-- name: health_server
SELECT 'SQLite', sqlite_version()

-- The settings of this connection; synchronous 2 is FULL, 3 is EXTRA.
-- name: health_settings
SELECT 'journal_mode', journal_mode FROM pragma_journal_mode
UNION ALL SELECT 'synchronous', synchronous FROM pragma_synchronous

-- The file as a whole; SQLite keeps no sizes of tables.
-- name: health_sizes
SELECT '', (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size), NULL

-- What keeps the file in shape; VACUUM writes all of it again, and everybody waits.
-- name: upkeep_session
PRAGMA analysis_limit = 1000

-- name: upkeep_vacuum
VACUUM

-- name: upkeep_analyze
ANALYZE @table

-- name: upkeep_reindex
REINDEX @table

-- The file, if much of it is free: (name, free bytes, bytes used, 0).
-- name: upkeep_signs
SELECT '', f.freelist_count * s.page_size, (c.page_count - f.freelist_count) * s.page_size, 0
FROM pragma_freelist_count f, pragma_page_count c, pragma_page_size s
WHERE f.freelist_count * s.page_size > 268435456
  AND f.freelist_count > c.page_count - f.freelist_count
