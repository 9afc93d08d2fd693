-- macro: by_finished

-- macro: run_time
extract(epoch from d.finished_at - d.started_at)::float8

-- macro: wait_time
extract(epoch from d.started_at - j.created_at)::float8

-- A BRIN index is read by a bitmap, which connections have turned off for claims and settles.
-- name: statistics_plan
SELECT set_config('enable_bitmapscan', 'on', true)
