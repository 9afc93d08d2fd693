-- How jobs end, fail or are parked.

-- macro: since_replay
e.lease > COALESCE((SELECT max(r.lease) FROM {errors} r
                    WHERE r.job_id = e.job_id AND r.kind = 'replayed'), -1)

-- Writes the new task and arguments of a job whose body has replaced it by another call, which has
-- only the edges and the unique key with its rule in common with it (HAS_EDGES, FREED_AT_START).
-- 129 = 1 | 128.
-- name: job_replace
UPDATE {jobs}
SET task_id = :task_id::bigint, queue_id = :queue_id::bigint, args = :args::bytea,
  options = :options::text, flags = (flags & 129) | :flags::smallint, lane = :lane::bigint,
  limit_key = :limit_key::text, fair_key = :fair_key::text
WHERE id = :id::uuid

-- Flags of RowFlags that say how alone a job runs.
-- name: jobs_mark
UPDATE {jobs}
SET flags = flags | :flag::smallint
WHERE id IN (:ids*uuid)

-- name: job_set_trace
UPDATE {jobs}
SET trace = :trace::text
WHERE id = :id::uuid

-- Leaves HAS_EDGES, LIMITED and FREED_AT_START.
-- name: job_clear
UPDATE {jobs}
SET flags = flags & 193
WHERE id = :id::uuid

-- name: done_insert
INSERT INTO {done} (job_id, attempt, lease, worker_id, started_at, finished_at, state, result, reason,
                    result_until)
VALUES (:job_id::uuid, :attempt::integer, :lease::integer, :worker_id::bigint,
        :started_at::timestamptz, {now}, :state::smallint, :result::bytea, :reason::text, {after:ttl})

-- A statement of its own: one more parameter of done_insert costs 0.2 of 6.5 microseconds a job on SQLite.
-- name: done_insert_unstarted
INSERT INTO {done} (job_id, attempt, lease, finished_at, state, reason, cause)
VALUES (:job_id::uuid, :attempt::integer, :lease::integer, {now}, :state::smallint, :reason::text,
        :cause::uuid)

-- name: errors_insert
INSERT INTO {errors} (job_id, lease, kind, attempt, at, type, message, trace, started_at, worker_id)
VALUES (:job_id::uuid, :lease::integer, :kind::text, :attempt::integer, {now}, :type::text,
        :message::text, :trace::text, :started_at::timestamptz, :worker_id::bigint)

-- name: job_logs_put
INSERT INTO {job_logs} (job_id, lease, attempt, line_count, dropped, data)
VALUES (:job_id::uuid, :lease::integer, :attempt::integer, :line_count::integer, :dropped::integer,
        :data::bytea)
ON CONFLICT (job_id, lease) DO UPDATE
SET line_count = excluded.line_count, dropped = excluded.dropped, data = excluded.data

-- name: job_logs_drop
DELETE FROM {job_logs}
WHERE job_id IN (:ids*uuid)
  AND lease = :lease::integer

-- Which of these attempts run under this registration. Their leases are locked, so that none of them can end, and
-- write all of its lines, before what it has logged so far is written.
-- name: leases_logging
SELECT job_id, lease
FROM {leases} {by_primary}
WHERE worker_id = :worker_id::bigint
  AND job_id IN (:ids*uuid)
ORDER BY job_id
{skip_locked}

-- name: parked_insert
INSERT INTO {parked} (job_id, queue_id, priority_order, task_id, lease, attempt, why, detail, at)
VALUES (:job_id::uuid, :queue_id::bigint, :priority_order::bigint, :task_id::bigint,
        :lease::integer, :attempt::integer, :why::text, :detail::text, {now})

-- Losses since the last retry by hand, which resets the count.
-- name: losses
SELECT e.job_id, count(*)
FROM {errors} e
WHERE e.job_id IN (:ids*uuid)
  AND e.kind = 'lost'
  AND {since_replay}
GROUP BY e.job_id

-- The same with those of which it was not known who was at fault.
-- name: deaths
SELECT e.job_id, count(*)
FROM {errors} e
WHERE e.job_id IN (:ids*uuid)
  AND e.kind IN ('lost', 'suspected')
  AND {since_replay}
GROUP BY e.job_id

-- name: done_leases
SELECT job_id, lease
FROM {done}
WHERE job_id IN (:ids*uuid)

-- Waits for whoever has locked these leases.
-- name: leases_wait
SELECT job_id
FROM {leases}
WHERE job_id IN (:ids*uuid)
  AND worker_id = :worker_id::bigint
ORDER BY job_id
{for_update}

-- name: leases_held
SELECT job_id, lease
FROM {leases}
WHERE job_id IN (:ids*uuid)
  AND worker_id = :worker_id::bigint

-- name: leases_delete
DELETE FROM {leases}
WHERE job_id IN (:ids*uuid)
  AND worker_id = :worker_id::bigint

-- name: progress_put
INSERT INTO {progress} (job_id, at, fraction, note)
VALUES (:job_id::uuid, {now}, :fraction::float8, :note::text)
ON CONFLICT (job_id) DO UPDATE
SET at = excluded.at, fraction = excluded.fraction, note = excluded.note
