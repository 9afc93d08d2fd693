-- What MySQL and MariaDB write differently.
-- name: expires_again
UPDATE {jobs} FORCE INDEX (PRIMARY)
SET expires_at = TIMESTAMPADD(MICROSECOND, TIMESTAMPDIFF(MICROSECOND, COALESCE(
  (SELECT max(e.at) FROM {errors} e WHERE e.job_id = {jobs}.id AND e.kind = 'replayed'), created_at),
  expires_at), {now})
WHERE id IN (:ids*uuid)
  AND expires_at IS NOT NULL
