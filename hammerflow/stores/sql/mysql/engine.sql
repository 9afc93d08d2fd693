-- Times that are written back are read as text (CAST): PyMySQL would return a datetime.
-- Every statement on a hot table forces the primary key: the statistics say the table is empty, and
-- without the hint the optimizer scans all of it and locks other workers' rows (877 deadlocks, measured).
-- MySQL scans the key, hint or not, for what the key alone can answer: such a statement reads the lease, too.
-- A DELETE of one table takes no such hint, one of several takes it, but MySQL scans there all the
-- same: MariaDB gets the second form (/*M!), and MySQL, from 8.0.20 on, the first one with its own hint.
-- name: queue_ensure
INSERT INTO {queues} (id, name)
VALUES (:id::bigint, :name::text)
ON DUPLICATE KEY UPDATE name = name

-- name: task_ensure
INSERT INTO {tasks} (id, name)
VALUES (:id::bigint, :name::text)
ON DUPLICATE KEY UPDATE name = name

-- name: client_note
INSERT INTO {clients} (id, doorbell, seen_at)
VALUES (:id::bigint, :doorbell::text, {now})
ON DUPLICATE KEY UPDATE seen_at = VALUES(seen_at)

-- name: limit_insert
INSERT INTO {limits} (id, target)
VALUES (:id::bigint, :target::text)
ON DUPLICATE KEY UPDATE id = id

-- name: limit_keys_insert
INSERT INTO {limit_keys} (id, limit_id, name, tat)
VALUES (:id::bigint, :limit_id::bigint, :name::text, 0)
ON DUPLICATE KEY UPDATE {limit_keys}.id = {limit_keys}.id

-- name: limit_keys_start
INSERT INTO {limit_keys} (id, limit_id, name, tat)
VALUES (:id::bigint, 0, '', :seconds::float8)
ON DUPLICATE KEY UPDATE tat = GREATEST({limit_keys}.tat, {epoch}) + VALUES(tat)

-- name: unique_insert
INSERT INTO {unique_keys} (ukey, job_id)
VALUES (:ukey::text, :job_id::uuid)
ON DUPLICATE KEY UPDATE ukey = ukey

-- name: unique_take
INSERT INTO {unique_keys} (ukey, job_id, until, latest)
VALUES (:ukey::text, :job_id::uuid, {after:within}, {after:max_wait})
ON DUPLICATE KEY UPDATE ukey = ukey

-- name: unique_rows
SELECT CONVERT(ukey USING utf8mb4), job_id, CASE WHEN until <= {now} THEN 1 ELSE 0 END, -({age:latest})
FROM {unique_keys} FORCE INDEX (PRIMARY)
WHERE ukey IN (:ukeys*text)
FOR UPDATE

-- name: unique_over
SELECT CONVERT(ukey USING utf8mb4)
FROM {unique_keys}
WHERE until <= {now}
LIMIT :n::bigint

-- FOR UPDATE reads past the snapshot of a caller's REPEATABLE READ, which may be older than the key.
-- name: unique_holders
SELECT CONVERT(ukey USING utf8mb4), job_id
FROM {unique_keys} FORCE INDEX (PRIMARY)
WHERE ukey IN (:ukeys*text)
FOR UPDATE

-- name: unique_held
SELECT CONVERT(ukey USING utf8mb4), job_id
FROM {unique_keys} FORCE INDEX (PRIMARY)
WHERE ukey IN (:ukeys*text)
  AND (until IS NULL OR until > {now})

-- name: unique_release
DELETE /*+ INDEX({unique_keys} PRIMARY) */ /*M! {unique_keys} */
FROM {unique_keys} /*M! FORCE INDEX (PRIMARY) */
WHERE ukey IN (:ukeys*text)
  AND job_id IN (:ids*uuid)

-- name: progress_put
INSERT INTO {progress} (job_id, at, fraction, note)
VALUES (:job_id::uuid, {now}, :fraction::float8, :note::text)
ON DUPLICATE KEY UPDATE at = VALUES(at), fraction = VALUES(fraction), note = VALUES(note)

-- name: job_logs_put
INSERT INTO {job_logs} (job_id, lease, attempt, line_count, dropped, data)
VALUES (:job_id::uuid, :lease::integer, :attempt::integer, :line_count::integer, :dropped::integer,
        :data::bytea)
ON DUPLICATE KEY UPDATE line_count = VALUES(line_count), dropped = VALUES(dropped), data = VALUES(data)

-- A number with a sign, as the index has them.
-- macro: key_of
CAST(@ & 1152921504606846975 AS SIGNED)

-- How many pauses there were, below zero while nothing is paused.
-- macro: version_of
SELECT IF(live > 0, version, -1 - version) FROM {pauses} WHERE kind = 0 AND id = 0

-- macro: pause_version
IFNULL(({version_of}), 0)

-- macro: locked_version
IFNULL(({version_of} LOCK IN SHARE MODE), 0)

-- name: pause_turn
UPDATE {pauses}
SET version = version + 1
WHERE kind = 0
  AND id = 0

-- name: pause_live
UPDATE {pauses}
SET live = :live::integer
WHERE kind = 0
  AND id = 0

-- name: pause_put
INSERT INTO {pauses} (kind, id, name, paused_at, paused_by, reason)
VALUES (:kind::smallint, :id::bigint, :name::text, {now}, :by::text, :reason::text)
ON DUPLICATE KEY UPDATE paused_at = VALUES(paused_at), paused_by = VALUES(paused_by), reason = VALUES(reason)

-- name: web_answer_insert
INSERT IGNORE INTO {web_answers} (hash, body, until)
VALUES (:hash::text, :body::text, {epoch} + :keep::float8)

-- macro: claimable
SELECT r.job_id, r.lease + 1, r.attempt + 1, r.task_id, r.queue_id, j.priority, j.args, j.options, j.headers,
       j.parent_id, j.root_id, j.depth, j.spawn_index, j.dependent_id, j.unique_key, j.trace,
       j.workflow_id, j.flags, COALESCE(j.expires_at <= {now}, 0), {pause_version}
FROM {ready} r FORCE INDEX (PRIMARY)
STRAIGHT_JOIN {jobs} j FORCE INDEX (PRIMARY) ON j.id = r.job_id
WHERE r.queue_id = :queue_id::bigint
  AND r.task_id IN (:task_ids*bigint)

-- macro: unpaused
AND r.task_id NOT IN ({paused_tasks})
  AND NOT {is_paused}

-- From 8 on an order is a lane of jobs with a limit. The version says whether anything is paused at all; only
-- then the second statement reads what.
-- name: claim_read
{claimable}
  AND r.priority_order < 8
ORDER BY r.priority_order, r.job_id
LIMIT :n::bigint
FOR UPDATE SKIP LOCKED

-- name: claim_read_unpaused
{claimable}
  {unpaused}
  AND r.priority_order < 8
ORDER BY r.priority_order, r.job_id
LIMIT :n::bigint
FOR UPDATE SKIP LOCKED

-- name: claim_lane
{claimable}
  {unpaused}
  AND r.priority_order = :lane::bigint
ORDER BY r.job_id
LIMIT :n::bigint
FOR UPDATE SKIP LOCKED

-- Jobs that have been ready since a time in a span; the ids are those that begin and end it.
-- name: claim_part
{claimable}
  {unpaused}
  AND r.priority_order = :priority_order::bigint
  AND r.job_id < :end::uuid
  AND CASE WHEN r.ready_at IS NULL THEN r.job_id >= :first::uuid
           ELSE r.ready_at >= :since::float8 AND r.ready_at < :until::float8 END
ORDER BY r.job_id
LIMIT :n::bigint
FOR UPDATE SKIP LOCKED

-- macro: any_job
min(job_id)

-- The first jobs in lanes, and the first one of better priority.
-- name: lane_rows
SELECT r.priority_order, r.job_id, r.task_id
FROM {ready} r FORCE INDEX (PRIMARY)
WHERE r.queue_id = :queue_id::bigint
  AND (r.priority_order > :above::bigint AND r.priority_order < :top::bigint
       OR r.priority_order > :after::bigint AND r.priority_order < :until::bigint)
ORDER BY r.priority_order, r.job_id
LIMIT :rows::bigint

-- Only the first job of each lane, by one step down the primary key for each.
-- name: lane_firsts
SELECT f.lane, f.job_id, r.task_id
FROM
  (SELECT queue_id, priority_order AS lane, MIN(job_id) AS job_id
   FROM {ready} FORCE INDEX (PRIMARY)
   WHERE queue_id = :queue_id::bigint
     AND (priority_order > :above::bigint AND priority_order < :top::bigint
          OR priority_order > :after::bigint AND priority_order < :until::bigint)
   GROUP BY queue_id, priority_order
   ORDER BY queue_id, priority_order
   LIMIT :most::bigint) f
STRAIGHT_JOIN {ready} r FORCE INDEX (PRIMARY) ON r.queue_id = f.queue_id AND r.priority_order = f.lane AND r.job_id = f.job_id
ORDER BY f.lane

-- The first jobs of one lane.
-- name: lane_jobs
SELECT r.job_id
FROM {ready} r FORCE INDEX (PRIMARY)
WHERE r.queue_id = :queue_id::bigint
  AND r.priority_order = :lane::bigint
ORDER BY r.job_id
LIMIT :n::bigint

-- Claims jobs of several lanes, which have been read before.
-- name: claim_heads
SELECT r.job_id, r.lease + 1, r.attempt + 1, r.task_id, r.queue_id, j.priority, j.args, j.options, j.headers,
       j.parent_id, j.root_id, j.depth, j.spawn_index, j.dependent_id, j.unique_key, j.trace,
       j.workflow_id, j.flags, COALESCE(j.expires_at <= {now}, 0), {pause_version}
FROM {jobs} j FORCE INDEX (PRIMARY)
STRAIGHT_JOIN {ready} r FORCE INDEX (PRIMARY) ON r.queue_id = :queue_id::bigint
  AND r.priority_order = j.lane
  AND r.job_id = j.id
WHERE j.id IN (:ids*uuid)
  AND r.task_id IN (:task_ids*bigint)
  {unpaused}
ORDER BY j.id
FOR UPDATE SKIP LOCKED

-- name: claim_named
{claimable}
  {unpaused}
  AND r.priority_order = :priority_order::bigint
  AND r.job_id IN (:ids*uuid)
ORDER BY r.job_id
{skip_locked}

-- name: claim_passed
SELECT 1
FROM {ready} r FORCE INDEX (PRIMARY)
WHERE r.queue_id = :queue_id::bigint
  AND r.priority_order < 8
  AND r.task_id IN (:task_ids*bigint)
  AND r.task_id NOT IN ({paused_tasks})
  AND NOT {is_paused}
LIMIT 1

-- The rows are locked by claim_read, so they are copied inside the server. The shared lock on the row of
-- the app, until the commit, orders the claim against each pause: one that has committed since claim_read
-- has counted the version up, and a later one waits for the claim.
-- name: leases_take
INSERT INTO {leases} (job_id, lease, attempt, worker_id, queue_id, priority_order, task_id, started_at)
SELECT job_id, lease + 1, attempt + 1, :worker_id::bigint, queue_id, priority_order, task_id, {now}
FROM {ready} FORCE INDEX (PRIMARY)
WHERE queue_id = :queue_id::bigint
  AND priority_order = :priority_order::bigint
  AND job_id IN (:ids*uuid)
  AND {locked_version} = :version::integer

-- name: ready_delete
DELETE /*+ INDEX({ready} PRIMARY) */ /*M! {ready} */
FROM {ready} /*M! FORCE INDEX (PRIMARY) */
WHERE queue_id = :queue_id::bigint
  AND priority_order = :priority_order::bigint
  AND job_id IN (:ids*uuid)

-- The same for jobs of several lanes.
-- name: leases_take_lanes
INSERT INTO {leases} (job_id, lease, attempt, worker_id, queue_id, priority_order, task_id, started_at)
SELECT r.job_id, r.lease + 1, r.attempt + 1, :worker_id::bigint, r.queue_id, r.priority_order, r.task_id, {now}
FROM {jobs} j FORCE INDEX (PRIMARY)
STRAIGHT_JOIN {ready} r FORCE INDEX (PRIMARY) ON r.queue_id = :queue_id::bigint
  AND r.priority_order = j.lane
  AND r.job_id = j.id
WHERE j.id IN (:ids*uuid)
  AND {locked_version} = :version::integer

-- name: ready_delete_lanes
DELETE r
FROM {jobs} j FORCE INDEX (PRIMARY)
STRAIGHT_JOIN {ready} r FORCE INDEX (PRIMARY) ON r.queue_id = :queue_id::bigint
  AND r.priority_order = j.lane
  AND r.job_id = j.id
WHERE j.id IN (:ids*uuid)

-- name: leases_lock
SELECT job_id, lease, cancel, flags, CAST(started_at AS CHAR)
FROM {leases} FORCE INDEX (PRIMARY)
WHERE worker_id = :worker_id::bigint
  AND job_id IN (:ids*uuid)
ORDER BY job_id
FOR UPDATE SKIP LOCKED

-- name: leases_wait
SELECT job_id, lease
FROM {leases} FORCE INDEX (PRIMARY)
WHERE worker_id = :worker_id::bigint
  AND job_id IN (:ids*uuid)
ORDER BY job_id
FOR UPDATE

-- name: leases_free
SELECT job_id
FROM {leases} FORCE INDEX ({prefix}leases_job)
WHERE job_id IN (:ids*uuid)
  AND lease >= 0
ORDER BY job_id
FOR UPDATE SKIP LOCKED

-- name: leases_of_jobs
SELECT job_id
FROM {leases} FORCE INDEX ({prefix}leases_job)
WHERE job_id IN (:ids*uuid)
  AND lease >= 0
ORDER BY job_id
FOR UPDATE

-- name: leases_held
SELECT job_id, lease
FROM {leases} FORCE INDEX (PRIMARY)
WHERE worker_id = :worker_id::bigint
  AND job_id IN (:ids*uuid)

-- name: leases_delete
DELETE /*+ INDEX({leases} PRIMARY) */ /*M! {leases} */
FROM {leases} /*M! FORCE INDEX (PRIMARY) */
WHERE worker_id = :worker_id::bigint
  AND job_id IN (:ids*uuid)

-- name: worker_leases
SELECT job_id, queue_id, priority_order, task_id, lease, attempt, CAST(started_at AS CHAR), cancel
FROM {leases} FORCE INDEX (PRIMARY)
WHERE worker_id = :worker_id::bigint
ORDER BY job_id
LIMIT :n::bigint
FOR UPDATE SKIP LOCKED

-- Waiting jobs and what depends on them, at any depth; also what does not wait any more. Beyond a
-- depth of 1 000 MySQL would fail, and MariaDB stops.
-- name: waiting_below
WITH RECURSIVE below (id) AS (
  SELECT job_id FROM {waiting} FORCE INDEX (PRIMARY) WHERE job_id IN (:ids*uuid) AND lease >= 0
  UNION
  SELECT e.child_id FROM below b JOIN {edges} e FORCE INDEX (PRIMARY) ON e.parent_id = b.id
  UNION
  SELECT j.dependent_id FROM below b JOIN {jobs} j FORCE INDEX (PRIMARY) ON j.id = b.id
  WHERE j.dependent_id IS NOT NULL
  /*!80019 LIMIT 900 */)
SELECT b.id, (SELECT j.workflow_id FROM {jobs} j WHERE j.id = b.id)
FROM below b
LIMIT :n::bigint

-- name: waiting_lock
SELECT job_id, queue_id, priority_order, task_id, lease, pending, failed, skipped, cause, total, rule, delay,
       CAST(eta AS CHAR), workflow_id
FROM {waiting} FORCE INDEX (PRIMARY)
WHERE job_id IN (:ids*uuid)
ORDER BY job_id
FOR UPDATE

-- name: waiting_delete
DELETE /*+ INDEX({waiting} PRIMARY) */ /*M! {waiting} */
FROM {waiting} /*M! FORCE INDEX (PRIMARY) */
WHERE job_id IN (:ids*uuid)

-- name: promote_pick
SELECT job_id, queue_id, priority_order, task_id, lease, attempt
FROM {scheduled} FORCE INDEX (PRIMARY)
WHERE run_at <= {now}
ORDER BY run_at, job_id
LIMIT :n::bigint
FOR UPDATE SKIP LOCKED

-- name: scheduled_delete
DELETE /*+ INDEX({scheduled} {prefix}scheduled_job) */ /*M! {scheduled} */
FROM {scheduled} /*M! FORCE INDEX ({prefix}scheduled_job) */
WHERE job_id IN (:ids*uuid)

-- name: unserved_head
SELECT h.priority_order, h.job_id
FROM
  (SELECT priority_order, job_id, task_id FROM {ready} FORCE INDEX (PRIMARY) WHERE queue_id = :queue_id::bigint
   ORDER BY priority_order, job_id LIMIT :n::bigint) h
WHERE NOT EXISTS (SELECT 1 FROM {worker_tasks} t WHERE t.task_id = h.task_id)

-- name: ready_lock
SELECT job_id, queue_id, priority_order, task_id, lease, attempt
FROM {ready} FORCE INDEX (PRIMARY)
WHERE queue_id = :queue_id::bigint
  AND priority_order = :priority_order::bigint
  AND job_id IN (:ids*uuid)
ORDER BY job_id
FOR UPDATE SKIP LOCKED

-- Inserts one job that is ready at once in one packet: one round trip instead of four. After an error
-- the server skips the rest, and the open transaction is rolled back.
-- name: job_insert_ready
BEGIN;
INSERT INTO {jobs} (id, queue_id, priority, task_id, args, options, headers, depth, trace, expires_at, created_at)
VALUES (:id::uuid, :queue_id::bigint, :priority::smallint, :task_id::bigint, :args::bytea,
        :options::text, :headers::text, 0, :trace::text,
        COALESCE(:expires_at::timestamptz, {after:expires}), {now});
INSERT INTO {ready} (queue_id, priority_order, job_id, task_id, lease, attempt)
VALUES (:queue_id::bigint, 4 - :priority::smallint, :id::uuid, :task_id::bigint, 0, 0);
COMMIT

-- The same with its event.
-- name: job_insert_logged
BEGIN;
INSERT INTO {jobs} (id, queue_id, priority, task_id, args, options, headers, depth, trace, expires_at, created_at)
VALUES (:id::uuid, :queue_id::bigint, :priority::smallint, :task_id::bigint, :args::bytea,
        :options::text, :headers::text, 0, :trace::text,
        COALESCE(:expires_at::timestamptz, {after:expires}), {now});
INSERT INTO {ready} (queue_id, priority_order, job_id, task_id, lease, attempt)
VALUES (:queue_id::bigint, 4 - :priority::smallint, :id::uuid, :task_id::bigint, 0, 0);
INSERT INTO {outbox} (at, n, pack)
VALUES ({epoch}, 1, :pack::bytea);
COMMIT

-- name: members_scheduled
SELECT j.id, s.queue_id, s.priority_order, s.task_id, s.lease, s.attempt, j.unique_key, j.flags
FROM {scheduled} s FORCE INDEX ({prefix}scheduled_job)
STRAIGHT_JOIN {jobs} j FORCE INDEX (PRIMARY) ON j.id = s.job_id
WHERE s.job_id IN (:ids*uuid)
ORDER BY s.job_id
{lock_of:s}

-- name: members_parked
SELECT j.id, p.queue_id, p.priority_order, p.task_id, p.lease, p.attempt, j.unique_key, j.flags
FROM {parked} p FORCE INDEX (PRIMARY)
STRAIGHT_JOIN {jobs} j FORCE INDEX (PRIMARY) ON j.id = p.job_id
WHERE p.job_id IN (:ids*uuid)
ORDER BY p.job_id
{lock_of:p}

-- name: members_waiting
SELECT j.id, w.queue_id, w.priority_order, w.task_id, w.lease, 0, j.unique_key, j.flags
FROM {waiting} w FORCE INDEX (PRIMARY)
STRAIGHT_JOIN {jobs} j FORCE INDEX (PRIMARY) ON j.id = w.job_id
WHERE w.job_id IN (:ids*uuid)
ORDER BY w.job_id
{lock_of:w}

-- name: members_ready
SELECT j.id, r.queue_id, r.priority_order, r.task_id, r.lease, r.attempt, j.unique_key, j.flags
FROM {jobs} j FORCE INDEX (PRIMARY)
STRAIGHT_JOIN {ready} r FORCE INDEX (PRIMARY) ON r.queue_id = j.queue_id
  AND r.priority_order = {order:j}
  AND r.job_id = j.id
WHERE j.id IN (:ids*uuid)
ORDER BY j.id
{lock_of:r}

-- name: members_running
SELECT count(*)
FROM {nodes} n FORCE INDEX (PRIMARY)
STRAIGHT_JOIN {leases} l FORCE INDEX ({prefix}leases_job) ON l.job_id = n.job_id
WHERE n.workflow_id = :id::uuid

-- name: members_running_ids
SELECT n.job_id
FROM {nodes} n FORCE INDEX (PRIMARY)
STRAIGHT_JOIN {leases} l FORCE INDEX ({prefix}leases_job) ON l.job_id = n.job_id
WHERE n.workflow_id = :id::uuid
ORDER BY n.job_id

-- name: members_awaiting_children
SELECT n.job_id, j.flags
FROM {nodes} n FORCE INDEX (PRIMARY)
STRAIGHT_JOIN {barriers} g FORCE INDEX (PRIMARY) ON g.id = n.job_id
STRAIGHT_JOIN {jobs} j FORCE INDEX (PRIMARY) ON j.id = n.job_id
WHERE n.workflow_id = :id::uuid

-- name: barriers_lock
SELECT id, pending, failed
FROM {barriers} FORCE INDEX (PRIMARY)
WHERE id IN (:ids*uuid)
ORDER BY id
FOR UPDATE

-- name: barriers_count
UPDATE {barriers} FORCE INDEX (PRIMARY)
SET pending = pending - :n::integer, failed = failed + :failed::integer
WHERE id IN (:ids*uuid)

-- name: barriers_delete
DELETE /*+ INDEX({barriers} PRIMARY) */ /*M! {barriers} */
FROM {barriers} /*M! FORCE INDEX (PRIMARY) */
WHERE id IN (:ids*uuid)

-- macro: numbered
CONCAT('#', j.@_id)

-- macro: parked_because
CONCAT(p.why, ': ', p.detail)
