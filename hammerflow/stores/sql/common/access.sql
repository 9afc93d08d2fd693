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
