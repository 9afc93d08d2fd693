-- Why a job does not run.

-- Flags, why it is scheduled, and when it has expired if it has.
-- name: explain_place
SELECT j.flags, s.why, CASE WHEN j.expires_at <= {now} THEN j.expires_at END
FROM {jobs} j
LEFT JOIN {scheduled} s ON s.job_id = j.id
WHERE j.id = :id::uuid

-- Some of the dependencies that have not ended, among the n youngest of each kind: by edges; as the only
-- dependent of members, children of its parent, inner workflows. A spawner counts whose children do.
-- name: dependencies_unfinished
SELECT d.id
FROM (
  SELECT * FROM (SELECT e.parent_id AS id FROM {edges} e WHERE e.child_id = :id::uuid LIMIT :n::bigint) a
  UNION ALL
  SELECT j.id FROM (SELECT n.job_id FROM {nodes} n WHERE n.workflow_id = :workflow_id::uuid
                    ORDER BY n.job_id DESC LIMIT :n::bigint) b
  JOIN {jobs} j ON j.id = b.job_id AND j.dependent_id = :id::uuid
  UNION ALL
  SELECT c.id FROM (SELECT k.id, k.dependent_id FROM {jobs} k WHERE k.parent_id = :parent::uuid
                    ORDER BY k.spawn_index DESC LIMIT :n::bigint) c
  WHERE c.dependent_id = :id::uuid
  UNION ALL
  SELECT * FROM (SELECT f.id FROM {workflows} f
                 WHERE f.parent_id = :workflow_id::uuid AND f.dependent_id = :id::uuid LIMIT :n::bigint) g) d
WHERE (NOT EXISTS (SELECT 1 FROM {done} e WHERE e.job_id = d.id)
       OR EXISTS (SELECT 1 FROM {barriers} b WHERE b.id = d.id))
  AND NOT EXISTS (SELECT 1 FROM {workflows} w WHERE w.id = d.id AND w.ended_at IS NOT NULL)
LIMIT :most::bigint
