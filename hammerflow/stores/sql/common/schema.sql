-- name: migrations_applied
SELECT version FROM {migrations} ORDER BY version

-- name: migration_insert
INSERT INTO {migrations} (version, name, applied_at) VALUES (:version::integer, :name::text, {now})
