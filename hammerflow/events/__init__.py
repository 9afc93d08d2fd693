"""Events: what happened to jobs, workflows, queues, workers and schedules, as plain data."""
