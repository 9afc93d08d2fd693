-- The archive: the rows of ended jobs are read, packed and deleted in one transaction, and written back
-- by another. The columns of each read are the parameters of the write of that table, in one order.

-- name: archive_read_jobs
SELECT id, queue_id, priority, task_id, args, options, headers, parent_id, root_id, depth, spawn_index,
       dependent_id, unique_key, trace, workflow_id, awaits, flags, lane, limit_key, fair_key, expires_at,
       created_at
FROM {jobs} {by_primary}
WHERE id IN (:ids*uuid)

-- name: archive_write_jobs
INSERT INTO {jobs} (id, queue_id, priority, task_id, args, options, headers, parent_id, root_id, depth,
                    spawn_index, dependent_id, unique_key, trace, workflow_id, awaits, flags, lane,
                    limit_key, fair_key, expires_at, created_at)
VALUES (:id::uuid, :queue_id::bigint, :priority::smallint, :task_id::bigint, :args::bytea,
        :options::text, :headers::text, :parent_id::uuid, :root_id::uuid, :depth::smallint,
        :spawn_index::integer, :dependent_id::uuid, :unique_key::text, :trace::text,
        :workflow_id::uuid, :awaits::integer, :flags::smallint, :lane::bigint, :limit_key::text, :fair_key::text,
        :expires_at::timestamptz, :created_at::timestamptz)

-- name: archive_read_done
SELECT job_id, started_at, finished_at, result_until, worker_id, lease, attempt, state, cause, result, reason
FROM {done} {by_primary}
WHERE job_id IN (:ids*uuid)

-- name: archive_write_done
INSERT INTO {done} (job_id, started_at, finished_at, result_until, worker_id, lease, attempt, state,
                    cause, result, reason)
VALUES (:job_id::uuid, :started_at::timestamptz, :finished_at::timestamptz, :result_until::timestamptz,
        :worker_id::bigint, :lease::integer, :attempt::integer, :state::smallint, :cause::uuid,
        :result::bytea, :reason::text)

-- name: archive_read_errors
SELECT job_id, lease, kind, attempt, at, type, message, trace, started_at, worker_id
FROM {errors} {by_primary}
WHERE job_id IN (:ids*uuid)

-- name: archive_write_errors
INSERT INTO {errors} (job_id, lease, kind, attempt, at, type, message, trace, started_at, worker_id)
VALUES (:job_id::uuid, :lease::integer, :kind::text, :attempt::integer, :at::timestamptz, :type::text,
        :message::text, :trace::text, :started_at::timestamptz, :worker_id::bigint)

-- name: archive_read_job_logs
SELECT job_id, lease, attempt, line_count, dropped, data
FROM {job_logs} {by_primary}
WHERE job_id IN (:ids*uuid)

-- name: archive_write_job_logs
INSERT INTO {job_logs} (job_id, lease, attempt, line_count, dropped, data)
VALUES (:job_id::uuid, :lease::integer, :attempt::integer, :line_count::integer, :dropped::integer,
        :data::bytea)

-- name: archive_read_progress
SELECT job_id, at, fraction, note
FROM {progress} {by_primary}
WHERE job_id IN (:ids*uuid)

-- name: archive_write_progress
INSERT INTO {progress} (job_id, at, fraction, note)
VALUES (:job_id::uuid, :at::timestamptz, :fraction::float8, :note::text)

-- name: archive_read_spawns
SELECT parent_id, lease, requested, spawned, started_at, ended_at, handler, operation_id, metadata, error
FROM {spawns} {by_primary}
WHERE parent_id IN (:ids*uuid)

-- name: archive_write_spawns
INSERT INTO {spawns} (parent_id, lease, requested, spawned, started_at, ended_at, handler, operation_id,
                      metadata, error)
VALUES (:parent_id::uuid, :lease::integer, :requested::integer, :spawned::integer,
        :started_at::timestamptz, :ended_at::timestamptz, :handler::text, :operation_id::text,
        :metadata::text, :error::text)

-- name: archive_read_replays
SELECT operation_id, job_id, at, lease, attempt, state, replayed_by, reason, detail
FROM {replays}
WHERE job_id IN (:ids*uuid)

-- name: archive_write_replays
INSERT INTO {replays} (operation_id, job_id, at, lease, attempt, state, replayed_by, reason, detail)
VALUES (:operation_id::uuid, :job_id::uuid, :at::timestamptz, :lease::integer, :attempt::integer,
        :state::smallint, :replayed_by::text, :reason::text, :detail::text)

-- name: archive_read_edges
SELECT parent_id, child_id, kind
FROM {edges}
WHERE parent_id IN (:ids*uuid)
UNION
SELECT parent_id, child_id, kind
FROM {edges}
WHERE child_id IN (:ids*uuid)

-- name: archive_write_edges
INSERT INTO {edges} (parent_id, child_id, kind)
VALUES (:parent_id::uuid, :child_id::uuid, :kind::smallint)

-- name: archive_read_barriers
SELECT id, pending, failed
FROM {barriers} {by_primary}
WHERE id IN (:ids*uuid)

-- name: archive_write_barriers
INSERT INTO {barriers} (id, pending, failed)
VALUES (:id::uuid, :pending::integer, :failed::integer)

-- name: archive_read_workflows
SELECT id, parent_id, dependent_id, created_at, ended_at, deadline_at, check_at, check_every, failures,
       status, policy, collects, flags, kind, name, options, reason, health
FROM {workflows} {by_primary}
WHERE id IN (:ids*uuid)

-- name: archive_write_workflows
INSERT INTO {workflows} (id, parent_id, dependent_id, created_at, ended_at, deadline_at, check_at,
                         check_every, failures, status, policy, collects, flags, kind, name, options,
                         reason, health)
VALUES (:id::uuid, :parent_id::uuid, :dependent_id::uuid, :created_at::timestamptz,
        :ended_at::timestamptz, :deadline_at::timestamptz, :check_at::timestamptz,
        :check_every::float8, :failures::integer, :status::smallint, :policy::smallint,
        :collects::smallint, :flags::smallint, :kind::text, :name::text, :options::text,
        :reason::text, :health::text)

-- name: archive_read_nodes
SELECT workflow_id, job_id, position, name
FROM {nodes} {by_primary}
WHERE workflow_id IN (:ids*uuid)

-- name: archive_read_nodes_in
SELECT workflow_id, job_id, position, name
FROM {nodes} {by_primary}
WHERE workflow_id = :id::uuid
  AND job_id IN (:ids*uuid)

-- name: archive_write_nodes
INSERT INTO {nodes} (workflow_id, job_id, position, name)
VALUES (:workflow_id::uuid, :job_id::uuid, :position::integer, :name::text)

-- About how many bytes the rows of jobs have.
-- name: archive_sizes
SELECT j.id, length(j.args) + COALESCE(length(j.options), 0) + COALESCE(length(j.headers), 0)
             + COALESCE(length(d.result), 0)
FROM {jobs} j {by_primary}
JOIN {done} d {by_primary} ON d.job_id = j.id
WHERE j.id IN (:ids*uuid)

-- name: archive_text_sizes
SELECT t.job_id, SUM(t.size)
FROM
  (SELECT job_id, length(message) + length(trace) AS size FROM {errors} {by_primary} WHERE job_id IN (:ids*uuid)
   UNION ALL
   SELECT job_id, length(data) FROM {job_logs} {by_primary} WHERE job_id IN (:ids*uuid)) t
GROUP BY t.job_id

-- name: archived_insert
INSERT INTO {archived} (id, pack_id, group_id, task_id, queue_id, ended_at, size, state, root_id, workflow_id)
VALUES (:id::uuid, :pack_id::uuid, :group_id::uuid, :task_id::bigint, :queue_id::bigint,
        :ended_at::timestamptz, :size::integer, :state::smallint, :root_id::uuid, :workflow_id::uuid)

-- name: archive_packs_insert
INSERT INTO {archive_packs} (id, piece, archived_at, data)
VALUES (:id::uuid, :piece::integer, {now}, :data::bytea)

-- What is left of a pack after some of its jobs were restored or purged.
-- name: archive_packs_rewrite
INSERT INTO {archive_packs} (id, piece, archived_at, data)
VALUES (:id::uuid, :piece::integer, :archived_at::timestamptz, :data::bytea)

-- name: archive_packs_delete
{delete_from:archive_packs}
WHERE id IN (:ids*uuid)

-- name: archive_pack
SELECT piece, archived_at, data
FROM {archive_packs} {by_primary}
WHERE id = :id::uuid
ORDER BY piece

-- name: archive_pack_lock
SELECT piece, archived_at, data
FROM {archive_packs} {by_primary}
WHERE id = :id::uuid
ORDER BY piece
{for_update}

-- name: archived_delete
{delete_from:archived}
WHERE id IN (:ids*uuid)

-- What an unreadable pack holds is known by these rows alone. No index leads from a pack to them.
-- name: archived_of_pack
SELECT id, task_id
FROM {archived} {by_primary}
WHERE id IN (:ids*uuid)
  AND pack_id = :pack_id::uuid

-- name: archived_pack_any
SELECT 1
FROM {archived}
WHERE pack_id = :pack_id::uuid
LIMIT 1

-- name: check_packs
SELECT id, data
FROM {archive_packs}
ORDER BY id, piece

-- name: check_archived
SELECT id, pack_id
FROM {archived}

-- Archived jobs in the order of their ids, which is that of their enqueueing.
-- name: archived_from
SELECT {archived_columns}
FROM {archived} a {by_primary}
WHERE a.id > :after::uuid AND a.id < :before::uuid
ORDER BY a.id
LIMIT :n::bigint

-- macro: archived_columns
a.id, a.pack_id, a.group_id, a.task_id, a.queue_id, a.ended_at, a.size, a.state, a.root_id, a.workflow_id

-- name: archived_of
SELECT {archived_columns}
FROM {archived} a {by_primary}
WHERE a.id IN (:ids*uuid)

-- name: archived_in_groups
SELECT {archived_columns}
FROM {archived} a
WHERE a.group_id IN (:ids*uuid)

-- name: archived_ids_between
SELECT id
FROM {archived}
WHERE id BETWEEN :low::uuid AND :high::uuid
ORDER BY id
LIMIT :n::bigint

-- Archived jobs, newest first, among a bounded number of rows.
-- name: archived_page
SELECT {archived_columns}
FROM
  (SELECT id, pack_id, group_id, task_id, queue_id, ended_at, size, state, root_id, workflow_id
   FROM {archived} {by_primary} WHERE id < :before::uuid ORDER BY id DESC LIMIT :scanned::bigint) a
WHERE a.task_id IS NOT NULL
  AND (:queue::bigint IS NULL OR a.queue_id = :queue::bigint)
  AND (:task::bigint IS NULL OR a.task_id = :task::bigint)
  AND (:state::smallint IS NULL OR a.state = :state::smallint)
  AND (:since::timestamptz IS NULL OR a.ended_at >= :since::timestamptz)
  AND (:until::timestamptz IS NULL OR a.ended_at < :until::timestamptz)
ORDER BY a.id DESC
LIMIT :n::bigint

-- name: archived_last
SELECT id FROM {archived} {by_primary} WHERE id < :before::uuid ORDER BY id DESC LIMIT 1 OFFSET :scanned::bigint

-- name: archive_workflows_existing
SELECT id
FROM {workflows}
WHERE id IN (:ids*uuid)

-- name: restored_delete
{delete_from:restored}
WHERE id IN (:ids*uuid)

-- name: restored_insert
INSERT INTO {restored} (id, until)
VALUES (:id::uuid, {after:hold})

-- name: restored_any
SELECT 1
FROM {restored}
LIMIT 1

-- name: restored_among
SELECT id
FROM {restored}
WHERE id IN (:ids*uuid)
  AND until > {now}

-- name: restored_drop
DELETE FROM {restored}
WHERE until <= {now}

-- name: archive_note
UPDATE {retention}
SET archived = archived + :archived::bigint, restored = restored + :restored::bigint,
  purged = purged + :purged::bigint
WHERE id = 1

-- name: archive_counts
SELECT archived, restored, purged
FROM {retention}
WHERE id = 1
