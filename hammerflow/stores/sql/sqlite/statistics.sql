-- macro: by_finished

-- macro: run_time
(d.finished_at - d.started_at)

-- macro: wait_time
(d.started_at - j.created_at)
