-- Schedules and their ticks.

-- macro: schedule_row
SELECT id, name, app, code, edit, anchor, created_at, edited_at, edited_by, next_at, look_at, paused_at,
       paused_by, reason, disabled_since, trouble, last_tick, last_outcome, last_run, earlier_run, missed, other_runs
FROM {schedules}

-- All that a worker asks while nothing is due: one step down the index.
-- name: schedules_due_in
SELECT {seconds_until:look_at}
FROM {schedules}
WHERE look_at IS NOT NULL
ORDER BY look_at
LIMIT 1

-- name: schedules_due
{schedule_row}
WHERE look_at <= {now}
ORDER BY look_at, id
LIMIT :n::bigint OFFSET :skip::bigint

-- Those of another worker are passed over.
-- name: schedules_take
{schedule_row}
WHERE id IN (:ids*bigint)
  AND look_at <= {now}
ORDER BY next_at, id
{skip_locked}

-- name: schedules_next
{schedule_row}
WHERE look_at IS NOT NULL
ORDER BY look_at
LIMIT :n::bigint

-- name: schedules_all
{schedule_row}
ORDER BY name

-- name: schedule_by_id
{schedule_row}
WHERE id = :id::bigint

-- name: schedule_lock
{schedule_row}
WHERE id = :id::bigint
{for_update}

-- name: schedule_insert
INSERT INTO {schedules} (id, name, app, code, edit, anchor, created_at, edited_at, edited_by, next_at, look_at,
                         paused_at, paused_by, reason, missed)
VALUES (:id::bigint, :name::text, :app::text, :code::text, :edit::text, :anchor::timestamptz,
        :created_at::timestamptz, :edited_at::timestamptz, :edited_by::text, :next_at::timestamptz,
        :look_at::timestamptz, :paused_at::timestamptz, :paused_by::text, :reason::text, 0)

-- name: schedule_define
UPDATE {schedules}
SET app = :app::text, code = :code::text, edit = :edit::text, anchor = :anchor::timestamptz,
    edited_at = :edited_at::timestamptz, edited_by = :edited_by::text, next_at = :next_at::timestamptz,
    look_at = :look_at::timestamptz, disabled_since = :disabled_since::timestamptz, trouble = :trouble::text
WHERE id = :id::bigint

-- name: schedule_pause
UPDATE {schedules}
SET paused_at = :paused_at::timestamptz, paused_by = :paused_by::text, reason = :reason::text
WHERE id = :id::bigint

-- name: schedule_move
UPDATE {schedules}
SET next_at = :next_at::timestamptz, look_at = :look_at::timestamptz, trouble = :trouble::text,
    last_tick = :last_tick::timestamptz, last_outcome = :last_outcome::text, last_run = :last_run::uuid,
    earlier_run = :earlier_run::uuid, missed = :missed::bigint, other_runs = :other_runs::text
WHERE id = :id::bigint

-- The same for several schedules, whose rows are locked: one statement for all.
-- name: schedules_move
INSERT INTO {schedules} (id, name, app, anchor, created_at, next_at, look_at, trouble, last_tick, last_outcome,
                         last_run, earlier_run, missed, other_runs)
VALUES (:id::bigint, :name::text, :app::text, :anchor::timestamptz, :created_at::timestamptz, :next_at::timestamptz,
        :look_at::timestamptz, :trouble::text, :last_tick::timestamptz, :last_outcome::text, :last_run::uuid,
        :earlier_run::uuid, :missed::bigint, :other_runs::text)
ON CONFLICT (id) DO UPDATE
SET next_at = excluded.next_at, look_at = excluded.look_at, trouble = excluded.trouble,
    last_tick = excluded.last_tick, last_outcome = excluded.last_outcome, last_run = excluded.last_run,
    earlier_run = excluded.earlier_run, missed = excluded.missed, other_runs = excluded.other_runs

-- name: schedule_delete
DELETE FROM {schedules}
WHERE id = :id::bigint

-- The key makes a tick happen once: where another worker has made it, this writes nothing.
-- name: ticks_insert
INSERT INTO {schedule_ticks} (schedule_id, tick, at, outcome, run, missed, detail)
VALUES (:schedule_id::bigint, :tick::timestamptz, {now}, :outcome::text, :run::uuid, :missed::bigint, :detail::text)
ON CONFLICT DO NOTHING

-- name: ticks_made
SELECT schedule_id, tick, run
FROM {schedule_ticks}
WHERE schedule_id IN (:ids*bigint)
  AND tick IN (:ticks*timestamptz)

-- name: tick_duplicate
UPDATE {schedule_ticks}
SET outcome = 'duplicate', run = :run::uuid
WHERE schedule_id = :schedule_id::bigint
  AND tick = :tick::timestamptz

-- name: ticks_of
SELECT tick, at, outcome, run, missed, detail
FROM {schedule_ticks}
WHERE schedule_id = :id::bigint
ORDER BY tick DESC
LIMIT :n::bigint

-- name: ticks_between
SELECT tick, outcome, run
FROM {schedule_ticks}
WHERE schedule_id = :id::bigint
  AND tick >= :first::timestamptz
  AND tick < :last::timestamptz
ORDER BY tick DESC

-- Old ticks, but for the newest one of each schedule: it is what keeps a late clock from making it again.
-- name: ticks_old
SELECT t.schedule_id, max(t.tick)
FROM
  (SELECT k.schedule_id, k.tick
   FROM {schedule_ticks} k
   JOIN {schedules} s ON s.id = k.schedule_id
   WHERE k.tick < :before::timestamptz
     AND k.tick < s.last_tick
   ORDER BY k.tick
   LIMIT :n::bigint) t
GROUP BY t.schedule_id

-- name: ticks_delete
DELETE FROM {schedule_ticks}
WHERE schedule_id = :id::bigint
  AND tick <= :tick::timestamptz

-- Which of these jobs and workflows have not ended.
-- name: runs_live
SELECT id
FROM {job_states}
WHERE id IN (:ids*uuid)
  AND state NOT IN ('completed', 'failed', 'cancelled', 'skipped', 'missing')
UNION ALL
SELECT id
FROM {workflows}
WHERE id IN (:ids*uuid)
  AND ended_at IS NULL

-- name: runs_there
SELECT id FROM {jobs} WHERE id IN (:ids*uuid)
UNION ALL
SELECT id FROM {workflows} WHERE id IN (:ids*uuid)

-- name: schedule_sets_lock
SELECT version
FROM {schedule_sets}
WHERE app_id = :app_id::bigint
  AND version = 0
{for_update}

-- The version that was declared last comes first.
-- name: schedules_of_app
SELECT name
FROM {schedules}
WHERE app = :app::text
  AND disabled_since IS NULL

-- name: schedule_sets_of
SELECT version, turn
FROM {schedule_sets}
WHERE app_id = :app_id::bigint
  AND version <> 0
ORDER BY turn DESC

-- name: schedule_set_ensure
INSERT INTO {schedule_sets} (app_id, version, turn, declared_at)
VALUES (:app_id::bigint, :version::bigint, :turn::integer, {now})
ON CONFLICT DO NOTHING

-- name: schedule_set_drop
DELETE FROM {schedule_sets}
WHERE app_id = :app_id::bigint
  AND version <> 0
  AND (version = :version::bigint OR {age:declared_at} > 31536000)
