-- What doctor asks. Reads of long tables are bounded: a check must not burden a busy database.

-- Ready jobs, among the first 10 000, by task and queue.
-- name: health_ready
SELECT COALESCE(t.name, {numbered:task}) AS task, COALESCE(q.name, {numbered:queue}) AS queue, count(*)
FROM (SELECT task_id, queue_id FROM {ready} LIMIT 10000) j
LEFT JOIN {tasks} t ON t.id = j.task_id
LEFT JOIN {queues} q ON q.id = j.queue_id
GROUP BY t.name, j.task_id, q.name, j.queue_id
ORDER BY task, queue

-- name: health_parked
SELECT j.why, COALESCE(t.name, {numbered:task}) AS task, count(*)
FROM (SELECT why, task_id FROM {parked} LIMIT 10000) j
LEFT JOIN {tasks} t ON t.id = j.task_id
GROUP BY j.why, t.name, j.task_id
ORDER BY j.why, task

-- Jobs, among the newest 2 000, that are in none of the state tables: rows were deleted by hand. Not by a
-- join with job_states: PostgreSQL would read all jobs for it.
-- name: health_missing
SELECT count(*)
FROM (SELECT id, queue_id, priority, lane FROM {jobs} {by_primary} ORDER BY id DESC LIMIT 2000) j
WHERE COALESCE(
  (SELECT 1 FROM {done} d WHERE d.job_id = j.id),
  (SELECT 1 FROM {ready} r WHERE r.queue_id = j.queue_id AND r.priority_order = {order:j} AND r.job_id = j.id),
  (SELECT 1 FROM {leases} l WHERE l.job_id = j.id),
  (SELECT 1 FROM {scheduled} s WHERE s.job_id = j.id),
  (SELECT 1 FROM {waiting} w WHERE w.job_id = j.id),
  (SELECT 1 FROM {parked} p WHERE p.job_id = j.id)) IS NULL

-- name: clock
SELECT {epoch}

-- macro: use
INSERT INTO {@} SELECT * FROM {@} WHERE 1 = 0;
DELETE FROM {@} WHERE 1 = 0

-- Does with each table what hammerflow needs a right for, and changes no row.
-- name: health_rights
SELECT 1 FROM {migrations} WHERE 1 = 0;
SELECT 1 FROM {job_states} WHERE 1 = 0;
{use:queues};
UPDATE {queues} SET id = id WHERE 1 = 0;
{use:tasks};
UPDATE {tasks} SET id = id WHERE 1 = 0;
{use:pauses};
UPDATE {pauses} SET id = id WHERE 1 = 0;
{use:workers};
UPDATE {workers} SET id = id WHERE 1 = 0;
{use:worker_tasks};
UPDATE {worker_tasks} SET task_id = task_id WHERE 1 = 0;
{use:worker_requests};
UPDATE {worker_requests} SET id = id WHERE 1 = 0;
{use:jobs};
UPDATE {jobs} SET id = id WHERE 1 = 0;
{use:ready};
UPDATE {ready} SET job_id = job_id WHERE 1 = 0;
{use:leases};
UPDATE {leases} SET job_id = job_id WHERE 1 = 0;
{use:limits};
UPDATE {limits} SET id = id WHERE 1 = 0;
{use:limit_keys};
UPDATE {limit_keys} SET id = id WHERE 1 = 0;
{use:limit_locks};
UPDATE {limit_locks} SET id = id WHERE 1 = 0;
{use:scheduled};
UPDATE {scheduled} SET job_id = job_id WHERE 1 = 0;
{use:waiting};
UPDATE {waiting} SET job_id = job_id WHERE 1 = 0;
{use:done};
UPDATE {done} SET job_id = job_id WHERE 1 = 0;
{use:parked};
UPDATE {parked} SET job_id = job_id WHERE 1 = 0;
{use:errors};
UPDATE {errors} SET job_id = job_id WHERE 1 = 0;
{use:job_logs};
UPDATE {job_logs} SET job_id = job_id WHERE 1 = 0;
{use:progress};
UPDATE {progress} SET job_id = job_id WHERE 1 = 0;
{use:unique_keys};
UPDATE {unique_keys} SET job_id = job_id WHERE 1 = 0;
{use:spawns};
UPDATE {spawns} SET parent_id = parent_id WHERE 1 = 0;
{use:edges};
UPDATE {edges} SET parent_id = parent_id WHERE 1 = 0;
{use:workflows};
UPDATE {workflows} SET id = id WHERE 1 = 0;
{use:nodes};
UPDATE {nodes} SET job_id = job_id WHERE 1 = 0;
{use:barriers};
UPDATE {barriers} SET id = id WHERE 1 = 0;
{use:schedules};
UPDATE {schedules} SET id = id WHERE 1 = 0;
{use:schedule_ticks};
UPDATE {schedule_ticks} SET schedule_id = schedule_id WHERE 1 = 0;
{use:schedule_sets};
{use:retention};
UPDATE {retention} SET id = id WHERE 1 = 0;
{use:replays};
UPDATE {replays} SET job_id = job_id WHERE 1 = 0;
{use:archived};
UPDATE {archived} SET id = id WHERE 1 = 0;
{use:archive_packs};
UPDATE {archive_packs} SET id = id WHERE 1 = 0;
{use:restored};
{use:outbox};
{use:events};
{use:relay};
UPDATE {relay} SET id = id WHERE 1 = 0;
{use:sinks};
UPDATE {sinks} SET name = name WHERE 1 = 0;
{use:sink_errors};
{use:webhooks};
UPDATE {webhooks} SET name = name WHERE 1 = 0;
{use:webhook_deliveries};
{use:metrics};
UPDATE {metrics} SET id = id WHERE 1 = 0;
{use:alerting};
UPDATE {alerting} SET id = id WHERE 1 = 0;
{use:alert_settings};
UPDATE {alert_settings} SET name = name WHERE 1 = 0;
{use:alerts};
{use:alert_messages};
UPDATE {alert_messages} SET id = id WHERE 1 = 0;
{use:worker_losses};
{use:web_tokens};
UPDATE {web_tokens} SET id = id WHERE 1 = 0;
{use:audit};
UPDATE {audit} SET id = id WHERE 1 = 0;
{use:web_answers};
UPDATE {web_answers} SET until = until WHERE 1 = 0;
{use:operations};
UPDATE {operations} SET id = id WHERE 1 = 0

-- What `maintenance check` asks, in one snapshot, and what mends it. A mend asks again, so that nothing
-- is changed that has come right meanwhile. Each check gives (id, a note or NULL). The names behind @
-- are written in by hammerflow.stores.tables.

-- name: check_rows
SELECT x.@column, NULL
FROM @table x
WHERE NOT EXISTS (SELECT 1 FROM @owner o WHERE o.id = x.@column)

-- name: mend_rows
DELETE FROM @table
WHERE @table.@column @ids
  AND NOT EXISTS (SELECT 1 FROM @owner o WHERE o.id = @table.@column)

-- Of what belongs to a job or to a workflow.
-- name: check_parts
SELECT x.@column, NULL
FROM @table x
WHERE NOT EXISTS (SELECT 1 FROM {jobs} o WHERE o.id = x.@column)
  AND NOT EXISTS (SELECT 1 FROM {workflows} f WHERE f.id = x.@column)

-- name: mend_parts
DELETE FROM @table
WHERE @table.@column @ids
  AND NOT EXISTS (SELECT 1 FROM {jobs} o WHERE o.id = @table.@column)
  AND NOT EXISTS (SELECT 1 FROM {workflows} f WHERE f.id = @table.@column)

-- Keys that only their job's end frees, of jobs that have ended or are gone.
-- name: check_unique_keys
SELECT u.job_id, u.ukey
FROM {unique_keys} u
LEFT JOIN {jobs} j ON j.id = u.job_id
LEFT JOIN {done} d ON d.job_id = u.job_id
WHERE u.until IS NULL
  AND (j.id IS NULL OR d.job_id IS NOT NULL)

-- name: mend_unique_keys
DELETE FROM {unique_keys}
WHERE job_id IN (:ids*uuid)
  AND until IS NULL
  AND (NOT EXISTS (SELECT 1 FROM {jobs} j WHERE j.id = {unique_keys}.job_id)
       OR EXISTS (SELECT 1 FROM {done} d WHERE d.job_id = {unique_keys}.job_id))

-- name: check_stateless
SELECT j.id, NULL
FROM {jobs} j
LEFT JOIN {done} d ON d.job_id = j.id
LEFT JOIN {leases} l ON l.job_id = j.id
LEFT JOIN {ready} r ON r.queue_id = j.queue_id AND r.priority_order = {order:j} AND r.job_id = j.id
LEFT JOIN {scheduled} s ON s.job_id = j.id
LEFT JOIN {waiting} w ON w.job_id = j.id
LEFT JOIN {parked} p ON p.job_id = j.id
WHERE d.job_id IS NULL AND l.job_id IS NULL AND r.job_id IS NULL AND s.job_id IS NULL
  AND w.job_id IS NULL AND p.job_id IS NULL
  AND j.id NOT IN (SELECT o.job_id FROM {ready} o)

-- Its lease number is above those of its recorded attempts.
-- name: mend_stateless
INSERT INTO {parked} (job_id, queue_id, priority_order, task_id, lease, attempt, why, detail, at)
SELECT j.id, j.queue_id, {order:j}, j.task_id,
  COALESCE((SELECT MAX(e.lease) FROM {errors} e WHERE e.job_id = j.id), 0)
  + COALESCE((SELECT MAX(g.lease) FROM {job_logs} g WHERE g.job_id = j.id), 0) + 1, 0, 'no_state',
  'its row was in none of the tables of states', {now}
FROM {jobs} j
WHERE j.id IN (:ids*uuid)
  AND NOT EXISTS (SELECT 1 FROM {done} d WHERE d.job_id = j.id)
  AND NOT EXISTS (SELECT 1 FROM {leases} l WHERE l.job_id = j.id)
  AND NOT EXISTS (SELECT 1 FROM {ready} r WHERE r.job_id = j.id)
  AND NOT EXISTS (SELECT 1 FROM {scheduled} s WHERE s.job_id = j.id)
  AND NOT EXISTS (SELECT 1 FROM {waiting} w WHERE w.job_id = j.id)
  AND NOT EXISTS (SELECT 1 FROM {parked} p WHERE p.job_id = j.id)

-- macro: unfinished
SELECT job_id, 'running' AS state FROM {leases}
UNION ALL SELECT job_id, 'parked' FROM {parked}
UNION ALL SELECT job_id, 'ready' FROM {ready}
UNION ALL SELECT job_id, 'scheduled' FROM {scheduled}
UNION ALL SELECT job_id, 'waiting' FROM {waiting}

-- name: check_states
SELECT h.job_id, MIN(h.state)
FROM ({unfinished}) h
GROUP BY h.job_id
HAVING count(*) > 1
UNION
SELECT h.job_id, 'ended'
FROM ({unfinished}) h
JOIN {done} d ON d.job_id = h.job_id

-- The state that is furthest holds: @later is one that comes after that of @table.
-- name: mend_states
DELETE FROM @table
WHERE @table.job_id @ids
  AND EXISTS (SELECT 1 FROM @later o WHERE o.job_id = @table.job_id)

-- Leases of workers that are gone, where no worker is left that would take them over: a worker is
-- silent for :silent seconds then.
-- name: check_leases
SELECT l.job_id, NULL
FROM {leases} l
LEFT JOIN {workers} w ON w.id = l.worker_id
WHERE w.id IS NULL
  AND NOT EXISTS (SELECT 1 FROM {workers} a WHERE {age:beat_at} < :silent::float8)

-- macro: held
@.policy = 2 AND @.status IN (1, 2)

-- What a waiting job or a barrier waits for: ends that have not come, or that a person has to decide about.
-- macro: open_job
(d.job_id IS NULL OR g.id IS NOT NULL
 OR (d.state IN (5, 6) AND (d.cause IS NULL OR d.cause <> j.id) AND {held:w}))

-- macro: open_workflow
(f.ended_at IS NULL
 OR (f.status > 5 AND (f.flags & 6) = 0 AND (f.failures > 0 OR f.reason IS NOT NULL) AND {held:w}))

-- macro: ends_of_jobs
LEFT JOIN {done} d ON d.job_id = j.id
LEFT JOIN {barriers} g ON g.id = j.id
LEFT JOIN {workflows} w ON w.id = j.workflow_id

-- The barrier of a spawner counts what names the spawner as its only dependent, and no edges.
-- macro: awaited_ends
SELECT j.dependent_id AS id, 1 AS is_only FROM {jobs} j {ends_of_jobs}
WHERE j.dependent_id IS NOT NULL AND {open_job}
UNION ALL
SELECT e.child_id, 0 FROM {edges} e JOIN {jobs} j ON j.id = e.parent_id {ends_of_jobs}
WHERE {open_job}
UNION ALL
SELECT f.dependent_id, 1 FROM {workflows} f LEFT JOIN {workflows} w ON w.id = f.parent_id
WHERE f.dependent_id IS NOT NULL AND {open_workflow}
UNION ALL
SELECT e.child_id, 0 FROM {edges} e JOIN {workflows} f ON f.id = e.parent_id
LEFT JOIN {workflows} w ON w.id = f.parent_id
WHERE {open_workflow}

-- The barrier of a workflow that was halted counts what still runs in it, and is not looked at.
-- name: check_counts
SELECT y.id, y.kind, y.pending, y.awaited
FROM
  (SELECT x.id, x.kind, x.pending,
     COALESCE(CASE WHEN x.kind = 'spawner' THEN o.n_only ELSE o.n END, 0) AS awaited
   FROM
     (SELECT job_id AS id, pending, 'job' AS kind FROM {waiting}
      UNION ALL
      SELECT b.id, b.pending, CASE WHEN f.id IS NULL THEN 'spawner' ELSE 'barrier' END
      FROM {barriers} b LEFT JOIN {workflows} f ON f.id = b.id
      WHERE f.id IS NULL OR f.status IN (1, 2)
      UNION ALL
      SELECT f.id, -1, 'workflow' FROM {workflows} f LEFT JOIN {barriers} b ON b.id = f.id
      WHERE f.status IN (1, 2) AND b.id IS NULL) x
   LEFT JOIN (SELECT a.id, count(*) AS n, SUM(a.is_only) AS n_only FROM ({awaited_ends}) a GROUP BY a.id) o
     ON o.id = x.id) y
WHERE y.pending <> y.awaited

-- The same of some ids, under their locks.
-- name: recount
SELECT a.id, count(*), SUM(a.is_only)
FROM ({awaited_ends}) a
WHERE a.id IN (:ids*uuid)
GROUP BY a.id

-- name: mend_waiting
UPDATE {waiting}
SET pending = :pending::integer
WHERE job_id = :id::uuid

-- name: mend_barrier
UPDATE {barriers}
SET pending = :pending::integer
WHERE id = :id::uuid

-- Children of a spawner that are fewer than it has spawned, while others of them have not ended.
-- name: check_children
SELECT s.parent_id, NULL
FROM {spawns} s
JOIN (SELECT j.parent_id, count(*) AS n, SUM(CASE WHEN d.job_id IS NULL THEN 1 ELSE 0 END) AS unfinished
      FROM {jobs} j LEFT JOIN {done} d ON d.job_id = j.id
      WHERE j.parent_id IS NOT NULL GROUP BY j.parent_id) c ON c.parent_id = s.parent_id
WHERE s.error IS NULL
  AND c.n < s.spawned
  AND c.unfinished > 0

-- name: check_names
SELECT j.id, NULL
FROM {jobs} j
LEFT JOIN {queues} q ON q.id = j.queue_id
LEFT JOIN {tasks} t ON t.id = j.task_id
WHERE q.id IS NULL OR t.id IS NULL
