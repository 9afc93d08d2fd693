-- How long ended jobs are kept, and their removal: reads without locks, then one transaction a chunk.

-- name: retention_policies
SELECT 'queue', id, name, retention FROM {queues} WHERE retention IS NOT NULL
UNION ALL
SELECT 'task', id, name, retention FROM {tasks} WHERE retention IS NOT NULL

-- name: queue_keep
UPDATE {queues}
SET retention = :retention::text
WHERE id = :id::bigint

-- name: task_keep
UPDATE {tasks}
SET retention = :retention::text
WHERE id = :id::bigint

-- name: retention_begin
INSERT INTO {retention} (id, due_at, removed)
VALUES (1, {now}, 0)
ON CONFLICT DO NOTHING

-- One worker at a time has the turn; it passes to another if nothing is noted for so long.
-- name: retention_take
UPDATE {retention}
SET due_at = {after:hold}
WHERE id = 1
  AND due_at <= {now}

-- name: retention_state
SELECT {seconds_until:due_at}, position, removed, archived, walked_at
FROM {retention}
WHERE id = 1

-- name: retention_note
UPDATE {retention}
SET due_at = {after:pause}, position = :position::uuid, removed = removed + :removed::bigint,
  walked_at = CASE WHEN :is_over::smallint = 1 THEN {now} ELSE walked_at END
WHERE id = 1

-- macro: member_columns
d.state, d.lease, {age:finished_at}, j.queue_id, j.task_id, j.parent_id, j.root_id, j.workflow_id,
       j.dependent_id, j.flags, j.awaits, j.unique_key

-- The next ended jobs in the order of their ids, which is that of their enqueueing.
-- name: ended_page
SELECT d.job_id, {member_columns}
FROM
  (SELECT job_id, state, lease, finished_at FROM {done} {by_primary}
   WHERE job_id > :after::uuid AND job_id < :before::uuid
   ORDER BY job_id LIMIT :n::bigint) d
LEFT JOIN {jobs} j {by_primary} ON j.id = d.job_id
ORDER BY d.job_id

-- name: members_of
SELECT j.id, {member_columns}
FROM {jobs} j {by_primary}
LEFT JOIN {done} d {by_primary} ON d.job_id = j.id
WHERE j.id IN (:ids*uuid)

-- name: parents_among
SELECT DISTINCT parent_id
FROM {jobs}
WHERE parent_id IN (:ids*uuid)

-- name: children_of
SELECT parent_id, id
FROM {jobs}
WHERE parent_id IN (:ids*uuid)

-- name: nodes_of
SELECT workflow_id, job_id
FROM {nodes}
WHERE workflow_id IN (:ids*uuid)

-- These workflows and the ones inside them, with what is around each.
-- name: workflows_near
SELECT id, parent_id, dependent_id, flags, status
FROM {workflows}
WHERE id IN (:ids*uuid)
UNION
SELECT id, parent_id, dependent_id, flags, status
FROM {workflows}
WHERE parent_id IN (:ids*uuid)

-- Rows that another transaction has locked are passed over: what they belong to stays for now.
-- name: workflows_take
SELECT id, flags, status
FROM {workflows} {by_primary}
WHERE id IN (:ids*uuid)
ORDER BY id DESC
{skip_locked}

-- name: jobs_take
SELECT id, flags
FROM {jobs} {by_primary}
WHERE id IN (:ids*uuid)
ORDER BY id
{skip_locked}

-- name: done_take
SELECT job_id, lease
FROM {done} {by_primary}
WHERE job_id IN (:ids*uuid)
ORDER BY job_id
{skip_locked}

-- Of these dependents, those that have not completed, or whose workflow has not: they may still run, by
-- a retry if they have failed, and then read what they depend on. 4 and 5 are the states completed.
-- name: dependents_open
SELECT j.id
FROM {jobs} j {by_primary}
LEFT JOIN {done} d {by_primary} ON d.job_id = j.id
LEFT JOIN {workflows} w {by_primary} ON w.id = j.workflow_id
WHERE j.id IN (:ids*uuid)
  AND (d.state IS NULL OR d.state <> 4 OR w.status <> 5)
UNION ALL
SELECT f.id
FROM {workflows} f {by_primary}
WHERE f.id IN (:ids*uuid)
  AND f.status <> 5

-- The runs that a schedule compares its next one with, or that another schedule's run waits for.
-- name: schedule_runs
SELECT last_run, earlier_run
FROM {schedules}
WHERE last_run IS NOT NULL

-- macro: delete_from
DELETE FROM {@}

-- name: remove_done
{delete_from:done}
WHERE job_id IN (:ids*uuid)

-- name: remove_jobs
{delete_from:jobs}
WHERE id IN (:ids*uuid)

-- name: remove_errors
{delete_from:errors}
WHERE job_id IN (:ids*uuid)

-- name: remove_job_logs
{delete_from:job_logs}
WHERE job_id IN (:ids*uuid)

-- name: remove_progress
{delete_from:progress}
WHERE job_id IN (:ids*uuid)

-- name: remove_replays
DELETE FROM {replays}
WHERE job_id IN (:ids*uuid)

-- name: remove_spawns
{delete_from:spawns}
WHERE parent_id IN (:ids*uuid)

-- name: remove_edges_from
{delete_from:edges}
WHERE parent_id IN (:ids*uuid)

-- name: remove_edges_to
DELETE FROM {edges}
WHERE child_id IN (:ids*uuid)

-- name: remove_workflows
{delete_from:workflows}
WHERE id IN (:ids*uuid)

-- name: remove_nodes
{delete_from:nodes}
WHERE workflow_id IN (:ids*uuid)

-- Some of the nodes of a large workflow.
-- name: remove_nodes_in
{delete_from:nodes}
WHERE workflow_id = :id::uuid
  AND job_id IN (:ids*uuid)
