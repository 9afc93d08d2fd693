-- Edges, barriers and waiting jobs: what waits for what, and for how much.

-- name: edges_insert
INSERT INTO {edges} (parent_id, child_id, kind)
VALUES (:parent_id::uuid, :child_id::uuid, :kind::smallint)

-- name: edges_of
SELECT parent_id, child_id, kind
FROM {edges}
WHERE parent_id IN (:ids*uuid)

-- name: edges_into
SELECT child_id, parent_id, kind
FROM {edges}
WHERE child_id IN (:ids*uuid)

-- name: barriers_insert
INSERT INTO {barriers} (id, pending, failed)
VALUES (:id::uuid, :pending::integer, :failed::integer)

-- name: barriers_lock
SELECT id, pending, failed
FROM {barriers}
WHERE id IN (:ids*uuid)
ORDER BY id
{for_update}

-- name: barriers_count
UPDATE {barriers}
SET pending = pending - :n::integer, failed = failed + :failed::integer
WHERE id IN (:ids*uuid)

-- name: barriers_delete
DELETE FROM {barriers}
WHERE id IN (:ids*uuid)

-- name: waiting_count
UPDATE {waiting} {by_primary}
SET pending = pending - :n::integer, failed = failed + :failed::integer,
  skipped = skipped + :skipped::integer, cause = COALESCE(cause, :cause::uuid)
WHERE job_id IN (:ids*uuid)

-- name: waiting_recount
UPDATE {waiting} {by_primary}
SET pending = :pending::integer, failed = :failed::integer, skipped = :skipped::integer,
  cause = :cause::uuid
WHERE job_id IN (:ids*uuid)

-- name: waiting_delete
DELETE FROM {waiting}
WHERE job_id IN (:ids*uuid)

-- name: waiting_slice
SELECT job_id
FROM {waiting}
WHERE job_id > :after::uuid
ORDER BY job_id
LIMIT :n::bigint

-- Jobs that wait although everything that has an edge to them has ended, and so has everything that
-- names them as its only dependent: siblings, and members of the same workflow.
-- name: orphans
SELECT w.job_id
FROM {waiting} w {by_primary}
WHERE w.job_id IN (:ids*uuid)
  AND NOT EXISTS (SELECT 1 FROM {edges} e JOIN {jobs} j ON j.id = e.parent_id LEFT JOIN {done} d ON d.job_id = j.id
                  LEFT JOIN {barriers} g ON g.id = j.id
                  WHERE e.child_id = w.job_id AND (d.job_id IS NULL OR g.id IS NOT NULL))
  AND NOT EXISTS (SELECT 1 FROM {edges} e JOIN {workflows} f ON f.id = e.parent_id
                  WHERE e.child_id = w.job_id AND f.ended_at IS NULL)
  AND NOT EXISTS (SELECT 1 FROM {workflows} f WHERE f.id = w.workflow_id AND f.status = 2)
  AND NOT EXISTS (SELECT 1 FROM {workflows} f
                  WHERE f.parent_id = w.workflow_id AND f.dependent_id = w.job_id AND f.ended_at IS NULL)
  AND NOT EXISTS (SELECT 1 FROM {jobs} o JOIN {jobs} j ON j.parent_id = o.parent_id AND j.dependent_id = o.id
                  LEFT JOIN {done} d ON d.job_id = j.id LEFT JOIN {barriers} g ON g.id = j.id
                  WHERE o.id = w.job_id AND (d.job_id IS NULL OR g.id IS NOT NULL))
  AND NOT EXISTS (SELECT 1 FROM {nodes} n JOIN {jobs} j ON j.id = n.job_id AND j.dependent_id = w.job_id
                  LEFT JOIN {done} d ON d.job_id = j.id LEFT JOIN {barriers} g ON g.id = j.id
                  WHERE n.workflow_id = w.workflow_id AND (d.job_id IS NULL OR g.id IS NOT NULL))
ORDER BY w.job_id

-- How many dependencies of a job have not ended: siblings under the same parent, and those by edges.
-- name: awaited
SELECT (SELECT count(*) FROM {jobs} f
        JOIN {jobs} j ON j.parent_id = f.parent_id AND j.dependent_id = f.id
        LEFT JOIN {done} d ON d.job_id = j.id
        WHERE f.id = :id::uuid AND d.job_id IS NULL)
     + (SELECT count(*) FROM {edges} e JOIN {jobs} j ON j.id = e.parent_id
        LEFT JOIN {done} d ON d.job_id = j.id
        WHERE e.child_id = :id::uuid AND d.job_id IS NULL)

-- name: options_of
SELECT id, options
FROM {jobs}
WHERE id IN (:ids*uuid)

-- name: results_of
SELECT job_id, state, result
FROM {done}
WHERE job_id IN (:ids*uuid)

-- name: done_outcome
SELECT state, cause
FROM {done}
WHERE job_id = :id::uuid
{for_update}

-- name: outcomes_of
SELECT job_id, state, cause
FROM {done}
WHERE job_id IN (:ids*uuid)

-- Sets RowFlags.HAS_EDGES, which is 1.
-- name: job_mark_edges
UPDATE {jobs}
SET flags = flags | 1
WHERE id = :id::uuid

-- name: lease_mark_edges
UPDATE {leases}
SET flags = 1
WHERE job_id = :id::uuid

-- name: workflow_mark_edges
UPDATE {workflows}
SET flags = flags | 1
WHERE id = :id::uuid

-- name: job_clear_dependent
UPDATE {jobs}
SET dependent_id = NULL
WHERE id = :id::uuid

-- name: workflow_clear_dependent
UPDATE {workflows}
SET dependent_id = NULL
WHERE id = :id::uuid

-- name: dependency_place
SELECT j.parent_id, j.workflow_id, j.dependent_id, w.pending, w.total, n.name
FROM {jobs} j
LEFT JOIN {waiting} w ON w.job_id = j.id
LEFT JOIN {nodes} n ON n.workflow_id = j.workflow_id
  AND n.job_id = j.id
WHERE j.id = :id::uuid

-- What a job depends on: by edges; as the only dependent of members, children of its parent, inner workflows.
-- macro: from_dependencies
FROM (
  SELECT e.parent_id AS id FROM {edges} e WHERE e.child_id = :id::uuid
  UNION
  SELECT j.id FROM {nodes} n JOIN {jobs} j ON j.id = n.job_id
  WHERE n.workflow_id = :workflow_id::uuid AND j.dependent_id = :id::uuid
  UNION
  SELECT c.id FROM {jobs} c WHERE c.parent_id = :parent::uuid AND c.dependent_id = :id::uuid
  UNION
  SELECT f.id FROM {workflows} f WHERE f.parent_id = :workflow_id::uuid AND f.dependent_id = :id::uuid) d

-- name: dependencies_page
SELECT d.id
{from_dependencies}
ORDER BY d.id
LIMIT :n::bigint

-- name: job_traces
SELECT id, trace
FROM {jobs}
WHERE trace IS NOT NULL
  AND id IN (:ids*uuid)
ORDER BY id

-- Not by a join: SQLite would read the states of all jobs.
-- name: dependencies_states
SELECT (SELECT s.state FROM {job_states} s WHERE s.id = d.id), count(*)
{from_dependencies}
GROUP BY 1

-- name: dependents_page
SELECT e.child_id
FROM {edges} e
WHERE e.parent_id = :id::uuid
ORDER BY e.child_id
LIMIT :n::bigint

-- name: dependents_states
SELECT (SELECT s.state FROM {job_states} s WHERE s.id = e.child_id), count(*)
FROM {edges} e
WHERE e.parent_id = :id::uuid
GROUP BY 1

-- name: ended_links
SELECT id, dependent_id, unique_key, workflow_id, flags
FROM {jobs}
WHERE id IN (:ids*uuid)
