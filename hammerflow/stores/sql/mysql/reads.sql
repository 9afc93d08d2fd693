-- Searches of jobs by indexes.

-- macro: materialized

-- macro: by_trace
FORCE INDEX ({prefix}jobs_trace)

-- macro: is_of_trace
trace = :trace::text OR trace LIKE :traceparent::text

-- macro: by_correlation
FORCE INDEX ({prefix}jobs_correlation)

-- macro: is_correlated
correlation = :value::text

-- macro: position
instr(@, :text::text)

-- macro: head_pair
concat(hex(@.job_id), ' ', coalesce(@.ready_at, ''))
