-- Searches of jobs. No index can leave rows out here, so the headers of the newest million jobs are read.

-- macro: materialized

-- macro: by_trace
FORCE INDEX ({prefix}jobs_trace)

-- macro: is_of_trace
trace = :trace::text OR trace LIKE :traceparent::text

-- macro: by_correlation
FORCE INDEX (PRIMARY)

-- macro: is_correlated
id >= COALESCE((SELECT id FROM {jobs} FORCE INDEX (PRIMARY) ORDER BY id DESC LIMIT 1 OFFSET 1000000), X'00')
  AND instr(headers, :text::text) > 0

-- macro: position
instr(@, :text::text)
