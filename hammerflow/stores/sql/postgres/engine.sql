-- macro: new_ready_job
WITH job AS (
  INSERT INTO {jobs} (id, queue_id, priority, task_id, args, options, headers, depth, trace, expires_at, created_at)
  VALUES (:id::uuid, :queue_id::bigint, :priority::smallint, :task_id::bigint, :args::bytea,
          :options::text, :headers::text, 0, :trace::text,
          COALESCE(:expires_at::timestamptz, {after:expires}), {now})
  RETURNING id)

-- macro: ready_of_job
INSERT INTO {ready} (queue_id, priority_order, job_id, task_id, lease, attempt)
SELECT :queue_id::bigint, 4 - :priority::smallint, id, :task_id::bigint, 0, 0
FROM job

-- Inserts one job that is ready at once in one round trip, without BEGIN and COMMIT.
-- name: job_insert_ready
{new_ready_job}
{ready_of_job}

-- The same with its event.
-- name: job_insert_logged
{new_ready_job},
logged AS (
  INSERT INTO {outbox} (at, n, pack) SELECT {epoch}, 1, :pack::bytea FROM job)
{ready_of_job}

-- macro: epoch_of_start
extract(epoch from {now})::float8

-- macro: any_job
(array_agg(job_id))[1]

-- macro: picked_to_leases
gone AS (
  DELETE FROM {ready} WHERE ctid = ANY(ARRAY(SELECT at FROM picked))
  RETURNING queue_id, priority_order, job_id, task_id, lease, attempt),
held AS (
  INSERT INTO {leases} (job_id, lease, attempt, worker_id, queue_id, priority_order, task_id, started_at)
  SELECT job_id, lease + 1, attempt + 1, :worker_id::bigint, queue_id, priority_order, task_id, {now} FROM gone
  RETURNING job_id, lease, attempt, priority_order)

-- macro: held_columns
uuid_send(held.job_id), held.lease, held.attempt, j.task_id, j.queue_id, j.priority, j.args,
       j.options, j.headers, uuid_send(j.parent_id), uuid_send(j.root_id), j.depth, j.spawn_index,
       uuid_send(j.dependent_id), j.unique_key, j.trace, uuid_send(j.workflow_id), j.flags, j.expired

-- macro: held_jobs
FROM held
CROSS JOIN LATERAL (
  SELECT *, COALESCE(expires_at <= {now}, false) AS expired FROM {jobs} WHERE id = held.job_id LIMIT 1) j

-- The lateral join reads the priorities in order and the LIMIT stops it, so it locks no row of a lower
-- priority in vain. A bookmark for each priority keeps it from reading dead rows below it again. The
-- delete goes by ctid and the last join is lateral, so no plan can scan a table.
-- name: claim
WITH picked AS MATERIALIZED (
  SELECT r.at FROM unnest(:priority_orders::smallint[], :bookmarks::uuid[])
    AS p(priority_order, bookmark)
  CROSS JOIN LATERAL (
    SELECT c.ctid AS at FROM {ready} c
    WHERE c.queue_id = :queue_id::bigint AND c.priority_order = p.priority_order AND c.job_id >= p.bookmark
      AND c.task_id = ANY(:task_ids::bigint[]) AND c.task_id <> ALL(ARRAY({paused_tasks}))
    ORDER BY c.job_id LIMIT :n::bigint FOR UPDATE SKIP LOCKED) r
  WHERE NOT {is_paused}
  LIMIT :n::bigint),
{picked_to_leases}
SELECT {held_columns}
{held_jobs}

-- The same, but of each priority up to its own number: for weighted priorities.
-- name: claim_counts
WITH picked AS MATERIALIZED (
  SELECT r.at FROM unnest(:priority_orders::smallint[], :bookmarks::uuid[], :counts::bigint[])
    AS p(priority_order, bookmark, n)
  CROSS JOIN LATERAL (
    SELECT c.ctid AS at FROM {ready} c
    WHERE c.queue_id = :queue_id::bigint AND c.priority_order = p.priority_order AND c.job_id >= p.bookmark
      AND c.task_id = ANY(:task_ids::bigint[]) AND c.task_id <> ALL(ARRAY({paused_tasks}))
    ORDER BY c.job_id LIMIT p.n FOR UPDATE SKIP LOCKED) r
  WHERE NOT {is_paused}),
{picked_to_leases}
SELECT {held_columns}
{held_jobs}

-- The same in parts of priorities: jobs that have been ready since a time in a span.
-- name: claim_parts
WITH picked AS MATERIALIZED (
  SELECT r.at FROM unnest(:priority_orders::smallint[], :bookmarks::uuid[], :sinces::float8[],
                          :untils::float8[], :firsts::uuid[], :ends::uuid[], :counts::bigint[])
    AS p(priority_order, bookmark, since, until, first, "end", n)
  CROSS JOIN LATERAL (
    SELECT c.ctid AS at FROM {ready} c
    WHERE c.queue_id = :queue_id::bigint AND c.priority_order = p.priority_order AND c.job_id >= p.bookmark
      AND c.job_id < p."end"
      AND CASE WHEN c.ready_at IS NULL THEN c.job_id >= p.first
               ELSE c.ready_at >= p.since AND c.ready_at < p.until END
      AND c.task_id = ANY(:task_ids::bigint[]) AND c.task_id <> ALL(ARRAY({paused_tasks}))
    ORDER BY c.job_id LIMIT p.n FOR UPDATE SKIP LOCKED) r
  WHERE NOT {is_paused}
  LIMIT :n::bigint),
{picked_to_leases}
SELECT {held_columns}
{held_jobs}

-- The same as on SQLite in half of the steps: a lane and its first job are read at once.
-- macro: next_lane
SELECT r.priority_order AS lane, r.job_id, r.task_id FROM {ready} r
WHERE r.queue_id = :queue_id::bigint AND r.priority_order > f.lane AND r.priority_order < :until::bigint
ORDER BY r.priority_order, r.job_id LIMIT 1

-- name: lanes
WITH RECURSIVE found (lane, job_id, task_id, n) AS (
  SELECT s.lane, s.job_id, s.task_id, 1
  FROM (SELECT :after::bigint AS lane) f CROSS JOIN LATERAL ({next_lane}) s
  UNION ALL
  SELECT s.lane, s.job_id, s.task_id, f.n + 1
  FROM found f CROSS JOIN LATERAL ({next_lane}) s
  WHERE f.n < :most::integer)
SELECT f.lane, f.job_id, k.limit_id, k.tat - {epoch}, {running_of_lane}, f.task_id, j.limit_key
FROM found f
LEFT JOIN LATERAL (SELECT k.limit_id, k.tat FROM {limit_keys} k WHERE k.id = {key_of_lane} LIMIT 1) k ON true
LEFT JOIN LATERAL (
  SELECT j.limit_key FROM {jobs} j WHERE j.id = f.job_id AND (f.lane & 576460752303423488) <> 0 LIMIT 1) j ON true
{better_lanes}

-- The locks of keys (hammerflow/jobs/limit.py) are taken first, in the order of their numbers; those that another
-- claim has are passed over. A statement sees what had committed when it began: so a lock counts only if no claim
-- has committed under it since, which its version tells, as a locked row is read as it is now.
-- macro: open_locks
locked AS MATERIALIZED (
  SELECT id, ctid AS at, version FROM {limit_locks} WHERE id = ANY(ARRAY(SELECT id FROM locks)) ORDER BY id
  FOR UPDATE SKIP LOCKED),
open AS MATERIALIZED (
  SELECT l.id, l.at FROM locked l
  CROSS JOIN LATERAL (SELECT c.version FROM {limit_locks} c WHERE c.id = l.id LIMIT 1) c
  WHERE c.version = l.version)

-- macro: key_lock
(@.id >> 51)

-- What has started is noted in the rows of keys under a rate, and in the locks.
-- macro: noted
noted AS (
  UPDATE {limit_keys} k
  SET tat = greatest(k.tat, {epoch}) + s.n * s.spacing
  FROM started s
  WHERE k.ctid = s.at),
turned AS (
  UPDATE {limit_locks} SET version = version + 1
  WHERE ctid = ANY(ARRAY(SELECT at FROM open WHERE EXISTS (SELECT 1 FROM picked))))

-- Claims from lanes, the first lanes first: of each up to its own number, and no more than its key allows. A key
-- under a rate that has no row starts nothing: there would be no place for its next start.
-- :shared is the key of the queue's own limit, or 0. Parameters whose values would change the planner's
-- estimates come out of a subquery: else it would plan each claim again, which costs as much as a claim.
-- Keys are looked up by LATERAL and LIMIT, and updated by ctid: a plan from statistics that call the table
-- small would read all of it for each key.
-- name: claim_lanes
WITH given AS MATERIALIZED (SELECT :shared::bigint AS shared),
fair_running AS MATERIALIZED ({fair_running}),
wanted AS MATERIALIZED (
  SELECT * FROM unnest((SELECT :lanes::bigint[]), (SELECT :keys::bigint[]), (SELECT :counts::bigint[]))
    WITH ORDINALITY AS w(lane, key, n, at)),
locks AS MATERIALIZED (SELECT unnest((SELECT :locks::bigint[])) AS id),
{open_locks},
free AS MATERIALIZED (
  SELECT i.id, k.at, m.spacing, greatest(least(
    CASE WHEN m.max_running IS NULL THEN 1000000
         WHEN i.id = (SELECT shared FROM given)
         THEN m.max_running - (SELECT count(*) FROM {leases} WHERE queue_id = :queue_id::bigint)
         ELSE m.max_running - {running_of:i} - COALESCE(f.n, 0) END,
    CASE WHEN m.spacing IS NULL THEN 1000000
         WHEN k.at IS NULL THEN 0
         ELSE floor((m.burst * m.spacing - greatest(k.tat - {epoch_of_start}, 0) + 1e-6) / m.spacing) END), 0)::bigint AS n
  FROM unnest((SELECT :ids::bigint[]), (SELECT :limits::bigint[]), (SELECT :names::text[])) AS i(id, limit_id, name)
  LEFT JOIN LATERAL (SELECT k.ctid AS at, k.tat FROM {limit_keys} k WHERE k.id = i.id LIMIT 1) k ON true
  LEFT JOIN LATERAL (SELECT * FROM {limits} m WHERE m.id = i.limit_id LIMIT 1) m ON true
  LEFT JOIN fair_running f ON f.task_id = i.limit_id AND f.name = i.name
  WHERE {key_lock:i} = ANY(ARRAY(SELECT id FROM open))),
allowed AS MATERIALIZED (
  SELECT w.lane, f.id AS key, greatest(least(w.n, f.n - COALESCE(
    sum(w.n) OVER (PARTITION BY w.key ORDER BY w.at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)), 0)::bigint AS n
  FROM wanted w
  JOIN (SELECT id, n FROM free UNION ALL SELECT 0, 1000000) f ON f.id = w.key
  ORDER BY w.at),
picked AS MATERIALIZED (
  SELECT r.at, a.key FROM allowed a
  CROSS JOIN LATERAL (
    SELECT c.ctid AS at FROM {ready} c
    WHERE c.queue_id = :queue_id::bigint AND c.priority_order = a.lane AND c.task_id = ANY(:task_ids::bigint[])
      AND c.task_id <> ALL(ARRAY({paused_tasks}))
    ORDER BY c.job_id LIMIT a.n FOR UPDATE SKIP LOCKED) r
  WHERE NOT {is_paused}
  LIMIT (SELECT CASE WHEN shared = 0 THEN :n::bigint
                     ELSE least(:n::bigint, COALESCE((SELECT n FROM free WHERE id = shared), 0)) END FROM given)),
{picked_to_leases},
of_key AS MATERIALIZED (
  SELECT key, count(*) AS n FROM picked WHERE key <> (SELECT shared FROM given) GROUP BY key
  UNION ALL
  SELECT shared, (SELECT count(*) FROM picked) FROM given WHERE EXISTS (SELECT 1 FROM picked)),
started AS MATERIALIZED (
  SELECT f.at, f.spacing, s.n FROM of_key s JOIN free f ON f.id = s.key WHERE f.spacing IS NOT NULL),
{noted}
SELECT held.priority_order, {held_columns}
{held_jobs}

-- Claims from lanes that hold few jobs each, of one priority, in one statement: their jobs are read in one range,
-- and the keys are counted once. The rows of keys under a rate are written here where they are missing: the next
-- claim starts their jobs. It claims nothing if a lane of better priority holds jobs, or one of these has a
-- fairness key.
-- Nothing is joined that a plan could loop over: rows are looked up one by one, and jobs travel as arrays.
-- name: claim_near_lanes
WITH near AS MATERIALIZED (
  SELECT s.lane, min(s.task_id) AS task_id, array_agg(s.at) AS jobs
  FROM (SELECT r.priority_order AS lane, r.ctid AS at, r.task_id FROM {ready} r
        WHERE r.queue_id = :queue_id::bigint AND r.priority_order > :after::bigint AND r.priority_order < :until::bigint
        ORDER BY r.priority_order, r.job_id LIMIT :rows::bigint) s
  WHERE s.task_id = ANY(:task_ids::bigint[]) AND s.task_id <> ALL(ARRAY({paused_tasks}))
  GROUP BY s.lane ORDER BY s.lane LIMIT :most::bigint),
counted AS MATERIALIZED (
  SELECT f.lane, f.jobs, c.id, k.at AS key_at, k.tat, COALESCE(k.limit_id, f.task_id) AS limit_id, {running_of:c} AS running
  FROM near f
  CROSS JOIN LATERAL (SELECT {key_of_lane} AS id) c
  LEFT JOIN LATERAL (SELECT k.ctid AS at, k.limit_id, k.tat FROM {limit_keys} k WHERE k.id = c.id LIMIT 1) k ON true
  WHERE NOT {is_paused}
    AND ({better_lane}) IS NULL
    AND NOT EXISTS (SELECT 1 FROM near WHERE (lane & 576460752303423488) <> 0)),
held_by AS MATERIALIZED (
  SELECT m.* FROM (SELECT DISTINCT limit_id AS id FROM counted) c
  CROSS JOIN LATERAL (SELECT m.id, m.spacing, m.burst, m.max_running FROM {limits} m WHERE m.id = c.id LIMIT 1) m),
wanted AS MATERIALIZED (
  SELECT * FROM (
    SELECT c.*, m.spacing, m.burst, least(m.max_running - c.running, cardinality(c.jobs)) AS places,
           sum(greatest(least(m.max_running - c.running, cardinality(c.jobs)), 0))
             OVER (ORDER BY c.lane ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM counted c JOIN held_by m ON m.id = c.limit_id) w
  WHERE w.places > 0 AND COALESCE(w.before, 0) < :n::bigint),
locks AS MATERIALIZED (SELECT DISTINCT {key_lock:w} AS id FROM wanted w),
{open_locks},
added AS (
  INSERT INTO {limit_keys} (id, limit_id, name, tat)
  SELECT w.id, w.limit_id, COALESCE(j.limit_key, ''), 0 FROM wanted w
  CROSS JOIN LATERAL (
    SELECT j.limit_key FROM {ready} r JOIN {jobs} j ON j.id = r.job_id WHERE r.ctid = w.jobs[1] LIMIT 1) j
  WHERE w.key_at IS NULL AND w.spacing IS NOT NULL ORDER BY w.id
  ON CONFLICT DO NOTHING),
free AS MATERIALIZED (
  SELECT w.jobs, w.key_at, w.spacing, CASE WHEN w.spacing IS NULL THEN w.places ELSE least(
    w.places, greatest(floor((w.burst * w.spacing - greatest(w.tat - {epoch_of_start}, 0) + 1e-6) / w.spacing), 0)) END::integer AS n
  FROM wanted w
  WHERE {key_lock:w} = ANY(ARRAY(SELECT id FROM open)) AND (w.spacing IS NULL OR w.key_at IS NOT NULL)),
chosen AS MATERIALIZED (
  SELECT j.at, f.key_at, f.spacing FROM free f CROSS JOIN LATERAL unnest(f.jobs[1 : f.n]) AS j(at) LIMIT :n::bigint),
picked AS MATERIALIZED (
  SELECT ctid AS at FROM {ready} WHERE ctid = ANY(ARRAY(SELECT at FROM chosen)) FOR UPDATE SKIP LOCKED),
{picked_to_leases},
started AS MATERIALIZED (
  SELECT key_at AS at, spacing, count(*) AS n FROM chosen WHERE spacing IS NOT NULL GROUP BY key_at, spacing),
{noted}
SELECT held.priority_order, {held_columns}
{held_jobs}

-- Claims these jobs of one lane.
-- name: claim_named
WITH picked AS MATERIALIZED (
  SELECT h.at FROM unnest(:ids::uuid[]) AS i(id) CROSS JOIN LATERAL (
    SELECT r.ctid AS at FROM {ready} r
    WHERE r.queue_id = :queue_id::bigint AND r.priority_order = :priority_order::bigint AND r.job_id = i.id
      AND r.task_id = ANY(:task_ids::bigint[]) AND r.task_id <> ALL(ARRAY({paused_tasks}))
    LIMIT 1 FOR UPDATE SKIP LOCKED) h
  WHERE NOT {is_paused}),
{picked_to_leases}
SELECT {held_columns}
{held_jobs}

-- The fence and the ends of a batch: a lease that is not ours any more writes nothing.
-- Unless the settle is whole, a lease with flags is left to a second, whole settle: something has
-- come to depend on the job since its claim.
-- A NULL state takes the lease away without an end (the job moves to another table). A job that was
-- asked to stop ends as cancelled (6), whatever its outcome.
-- A lease that another transaction has locked is passed over: it must not hold up the others.
-- The lateral join and the delete by ctid leave the planner no other way than the primary key; the
-- + 0 keeps it off the index on worker_id (100 instead of 15 microseconds a job, measured).
-- The time-out of locks holds for what follows in the transaction; in a statement of its own it would
-- cost 60 microseconds.
-- A plain settle does not read started_at, which would cost a conversion for each job.
-- macro: settled
WITH i AS MATERIALIZED (
  SELECT * FROM unnest(:ids::uuid[], :leases::integer[], :states::smallint[], :results::bytea[],
                       :reasons::text[], :ttls::float8[])
                AS i(id, lease, state, result, reason, ttl)),
mine AS (
  DELETE FROM {leases} WHERE ctid = ANY(ARRAY(
    SELECT h.at FROM i CROSS JOIN LATERAL (
      SELECT l.ctid AS at FROM {leases} l WHERE l.job_id = i.id AND l.lease = i.lease
        AND l.worker_id + 0 = :worker_id::bigint AND (:is_whole::boolean OR l.flags = 0)
      LIMIT 1 FOR UPDATE SKIP LOCKED) h))
  RETURNING job_id, lease, attempt, cancel, flags, started_at),
ended AS (
  INSERT INTO {done} (job_id, started_at, finished_at, state, attempt, lease, worker_id, result, reason, result_until)
  SELECT m.job_id, m.started_at, {now}, CASE WHEN m.cancel IS NULL THEN i.state ELSE 6 END, m.attempt, m.lease,
         :worker_id::bigint, CASE WHEN m.cancel IS NULL THEN i.result END, COALESCE(m.cancel, i.reason),
         CASE WHEN m.cancel IS NULL THEN {now} + i.ttl * interval '1 second' END
  FROM mine m JOIN i ON i.id = m.job_id WHERE i.state IS NOT NULL OR m.cancel IS NOT NULL)

-- macro: settled_leases
SELECT uuid_send(job_id), cancel, flags, CASE WHEN :is_whole::boolean THEN started_at END,
       (SELECT set_config('lock_timeout', :lock_timeout::text, true) WHERE :lock_timeout::text IS NOT NULL)
FROM mine

-- name: settle_end
{settled}
{settled_leases}

-- The same for a plain batch with its events (events/record.py), which the client has packed for the case
-- that all leases are taken and no job was asked to stop: completed (3), or cancelled (7). Jobs that events
-- have caused have none (is_event_job in ids.py).
-- name: settle_end_logged
{settled},
whole AS MATERIALIZED (SELECT count(*) = :all::bigint AND count(cancel) = 0 AS is_so FROM mine),
logged AS (
  INSERT INTO {outbox} (at, n, pack)
  SELECT {epoch}, p.n, p.pack FROM whole CROSS JOIN LATERAL unnest(:ns::integer[], :packs::bytea[]) AS p(n, pack)
  WHERE whole.is_so
  UNION ALL
  SELECT {epoch}, count(*), string_agg(CASE WHEN e.lease < 256 AND e.attempt < 256
    THEN set_byte('\x00'::bytea, 0, e.kind) || uuid_send(e.job_id) || substr(int4send(e.lease), 4) || substr(int4send(e.attempt), 4)
    ELSE set_byte('\x00'::bytea, 0, e.kind | 64) || uuid_send(e.job_id) || int4send(e.lease) || int4send(e.attempt) END, ''::bytea)
  FROM (SELECT CASE WHEN cancel IS NULL THEN 3 ELSE 7 END AS kind, job_id, lease, attempt FROM mine
        WHERE NOT (SELECT is_so FROM whole)) e
  WHERE (:wanted::bigint >> e.kind) & 1 = 1 AND substr(uuid_send(e.job_id), 7, 3) <> '\x8ef7b3'::bytea
  HAVING count(*) > 0)
{settled_leases}

-- Moves the first rows of the outbox to the log, under the lock of the relay's row, which another statement
-- has taken before: this one must see what the relay before has committed. A clock (events/record.py) comes
-- before each row. What a row of the log holds ends within the same :size bytes.
-- name: outbox_move
WITH moved AS (
  DELETE FROM {outbox} WHERE seq = ANY(ARRAY(SELECT seq FROM {outbox} ORDER BY seq LIMIT :n::bigint))
  RETURNING seq, at, n, pack),
placed AS MATERIALIZED (
  SELECT seq, at, pack, n, sum(n) OVER (ORDER BY seq) AS upto,
         (sum(length(pack) + 9) OVER (ORDER BY seq) - 1) / :size::bigint AS chunk
  FROM moved),
logged AS (
  INSERT INTO {events} (position, first_position, at, pack)
  SELECT :position::bigint + max(upto), :position::bigint + min(upto - n) + 1, max(at),
         string_agg('\x00'::bytea || int8send(round(at * 1000000)::bigint) || pack, ''::bytea ORDER BY seq)
  FROM placed GROUP BY chunk),
told AS (
  UPDATE {relay} SET position = :position::bigint + (SELECT max(upto) FROM placed)
  WHERE id = 1 AND EXISTS (SELECT 1 FROM placed))
SELECT count(*), :position::bigint + COALESCE(max(upto), 0) FROM placed

-- Transactions of other sessions that have claimed, or are about to: they hold a lock on both tables since
-- before their snapshot. A backup holds only the first one.
-- name: claims_underway
SELECT p.pid, p.virtualtransaction
FROM pg_locks p
JOIN pg_locks l ON l.virtualtransaction = p.virtualtransaction AND l.pid = p.pid
WHERE p.relation = '{pauses}'::regclass
  AND p.mode = 'AccessShareLock'
  AND l.relation = '{leases}'::regclass
  AND l.mode = 'RowExclusiveLock'
  AND p.pid <> pg_backend_pid()
  AND p.database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- name: pause_stamp
UPDATE {pauses}
SET paused_at = {now}
WHERE kind = :kind::smallint
  AND id = :id::bigint
  AND paused_at IS NOT NULL

-- name: ready_delete
DELETE FROM {ready}
WHERE ctid = ANY(ARRAY(
  SELECT h.at FROM unnest(:ids::uuid[]) AS i(id) CROSS JOIN LATERAL (
    SELECT r.ctid AS at FROM {ready} r
    WHERE r.queue_id = :queue_id::bigint AND r.priority_order = :priority_order::bigint AND r.job_id = i.id
    LIMIT 1 FOR UPDATE SKIP LOCKED) h))
RETURNING job_id, queue_id, priority_order, task_id, lease, attempt

-- Waiting jobs and what depends on them, at any depth; also what does not wait any more. PostgreSQL
-- allows one reference to the recursion.
-- name: waiting_below
WITH RECURSIVE below (id) AS (
  SELECT job_id FROM {waiting} WHERE job_id IN (:ids*uuid)
  UNION
  SELECT c.id
  FROM below b
  CROSS JOIN LATERAL (
    SELECT e.child_id AS id FROM {edges} e WHERE e.parent_id = b.id
    UNION ALL
    SELECT j.dependent_id FROM {jobs} j WHERE j.id = b.id AND j.dependent_id IS NOT NULL) c)
SELECT b.id, (SELECT j.workflow_id FROM {jobs} j WHERE j.id = b.id)
FROM below b
LIMIT :n::bigint

-- name: waiting_lock
SELECT job_id, queue_id, priority_order, task_id, lease, pending, failed, skipped, cause, total, rule, delay, eta,
       workflow_id
FROM {waiting}
WHERE job_id IN (:ids*uuid)
ORDER BY job_id
FOR UPDATE

-- name: promote
WITH due AS MATERIALIZED (
  SELECT ctid AS at FROM {scheduled} WHERE run_at <= {now} ORDER BY run_at, job_id
  LIMIT :n::bigint FOR UPDATE SKIP LOCKED),
gone AS (
  DELETE FROM {scheduled} WHERE ctid = ANY(ARRAY(SELECT at FROM due))
  RETURNING queue_id, priority_order, job_id, task_id, lease, attempt),
moved AS (
  INSERT INTO {ready} (queue_id, priority_order, job_id, task_id, lease, attempt, ready_at)
  SELECT queue_id, priority_order, job_id, task_id, lease, attempt, {epoch} FROM gone
  RETURNING queue_id)
SELECT queue_id, count(*)
FROM moved
GROUP BY queue_id

-- Constraints and triggers that would wait for the commit are checked now.
-- name: check_deferred
SET CONSTRAINTS ALL IMMEDIATE