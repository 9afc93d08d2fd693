-- What MySQL and MariaDB write differently; engine.sql tells why a DELETE has two hints.
-- name: retention_begin
INSERT INTO {retention} (id, due_at, removed)
VALUES (1, {now}, 0)
ON DUPLICATE KEY UPDATE id = id

-- macro: delete_from
DELETE /*+ INDEX({@} PRIMARY) */ /*M! {@} */
FROM {@} /*M! FORCE INDEX (PRIMARY) */

-- The depth is in no index: what the key alone can answer would be read by a scan of all of it.
-- name: parents_among
SELECT DISTINCT parent_id
FROM {jobs} FORCE INDEX ({prefix}jobs_children)
WHERE parent_id IN (:ids*uuid)
  AND depth > 0

-- name: children_of
SELECT parent_id, id
FROM {jobs} FORCE INDEX ({prefix}jobs_children)
WHERE parent_id IN (:ids*uuid)
  AND depth > 0

-- name: remove_edges_to
DELETE /*+ INDEX({edges} {prefix}edges_child) */ /*M! {edges} */
FROM {edges} /*M! FORCE INDEX ({prefix}edges_child) */
WHERE child_id IN (:ids*uuid)

-- name: remove_replays
DELETE /*+ INDEX({replays} {prefix}replays_job) */ /*M! {replays} */
FROM {replays} /*M! FORCE INDEX ({prefix}replays_job) */
WHERE job_id IN (:ids*uuid)
