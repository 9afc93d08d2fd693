-- name: ticks_insert
INSERT INTO {schedule_ticks} (schedule_id, tick, at, outcome, run, missed, detail)
VALUES (:schedule_id::bigint, :tick::timestamptz, {now}, :outcome::text, :run::uuid, :missed::bigint, :detail::text)
ON DUPLICATE KEY UPDATE schedule_id = schedule_id

-- name: schedule_set_ensure
INSERT INTO {schedule_sets} (app_id, version, turn, declared_at)
VALUES (:app_id::bigint, :version::bigint, :turn::integer, {now})
ON DUPLICATE KEY UPDATE app_id = app_id
