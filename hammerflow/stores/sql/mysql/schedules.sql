-- name: ticks_insert
INSERT INTO {schedule_ticks} (schedule_id, tick, at, outcome, run, missed, detail)
VALUES (:schedule_id::bigint, :tick::timestamptz, {now}, :outcome::text, :run::uuid, :missed::bigint, :detail::text)
ON DUPLICATE KEY UPDATE schedule_id = schedule_id

-- name: schedule_set_ensure
INSERT INTO {schedule_sets} (app_id, version, turn, declared_at)
VALUES (:app_id::bigint, :version::bigint, :turn::integer, {now})
ON DUPLICATE KEY UPDATE app_id = app_id

-- The same for several schedules, whose rows are locked: one statement for all.
-- name: schedules_move
INSERT INTO {schedules} (id, name, app, anchor, created_at, next_at, look_at, trouble, last_tick, last_outcome,
                         last_run, earlier_run, missed, other_runs)
VALUES (:id::bigint, :name::text, :app::text, :anchor::timestamptz, :created_at::timestamptz, :next_at::timestamptz,
        :look_at::timestamptz, :trouble::text, :last_tick::timestamptz, :last_outcome::text, :last_run::uuid,
        :earlier_run::uuid, :missed::bigint, :other_runs::text)
ON DUPLICATE KEY UPDATE
  next_at = VALUES(next_at), look_at = VALUES(look_at), trouble = VALUES(trouble),
  last_tick = VALUES(last_tick), last_outcome = VALUES(last_outcome), last_run = VALUES(last_run),
  earlier_run = VALUES(earlier_run), missed = VALUES(missed), other_runs = VALUES(other_runs)
