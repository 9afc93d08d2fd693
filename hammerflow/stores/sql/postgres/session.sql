-- What hammerflow sets in its sessions, whatever a role, a database or the server says; what the URL,
-- a service file or PGOPTIONS gives is kept (its source is "client"), but for what texts and claims
-- rely on. No row if the session belongs to a pooler.
--
-- Planner: every statement has an index, and must use it. A generic plan made while a hot table is
-- small would go on to scan it (measured: 255 instead of 15 microseconds a settled job); a plan from
-- statistics older than a backlog would read and sort all of it (a claim of 100 out of 300 000:
-- 120-585 ms instead of 2-19). Compiling a statement of a millisecond does not pay.
-- lock_timeout, as on MySQL: a holder that never ends (a caller that waits for this very statement)
-- must not stop it without limit.
-- name: session
SELECT set_config(wanted.name, wanted.value, false)
FROM (SELECT 'enable_seqscan', 'off', false
  UNION ALL SELECT 'enable_bitmapscan', 'off', false
  UNION ALL SELECT 'jit', 'off', false
  UNION ALL SELECT 'lock_timeout', '10s', false
  UNION ALL SELECT 'statement_timeout', :statement_timeout::text, false
  UNION ALL SELECT 'TimeZone', 'UTC', false
  UNION ALL SELECT 'standard_conforming_strings', 'on', true
  UNION ALL SELECT 'default_transaction_isolation', 'read committed', true
) AS wanted(name, value, is_always)
JOIN pg_settings ON pg_settings.name = wanted.name
WHERE pg_backend_pid() = :pid::integer
  AND (is_always OR source <> 'client')
