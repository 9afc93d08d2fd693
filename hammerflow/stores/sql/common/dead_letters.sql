-- Dead letters: jobs that have failed or are parked; their replay, and what undoes it.

-- How a job that a person runs again had ended, or why it was parked (a state of NULL).
-- name: dead_end
SELECT d.state, d.attempt, d.reason, NULL
FROM {done} d {by_primary}
WHERE d.job_id = :id::uuid
UNION ALL
SELECT NULL, p.attempt, p.why, p.detail
FROM {parked} p {by_primary}
WHERE p.job_id = :id::uuid

-- The time for which a job may start counts from now on, as it once counted from its enqueueing, or
-- from the last replay.
-- name: expires_again
UPDATE {jobs}
SET expires_at = {now} + (expires_at - COALESCE(
  (SELECT max(e.at) FROM {errors} e WHERE e.job_id = {jobs}.id AND e.kind = 'replayed'), created_at))
WHERE id IN (:ids*uuid)
  AND expires_at IS NOT NULL

-- name: replays_insert
INSERT INTO {replays} (operation_id, job_id, at, lease, attempt, state, replayed_by, reason, detail)
VALUES (:operation_id::uuid, :job_id::uuid, {now}, :lease::integer, :attempt::integer,
        :state::smallint, :replayed_by::text, :reason::text, :detail::text)

-- name: replay_row
SELECT lease, attempt, state, reason, detail
FROM {replays}
WHERE operation_id = :operation_id::uuid
  AND job_id = :id::uuid

-- name: replay_delete
DELETE FROM {replays}
WHERE operation_id = :operation_id::uuid
  AND job_id = :id::uuid

-- name: replay_ids
SELECT job_id
FROM {replays}
WHERE operation_id = :operation_id::uuid
  AND job_id > :after::uuid
ORDER BY job_id
LIMIT :n::bigint

-- name: replay_operations_between
SELECT DISTINCT operation_id
FROM {replays}
WHERE operation_id BETWEEN :low::uuid AND :high::uuid
ORDER BY operation_id
LIMIT :n::bigint

-- What went wrong last in those of the newest errors whose jobs have failed: also of a job whose
-- replay was undone. Most errors are of jobs that have completed since: these are left out first.
-- name: dead_failed
WITH e AS {materialized} (
  SELECT n.job_id, n.lease, n.type, n.message, d.finished_at
  FROM
    (SELECT job_id, lease, kind, type, substr(message, 1, 200) AS message FROM {errors} {by_primary} ORDER BY job_id DESC LIMIT :n::bigint) n
  JOIN {done} d {by_primary} ON d.job_id = n.job_id AND d.state = 5
  WHERE n.kind NOT IN ('replayed', 'replaced', 'edited'))
SELECT e.job_id, e.type, j.queue_id, j.task_id, {epoch_of:finished_at}, e.message
FROM e
JOIN {jobs} j {by_primary} ON j.id = e.job_id
WHERE e.lease = (
  SELECT max(x.lease) FROM {errors} x {by_primary}
  WHERE x.job_id = e.job_id AND x.kind NOT IN ('replayed', 'replaced', 'edited'))

-- Whether there are more errors than those of which dead_failed tells.
-- name: errors_behind
SELECT 1
FROM {errors} {by_primary}
ORDER BY job_id DESC
LIMIT 1 OFFSET :n::bigint

-- name: dead_parked
SELECT job_id, why, queue_id, task_id, {epoch_of:at}, substr(detail, 1, 200)
FROM {parked} {by_primary}
ORDER BY job_id DESC
LIMIT :n::bigint

-- name: error_kinds
SELECT kind, lease
FROM {errors}
WHERE job_id = :id::uuid

-- name: error_drop
DELETE FROM {errors}
WHERE job_id = :id::uuid
  AND lease = :lease::integer
  AND kind = :kind::text

-- The arguments of a job that has not started, or has ended without success.
-- name: job_edit
UPDATE {jobs}
SET args = :args::bytea
WHERE id = :id::uuid

-- name: job_set_key
UPDATE {jobs}
SET unique_key = :key::text
WHERE id = :id::uuid

-- A held key of a job becomes another one, for the time that is left.
-- name: unique_rename
UPDATE {unique_keys}
SET ukey = :key::text
WHERE ukey = :old::text
  AND job_id = :id::uuid
