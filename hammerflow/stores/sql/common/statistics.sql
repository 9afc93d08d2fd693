-- Counts of jobs by time, written by one worker from what is in the tables: no end of a job pays for them.

-- name: statistics_begin
INSERT INTO {statistics_progress} (id, due_at, counted_to, final_to)
VALUES (1, {now}, :begin::bigint, :begin::bigint)
ON CONFLICT DO NOTHING

-- One worker at a time has the turn; it passes to another if nothing is noted for so long.
-- name: statistics_take
UPDATE {statistics_progress}
SET due_at = {after:hold}
WHERE id = 1
  AND due_at <= {now}

-- name: statistics_state
SELECT counted_to, final_to, {seconds_until:due_at}
FROM {statistics_progress}
WHERE id = 1

-- name: statistics_note
UPDATE {statistics_progress}
SET counted_to = :counted_to::bigint, final_to = :final_to::bigint
WHERE id = 1

-- name: statistics_rest
UPDATE {statistics_progress}
SET due_at = {after:pause}
WHERE id = 1

-- Of the jobs that ended in a time: those of each task, queue and state, by their buckets. The wait is that
-- of a job that was ready when it was enqueued, until its first start; 256 is RowFlags.DELAYED.
-- name: statistics_ended
SELECT task_id, queue_id, state, run_bucket, wait_bucket, count(*), sum(run), sum(wait)
FROM (SELECT task_id, queue_id, state, run, wait, {bucket:run} AS run_bucket, {bucket:wait} AS wait_bucket
      FROM (SELECT j.task_id, j.queue_id, d.state, {run_time} AS run,
                   CASE WHEN d.lease = 1 AND j.awaits IS NULL AND j.flags & 256 = 0 THEN {wait_time} END AS wait
            FROM {done} d {by_finished}
            JOIN {jobs} j {by_primary} ON j.id = d.job_id
            WHERE d.finished_at >= :low::timestamptz
              AND d.finished_at < :high::timestamptz) a) b
GROUP BY task_id, queue_id, state, run_bucket, wait_bucket

-- name: statistics_ended_count
SELECT count(*)
FROM {done} {by_finished}
WHERE finished_at >= :low::timestamptz
  AND finished_at < :high::timestamptz

-- The time of enqueueing is in the id.
-- name: statistics_enqueued
SELECT task_id, queue_id, count(*)
FROM {jobs} {by_primary}
WHERE id >= :low::uuid
  AND id < :high::uuid
GROUP BY task_id, queue_id

-- name: statistics_enqueued_count
SELECT count(*)
FROM {jobs} {by_primary}
WHERE id >= :low::uuid
  AND id < :high::uuid

-- name: statistics_total
SELECT COALESCE(sum(CASE WHEN state = 0 THEN jobs ELSE 0 END), 0), COALESCE(sum(CASE WHEN state > 0 THEN jobs ELSE 0 END), 0)
FROM {statistics}
WHERE span = :span::integer
  AND begin = :begin::bigint

-- name: statistics_insert
INSERT INTO {statistics} (span, begin, task_id, queue_id, state, jobs, run_seconds, wait_seconds, runs, waits)
VALUES (:span::integer, :begin::bigint, :task_id::bigint, :queue_id::bigint, :state::smallint,
        :jobs::bigint, :run_seconds::float8, :wait_seconds::float8, :runs::bytea, :waits::bytea)

-- name: statistics_delete
DELETE FROM {statistics}
WHERE span = :span::integer
  AND begin >= :low::bigint
  AND begin < :high::bigint

-- macro: statistics_between
SELECT begin, task_id, queue_id, state, jobs, run_seconds, wait_seconds, runs, waits
FROM {statistics}
WHERE span = :span::integer
  AND begin >= :low::bigint
  AND begin < :high::bigint

-- name: statistics_rows
{statistics_between}
ORDER BY begin, task_id, queue_id, state

-- The same of a task or a queue alone. For sums in any order: in the order of the key PostgreSQL reads a page for
-- every other row (24 000 for a day of 1 000 queues, instead of 900).
-- name: statistics_summands
{statistics_between}
  AND (:task_id::bigint IS NULL OR task_id = :task_id::bigint)
  AND (:queue_id::bigint IS NULL OR queue_id = :queue_id::bigint)

-- name: statistics_of
{statistics_between}
  AND (:task_id::bigint IS NULL OR task_id = :task_id::bigint)
  AND (:queue_id::bigint IS NULL OR queue_id = :queue_id::bigint)
ORDER BY begin, task_id, queue_id, state

-- The same of some queues: all rows are read, but few are sent and decoded. Without the + 0 PostgreSQL would read
-- the window's part of the index once for each queue.
-- name: statistics_of_queues
{statistics_between}
  AND (:task_id::bigint IS NULL OR task_id = :task_id::bigint)
  AND queue_id + 0 IN (:queue_ids*bigint)

-- Runs of spawners that ended in a time, by handler and queue.
-- name: spawn_statistics_ended
SELECT s.handler, j.queue_id, count(*), sum(s.is_bad), sum(s.requested), sum(s.spawned), max(s.spawned), sum(s.seconds),
       max(s.seconds)
FROM (SELECT parent_id, handler, requested, spawned, CASE WHEN error IS NULL THEN 0 ELSE 1 END AS is_bad,
             {age:started_at} - {age:ended_at} AS seconds
      FROM {spawns}
      WHERE ended_at >= :low::timestamptz
        AND ended_at < :high::timestamptz) s
LEFT JOIN {jobs} j ON j.id = s.parent_id
GROUP BY s.handler, length(s.handler), j.queue_id

-- name: spawn_statistics_ended_count
SELECT count(*)
FROM {spawns}
WHERE ended_at >= :low::timestamptz
  AND ended_at < :high::timestamptz

-- name: spawn_statistics_total
SELECT COALESCE(sum(operations), 0)
FROM {spawn_statistics}
WHERE span = :span::integer
  AND begin = :begin::bigint

-- name: spawn_statistics_insert
INSERT INTO {spawn_statistics} (span, begin, handler, queue_id, operations, failures, requested, children, most, seconds, longest)
VALUES (:span::integer, :begin::bigint, :handler::text, :queue_id::bigint, :operations::bigint, :failures::bigint,
        :requested::bigint, :children::bigint, :most::bigint, :seconds::float8, :longest::float8)

-- name: spawn_statistics_delete
DELETE FROM {spawn_statistics}
WHERE span = :span::integer
  AND begin >= :low::bigint
  AND begin < :high::bigint

-- name: spawn_statistics_fold
INSERT INTO {spawn_statistics} (span, begin, handler, queue_id, operations, failures, requested, children, most, seconds, longest)
SELECT :span::integer, :low::bigint, handler, queue_id, sum(operations), sum(failures), sum(requested), sum(children), max(most),
       sum(seconds), max(longest)
FROM {spawn_statistics}
WHERE span = :finer::integer
  AND begin >= :low::bigint
  AND begin < :high::bigint
GROUP BY handler, length(handler), queue_id

-- name: spawn_statistics_rows
SELECT s.handler, q.name, sum(s.operations), sum(s.failures), sum(s.requested), sum(s.children), max(s.most), sum(s.seconds),
       max(s.longest)
FROM {spawn_statistics} s
LEFT JOIN {queues} q ON q.id = s.queue_id
WHERE s.span = :span::integer
  AND s.begin >= :low::bigint
  AND s.begin < :high::bigint
  AND (:queue::bigint IS NULL OR s.queue_id = :queue::bigint)
GROUP BY s.handler, length(s.handler), q.id, q.name

-- Workflows that ended in a time, by the buckets of how long they took.
-- name: workflow_statistics_ended
SELECT kind, name, status, bucket, count(*), sum(took)
FROM (SELECT kind, name, status, took, {bucket:took} AS bucket
      FROM (SELECT kind, name, status, {age:created_at} - {age:ended_at} AS took
            FROM {workflows}
            WHERE ended_at >= :low::timestamptz
              AND ended_at < :high::timestamptz) a) b
GROUP BY kind, name, length(name), status, bucket

-- name: workflow_statistics_ended_count
SELECT count(*)
FROM {workflows}
WHERE ended_at >= :low::timestamptz
  AND ended_at < :high::timestamptz

-- name: workflow_statistics_total
SELECT COALESCE(sum(runs), 0)
FROM {workflow_statistics}
WHERE span = :span::integer
  AND begin = :begin::bigint

-- name: workflow_statistics_insert
INSERT INTO {workflow_statistics} (span, begin, kind, name, state, runs, seconds, times)
VALUES (:span::integer, :begin::bigint, :kind::text, :name::text, :state::smallint, :runs::bigint, :seconds::float8, :times::bytea)

-- name: workflow_statistics_delete
DELETE FROM {workflow_statistics}
WHERE span = :span::integer
  AND begin >= :low::bigint
  AND begin < :high::bigint

-- name: workflow_statistics_rows
SELECT begin, kind, name, state, runs, seconds, times
FROM {workflow_statistics}
WHERE span = :span::integer
  AND begin >= :low::bigint
  AND begin < :high::bigint
  AND (:name::text IS NULL OR name = :name::text)
ORDER BY begin

-- Of the last runs that ended, those of one name; a bounded number of them is read.
-- name: workflow_runs_of_name
SELECT a.id
FROM
  (SELECT id, name, ended_at FROM {workflows}
   WHERE ended_at >= :low::timestamptz ORDER BY ended_at DESC LIMIT :scanned::bigint) a
WHERE a.name = :name::text
ORDER BY a.ended_at DESC
LIMIT :n::bigint

-- How long the nodes of some workflows ran that have names, of a bounded number of members.
-- name: workflow_node_times
SELECT name, count(*), sum({age:started_at} - {age:finished_at})
FROM
  (SELECT a.name, d.started_at, d.finished_at
   FROM (SELECT job_id, name FROM {nodes} WHERE workflow_id IN (:ids*uuid) LIMIT :scanned::bigint) a
   JOIN {done} d ON d.job_id = a.job_id
   WHERE a.name IS NOT NULL AND d.started_at IS NOT NULL) b
GROUP BY name, length(name)
