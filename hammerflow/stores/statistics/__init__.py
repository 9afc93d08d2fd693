"""Statistics: jobs and workflows over time, the state of queues, totals for counters."""
