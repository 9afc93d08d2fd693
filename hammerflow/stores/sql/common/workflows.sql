-- Workflows and their members.

-- name: workflows_insert
INSERT INTO {workflows} (id, parent_id, dependent_id, created_at, deadline_at, check_at, check_every, failures,
                         status, policy, collects, flags, kind, name, options)
VALUES (:id::uuid, :parent_id::uuid, :dependent_id::uuid, {now}, {after:timeout}, {after:check_in},
        :check_every::float8, 0, 1, :policy::smallint, :collects::smallint, :flags::smallint,
        :kind::text, :name::text, :options::text)

-- name: nodes_insert
INSERT INTO {nodes} (workflow_id, job_id, position, name)
VALUES (:workflow_id::uuid, :job_id::uuid, :position::integer, :name::text)

-- A settle of a member reads the state of its workflow under a shared lock, so that a failure, pause or
-- cancel comes entirely before or entirely after it.
-- name: workflows_share
SELECT id, status, policy, flags
FROM {workflows}
WHERE id IN (:ids*uuid)
ORDER BY id DESC
{for_share}

-- name: workflows_lock
SELECT id, status, policy, flags
FROM {workflows}
WHERE id IN (:ids*uuid)
ORDER BY id DESC
{for_update}

-- These and the ones inside them, open or all, with what is around each.
-- name: workflows_around
SELECT id, parent_id
FROM {workflows}
WHERE id IN (:ids*uuid)
UNION ALL
SELECT id, parent_id
FROM {workflows}
WHERE parent_id IN (:ids*uuid)
  AND (ended_at IS NULL OR :is_whole::smallint = 1)

-- name: workflows_ending
SELECT id, status, collects, failures, parent_id, dependent_id, flags
FROM {workflows}
WHERE id IN (:ids*uuid)

-- name: workflow_add_failures
UPDATE {workflows}
SET failures = failures + :n::integer
WHERE id = :id::uuid

-- The first reason is kept, unless it is that of a pause (2). The reason is set before the status, as
-- MySQL assigns from left to right.
-- name: workflow_set_status
UPDATE {workflows}
SET
  reason = CASE WHEN status = 2 THEN :reason::text ELSE COALESCE(reason, :reason::text) END,
  status = :status::smallint
WHERE id = :id::uuid

-- name: workflow_end
UPDATE {workflows}
SET status = :status::smallint, ended_at = {now}, deadline_at = NULL, check_at = NULL
WHERE id = :id::uuid

-- name: workflow_options
SELECT options
FROM {workflows}
WHERE id = :id::uuid

-- name: workflows_options
SELECT id, options
FROM {workflows}
WHERE options IS NOT NULL
  AND id IN (:ids*uuid)

-- name: workflow_reopen
UPDATE {workflows}
SET status = 1, ended_at = NULL, reason = NULL, failures = :failures::integer
WHERE id = :id::uuid

-- name: workflows_open_inside
SELECT id
FROM {workflows}
WHERE parent_id = :id::uuid
  AND ended_at IS NULL
ORDER BY id

-- Without a LIMIT: PostgreSQL would sort the rest of the workflow for each page.
-- name: node_ids
SELECT job_id, position
FROM {nodes}
WHERE workflow_id = :id::uuid
ORDER BY job_id

-- The nodes in the order of their ids, page by page: the primary key has that order.
-- name: nodes_after
SELECT job_id, position
FROM {nodes}
WHERE workflow_id = :id::uuid
  AND job_id > :after::uuid
ORDER BY job_id
LIMIT :n::bigint

-- Members that have not started, in chunks; the columns of UnstartedMember.
-- name: members_scheduled
SELECT j.id, s.queue_id, s.priority_order, s.task_id, s.lease, s.attempt, j.unique_key, j.flags
FROM {scheduled} s
JOIN {jobs} j ON j.id = s.job_id
WHERE s.job_id IN (:ids*uuid)
ORDER BY s.job_id
{lock_of:s}

-- name: members_ready
SELECT j.id, r.queue_id, r.priority_order, r.task_id, r.lease, r.attempt, j.unique_key, j.flags
FROM {jobs} j
JOIN {ready} r ON r.queue_id = j.queue_id
  AND r.priority_order = {order:j}
  AND r.job_id = j.id
WHERE j.id IN (:ids*uuid)
ORDER BY j.id
{lock_of:r}

-- name: members_parked
SELECT j.id, p.queue_id, p.priority_order, p.task_id, p.lease, p.attempt, j.unique_key, j.flags
FROM {parked} p
JOIN {jobs} j ON j.id = p.job_id
WHERE p.job_id IN (:ids*uuid)
ORDER BY p.job_id
{lock_of:p}

-- name: members_waiting
SELECT j.id, w.queue_id, w.priority_order, w.task_id, w.lease, 0, j.unique_key, j.flags
FROM {waiting} w
JOIN {jobs} j ON j.id = w.job_id
WHERE w.job_id IN (:ids*uuid)
ORDER BY w.job_id
{lock_of:w}

-- name: members_running
SELECT count(*)
FROM {nodes} n
JOIN {leases} l ON l.job_id = n.job_id
WHERE n.workflow_id = :id::uuid

-- Spawners whose dependents wait for their children, too; (id, flags).
-- name: members_awaiting_children
SELECT n.job_id, j.flags
FROM {nodes} n
JOIN {barriers} g ON g.id = n.job_id
JOIN {jobs} j ON j.id = n.job_id
WHERE n.workflow_id = :id::uuid

-- All jobs of a workflow, with their ends; the columns of SnapshotJob after the workflow.
-- name: members_snapshot
SELECT n.job_id, d.state, d.lease, d.attempt, d.cause, j.queue_id, {order:j}, j.task_id, j.dependent_id,
       j.unique_key, j.flags, CASE WHEN j.awaits IS NULL THEN NULL ELSE COALESCE(j.options, '') END,
       CASE WHEN w.job_id IS NULL THEN 0 ELSE 1 END, CASE WHEN s.parent_id IS NULL THEN 0 ELSE 1 END,
       j.parent_id
FROM {nodes} n
JOIN {jobs} j ON j.id = n.job_id
LEFT JOIN {done} d ON d.job_id = n.job_id
LEFT JOIN {waiting} w ON w.job_id = n.job_id
LEFT JOIN {spawns} s ON s.parent_id = n.job_id
  AND s.lease = d.lease
  AND s.spawned > 0
WHERE n.workflow_id = :id::uuid
ORDER BY n.job_id

-- name: workflows_snapshot
SELECT id, status, policy, failures, parent_id, dependent_id, flags, CASE WHEN reason IS NULL THEN 0 ELSE 1 END
FROM {workflows}
WHERE id IN (:ids*uuid)
ORDER BY id

-- name: workflows_inside
SELECT id
FROM {workflows}
WHERE parent_id = :id::uuid
ORDER BY id

-- name: workflow_set_flags
UPDATE {workflows}
SET flags = :flags::smallint
WHERE id = :id::uuid

-- name: done_decide
UPDATE {done}
SET cause = job_id
WHERE job_id = :id::uuid

-- name: done_delete
DELETE FROM {done}
WHERE job_id IN (:ids*uuid)

-- name: done_waive
UPDATE {done}
SET state = :state::smallint, reason = :reason::text, cause = job_id
WHERE job_id = :id::uuid

-- name: members_running_ids
SELECT n.job_id
FROM {nodes} n
JOIN {leases} l ON l.job_id = n.job_id
WHERE n.workflow_id = :id::uuid
ORDER BY n.job_id

-- How many members are in each state. Not by a join with job_states: PostgreSQL would read all jobs for it.
-- name: members_states
SELECT a.state, count(*)
FROM
  (SELECT COALESCE(
     (SELECT CASE d.state WHEN 4 THEN 'completed' WHEN 5 THEN 'failed' WHEN 6 THEN 'cancelled' ELSE 'skipped' END
      FROM {done} d WHERE d.job_id = n.job_id),
     (SELECT 'running' FROM {leases} l WHERE l.job_id = n.job_id),
     (SELECT 'ready' FROM {jobs} j JOIN {ready} r ON r.queue_id = j.queue_id AND r.priority_order = {order:j}
        AND r.job_id = j.id WHERE j.id = n.job_id),
     (SELECT 'scheduled' FROM {scheduled} s WHERE s.job_id = n.job_id),
     (SELECT 'waiting' FROM {waiting} w WHERE w.job_id = n.job_id),
     (SELECT 'parked' FROM {parked} p WHERE p.job_id = n.job_id),
     (SELECT 'missing' FROM {jobs} j WHERE j.id = n.job_id)) AS state
   FROM {nodes} n
   WHERE n.workflow_id = :id::uuid
     AND n.job_id > :after::uuid
     AND n.job_id <= :until::uuid) a
WHERE a.state IS NOT NULL
GROUP BY a.state

-- name: node_behind
SELECT job_id
FROM {nodes}
WHERE workflow_id = :id::uuid
  AND job_id > :after::uuid
ORDER BY job_id
LIMIT 1 OFFSET :n::bigint

-- SQLite reads the states of all jobs unless the ids are named inside the join, too.
-- name: members_page
SELECT n.job_id, n.position, n.name, j.dependent_id, t.name, s.state, s.reason, d.cause, j.parent_id
FROM {nodes} n
LEFT JOIN {jobs} j ON j.id = n.job_id
LEFT JOIN {tasks} t ON t.id = j.task_id
LEFT JOIN (SELECT v.id, v.state, v.reason FROM {job_states} v WHERE v.id IN (:ids*uuid)) s ON s.id = n.job_id
LEFT JOIN {done} d ON d.job_id = n.job_id
WHERE n.workflow_id = :id::uuid
  AND n.job_id IN (:ids*uuid)
ORDER BY n.job_id

-- Collations of MySQL may ignore trailing blanks: the caller compares the names once more.
-- name: member_named
SELECT job_id, name
FROM {nodes}
WHERE workflow_id = :id::uuid
  AND name = :name::text

-- Failed members come first, in the order of their ends: others may have been cancelled because of them.
-- name: members_failed
SELECT n.job_id, n.name, d.state, d.reason
FROM {nodes} n
JOIN {done} d ON d.job_id = n.job_id
WHERE n.workflow_id = :id::uuid
  AND (d.state = 5 OR (d.state = 6 AND d.attempt > 0))
ORDER BY d.state, d.finished_at, n.job_id
LIMIT :n::bigint

-- name: workflow_rows
SELECT id, kind, name, status, policy, failures, parent_id, created_at, ended_at, deadline_at, check_every,
       options, reason, health
FROM {workflows}
WHERE id IN (:ids*uuid)

-- Of a bounded number of rows, as ids_any.
-- name: workflow_ids
SELECT a.id
FROM
  (SELECT id, status, kind, COALESCE(ended_at, created_at) AS at FROM {workflows} {by_primary}
   WHERE id < :before::uuid ORDER BY id DESC LIMIT :scanned::bigint) a
WHERE a.status IN (:codes*smallint)
  AND (:kind::text IS NULL OR a.kind = :kind::text)
  AND (:since::timestamptz IS NULL OR a.at >= :since::timestamptz)
  AND (:until::timestamptz IS NULL OR a.at < :until::timestamptz)
ORDER BY a.id DESC
LIMIT :n::bigint

-- name: workflow_ids_last
SELECT id FROM {workflows} {by_primary} WHERE id < :before::uuid ORDER BY id DESC LIMIT 1 OFFSET :scanned::bigint

-- name: workflow_ids_between
SELECT id
FROM {workflows}
WHERE id BETWEEN :low::uuid AND :high::uuid
ORDER BY id
LIMIT :n::bigint

-- name: workflows_overdue
SELECT id
FROM {workflows}
WHERE deadline_at <= {now}
  AND ended_at IS NULL
ORDER BY id
LIMIT :n::bigint

-- name: workflows_unchecked
SELECT id
FROM {workflows}
WHERE check_at <= {now}
  AND ended_at IS NULL
ORDER BY id
LIMIT :n::bigint

-- name: workflow_checked
UPDATE {workflows}
SET check_at = {after:check_in}, health = :health::text
WHERE id = :id::uuid
