-- Searches of jobs by indexes that hold only few of them.

-- macro: materialized
MATERIALIZED

-- macro: by_trace

-- macro: is_of_trace
trace IS NOT NULL AND substr(trace, 4, 32) IN (:keys*text)

-- macro: by_correlation

-- macro: is_correlated
strpos(headers, '"correlation_id":') > 0
  AND left(substring(headers from '"correlation_id":"([^"]*)'), 200) = :value::text

-- macro: position
strpos(@, :text::text)
