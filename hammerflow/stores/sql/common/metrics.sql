-- Metrics of the whole database: one process at a time reads them.

-- name: metrics_begin
INSERT INTO {metrics} (id, until, counted_to, totals)
SELECT 1, 0, :counted_to::bigint, '[]'
WHERE NOT EXISTS (SELECT 1 FROM {metrics})

-- The turn stays with its holder until it gives it back, or has shown no sign of life for :hold seconds.
-- name: metrics_take
UPDATE {metrics}
SET holder = :holder::bigint, until = {epoch} + :hold::float8
WHERE id = 1
  AND (holder IS NULL OR holder = :holder::bigint OR until < {epoch} OR until > {epoch} + 2 * :hold::float8)

-- name: metrics_give
UPDATE {metrics}
SET holder = NULL
WHERE id = 1
  AND holder = :holder::bigint

-- name: metrics_state
SELECT counted_to, totals
FROM {metrics}
WHERE id = 1

-- Only if no other process has done it meanwhile.
-- name: metrics_count
UPDATE {metrics}
SET counted_to = :counted_to::bigint, totals = :totals::text
WHERE id = 1
  AND counted_to = :before::bigint

-- name: outbox_oldest
SELECT at
FROM {outbox}
ORDER BY seq
LIMIT 1
