-- Who may use the web, and what they have changed.

-- name: token_insert
INSERT INTO {web_tokens} (id, name, hash, role, sees_values, created_at, created_by, expires_at)
VALUES (:id::uuid, :name::text, :hash::text, :role::smallint, :sees_values::smallint, {epoch}, :by::text,
  {epoch} + :expires_in::float8)

-- name: tokens_list
SELECT id, name, role, sees_values, created_at, created_by, expires_at, revoked_at, used_at
FROM {web_tokens}
ORDER BY id

-- name: tokens_between
SELECT id
FROM {web_tokens}
WHERE id >= :low::uuid
  AND id <= :high::uuid
ORDER BY id
LIMIT :n::bigint

-- name: token_of
SELECT id, name, role, sees_values, created_at, created_by, expires_at, revoked_at, used_at
FROM {web_tokens}
WHERE hash = :hash::text
  AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > {epoch})

-- name: token_use
UPDATE {web_tokens}
SET used_at = {epoch}
WHERE id = :id::uuid

-- name: token_revoke
UPDATE {web_tokens}
SET revoked_at = {epoch}
WHERE id = :id::uuid
  AND revoked_at IS NULL

-- name: audit_insert
INSERT INTO {audit} (id, at, who, address, action, target, details)
VALUES (:id::uuid, {epoch}, :who::text, :address::text, :action::text, :target::text, :details::text)

-- name: audit_end
UPDATE {audit}
SET outcome = :outcome::text
WHERE id = :id::uuid

-- name: audit_page
SELECT id, at, who, address, action, target, details, outcome
FROM {audit}
WHERE (:before::uuid IS NULL OR id < :before::uuid)
  AND (:who::text IS NULL OR who = :who::text)
ORDER BY id DESC
LIMIT :n::bigint

-- name: audit_prune
DELETE FROM {audit}
WHERE id < :before::uuid

-- Answers that are kept for requests with an Idempotency-Key: one without a status is under way.
-- name: web_answer_insert
INSERT INTO {web_answers} (hash, body, until)
VALUES (:hash::text, :body::text, {epoch} + :keep::float8)
ON CONFLICT DO NOTHING

-- name: web_answer_of
SELECT body, status, answer, until - {epoch}
FROM {web_answers}
WHERE hash = :hash::text

-- name: web_answer_end
UPDATE {web_answers}
SET status = :status::smallint, answer = :answer::text
WHERE hash = :hash::text

-- name: web_answer_drop
DELETE FROM {web_answers}
WHERE hash = :hash::text

-- name: web_answers_prune
DELETE FROM {web_answers}
WHERE until < {epoch}

-- Changes of many jobs that somebody has asked for.
-- name: operation_insert
INSERT INTO {operations} (id, action, made_by, wanted, at, beat_at, state, total, done, failed)
VALUES (:id::uuid, :action::text, :by::text, :wanted::text, {epoch}, {epoch}, 'running', :total::bigint, 0, 0)

-- name: operation_beat
UPDATE {operations}
SET beat_at = {epoch}, done = :done::bigint, failed = :failed::bigint
WHERE id = :id::uuid
  AND state = 'running'

-- name: operation_end
UPDATE {operations}
SET beat_at = {epoch}, done = :done::bigint, failed = :failed::bigint, state = :state::text, error = :error::text
WHERE id = :id::uuid

-- name: operation_stop
UPDATE {operations}
SET state = 'stopped', beat_at = {epoch}
WHERE id = :id::uuid
  AND state = 'running'

-- name: operations_page
SELECT id, action, made_by, wanted, at, {epoch} - beat_at, state, total, done, failed, error
FROM {operations}
WHERE (:before::uuid IS NULL OR id < :before::uuid)
  AND (:only::uuid IS NULL OR id = :only::uuid)
ORDER BY id DESC
LIMIT :n::bigint

-- name: operations_between
SELECT id
FROM {operations}
WHERE id >= :low::uuid
  AND id <= :high::uuid
ORDER BY id
LIMIT :n::bigint

-- name: operations_prune
DELETE FROM {operations}
WHERE id < :before::uuid
