-- macro: by_finished
FORCE INDEX ({prefix}done_finished)

-- macro: run_time
TIMESTAMPDIFF(MICROSECOND, d.started_at, d.finished_at) / 1000000e0

-- macro: wait_time
TIMESTAMPDIFF(MICROSECOND, j.created_at, d.started_at) / 1000000e0

-- name: statistics_begin
INSERT INTO {statistics_progress} (id, due_at, counted_to, final_to)
VALUES (1, {now}, :begin::bigint, :begin::bigint)
ON DUPLICATE KEY UPDATE id = id
