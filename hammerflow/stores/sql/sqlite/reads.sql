-- Searches of jobs by indexes that hold only few of them.

-- macro: materialized

-- macro: by_trace
INDEXED BY {prefix}jobs_trace

-- macro: is_of_trace
trace IS NOT NULL AND substr(trace, 4, 32) IN (:keys*text)

-- macro: by_correlation
INDEXED BY {prefix}jobs_correlation

-- macro: is_correlated
instr(headers, '"correlation_id":') > 0
  AND substr(headers, instr(headers, '"correlation_id":') + 18, 200) >= :value::text
  AND substr(headers, instr(headers, '"correlation_id":') + 18, 200) < :end::text

-- macro: position
instr(@, :text::text)
