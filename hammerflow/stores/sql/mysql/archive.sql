-- What MySQL and MariaDB write differently: the indexes that their planner would pass over.
-- name: archive_read_replays
SELECT operation_id, job_id, at, lease, attempt, state, replayed_by, reason, detail
FROM {replays} FORCE INDEX ({prefix}replays_job)
WHERE job_id IN (:ids*uuid)

-- name: archive_read_edges
SELECT parent_id, child_id, kind
FROM {edges} FORCE INDEX (PRIMARY)
WHERE parent_id IN (:ids*uuid)
UNION
SELECT parent_id, child_id, kind
FROM {edges} FORCE INDEX ({prefix}edges_child)
WHERE child_id IN (:ids*uuid)

-- name: archived_in_groups
SELECT {archived_columns}
FROM {archived} a FORCE INDEX ({prefix}archived_group)
WHERE a.group_id IN (:ids*uuid)
