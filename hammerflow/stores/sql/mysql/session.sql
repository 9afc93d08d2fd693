-- What hammerflow sets in its sessions, whatever the server, an account's init_connect or an option
-- file says: texts and their escapes, errors instead of cut values, times, and no limits on rows.
-- A lock is waited for as long as on PostgreSQL. The time of a statement is bounded by the client.
-- The comments hold what only MySQL or only MariaDB has. MySQL joins without hashing: it would read
-- whole tables that its statistics call empty.
-- name: session
SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00',
  innodb_lock_wait_timeout = 10, lock_wait_timeout = 10,
  sql_select_limit = 18446744073709551615, sql_big_selects = 1, sql_safe_updates = 0,
  sql_auto_is_null = 0, completion_type = 0
  /*M! , max_statement_time = 0 */
  /*!50708 , max_execution_time = 0, optimizer_switch = 'block_nested_loop=off' */;
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED

-- On MySQL a transaction that waits for the lock of a row for the shortest time; each is one packet.
-- name: begin_hurried
SET SESSION innodb_lock_wait_timeout = 1;
BEGIN

-- name: commit_hurried
COMMIT;
SET SESSION innodb_lock_wait_timeout = 10

-- name: rollback_hurried
ROLLBACK;
SET SESSION innodb_lock_wait_timeout = 10

-- name: in_transaction
SELECT @@in_transaction

-- Around the statements of a user in a transaction of ours.
-- name: lend
SAVEPOINT hammerflow

-- name: take_back
RELEASE SAVEPOINT hammerflow

-- name: kill_query
KILL QUERY :thread::bigint

-- name: max_packet
SELECT @@max_allowed_packet
