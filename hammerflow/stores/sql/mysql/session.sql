-- name: session
SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00',
  innodb_lock_wait_timeout = 10

-- name: session_isolation
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED

-- name: kill_query
KILL QUERY :thread::bigint

-- name: max_packet
SELECT @@max_allowed_packet
