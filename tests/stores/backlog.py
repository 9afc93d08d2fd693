"""Backlog: rows by the hundred thousand, written straight into the tables."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence

from hammerflow.ids import name_id
from tests.stores.kit import Desk, open_raw

__all__ = ["BACKLOG", "ENDED", "IN_FLIGHT", "analyze", "fill", "key"]

#: Jobs that have ended; a fifth of it stands in each table of those that have not.
ENDED = int(os.environ.get("HAMMERFLOW_TEST_ROWS", "20000"))
BACKLOG = max(ENDED // 5, min(ENDED, 20_000))
#: Leases, of a thousand workers.
IN_FLIGHT = min(BACKLOG, 20_000)
#: Their rows come and go, so their statistics may be of any moment; the others only grow.
_HOT = ("ready", "leases", "scheduled", "waiting", "barriers")
_GROWING = ("done", "jobs", "errors", "edges", "nodes", "unique_keys", "workflows")


def key(letter: str, number: int) -> bytes:
    """The id of a job of the backlog, by the first letter of its table; ordered as ids are."""
    return letter.encode() + number.to_bytes(15)


def fill(desk: Desk) -> None:
    """Write it; the statistics still say that the hot tables are empty."""
    desk.store.names.register(queues=["q"], tasks=["t"])
    desk.register(1)
    _keep_statistics(desk)
    raw = open_raw(desk.url)
    with contextlib.closing(raw):
        if desk.kind == "sqlite":
            raw.create_function("key", 2, key, deterministic=True)
            raw.execute("BEGIN")
        cursor = raw.cursor()
        for text in _inserts(desk):
            cursor.execute(text)
        if isinstance(raw, sqlite3.Connection):
            raw.execute("COMMIT")
    if desk.kind == "mysql":
        _analyze(desk, _GROWING)
        desk.sql("FLUSH TABLES")  # what InnoDB has counted by itself is forgotten


def analyze(desk: Desk) -> None:
    """Let the planner know how many rows there are."""
    if desk.kind == "mysql":
        _analyze(desk, _HOT)
    else:
        desk.sql("ANALYZE")


def _analyze(desk: Desk, tables: Sequence[str]) -> None:
    for table in tables:
        desk.sql(f"ANALYZE TABLE {{{table}}}")


def _keep_statistics(desk: Desk) -> None:
    """As they are, of empty tables, until they are asked for."""
    for table in _HOT:
        if desk.kind == "postgres":
            desk.sql(f"ALTER TABLE {{{table}}} SET (autovacuum_enabled = off)")
        elif desk.kind == "mysql":
            desk.sql(f"ALTER TABLE {{{table}}} STATS_AUTO_RECALC = 0")
            desk.sql(f"ANALYZE TABLE {{{table}}}")


def _inserts(desk: Desk) -> Iterator[str]:
    second = "CAST(strftime('%s', 'now') AS integer)"  # SQLite has unixepoch() since 3.38
    now = {"postgres": "now()", "mysql": "UTC_TIMESTAMP(6)", "sqlite": second}[desk.kind]
    later = {
        "postgres": "now() + (86400 + n) * interval '1 second'",
        "mysql": "UTC_TIMESTAMP(6) + INTERVAL n + 86400 SECOND",
        "sqlite": f"{second} + 86400 + n",
    }[desk.kind]
    blob = "'\\x00'" if desk.kind == "postgres" else "x'00'"
    place = f"{name_id('q')}, 2"
    task = name_id("t")
    ready, leased, scheduled, waiting, done, flow, late = (
        _key(desk, letter) for letter in "rlswdfe"
    )
    asked = "id, queue_id, priority, task_id, args, depth, created_at, flags, dependent_id"
    for count, table, columns, values in (
        (BACKLOG, "ready", "queue_id, priority_order, job_id, task_id, lease, attempt",
         f"{place}, {ready}, {task}, 0, 0"),
        (IN_FLIGHT, "leases",
         "job_id, lease, attempt, worker_id, queue_id, priority_order, task_id, started_at",
         f"{leased}, 1, 1, n % 1000, {place}, {task}, {now}"),
        (BACKLOG, "scheduled",
         "run_at, job_id, queue_id, priority_order, task_id, lease, attempt, why",
         f"{later}, {scheduled}, {place}, {task}, 0, 0, 'delay'"),
        (BACKLOG, "waiting",
         "job_id, pending, failed, skipped, total, rule, lease, queue_id, priority_order, task_id",
         f"{waiting}, 5, 0, 0, 5, 0, 0, {place}, {task}"),
        (ENDED, "done", "job_id, finished_at, state, attempt, lease", f"{done}, {now}, 4, 1, 1"),
        (BACKLOG, "unique_keys", "ukey, job_id", f"{_text(desk)}, {ready}"),
        (BACKLOG, "errors", "job_id, lease, kind, attempt, at, type, message, trace",
         f"{leased}, 1, 'lost', 1, {now}, '', '', ''"),
        (BACKLOG, "edges", "parent_id, child_id, kind", f"{ready}, {waiting}, 0"),
        (BACKLOG, "barriers", "id, pending, failed", f"{flow}, 5, 0"),
        (BACKLOG, "nodes", "workflow_id, job_id", f"{_key(desk, 'f', 'n / 10')}, {ready}"),
        (BACKLOG // 10, "workflows",
         "id, created_at, failures, status, policy, collects, flags, kind, name",
         f"{flow}, {now}, 0, 1, 0, 0, 0, 'workflow', 'w'"),
        (BACKLOG, "jobs", asked, f"{ready}, {place}, {task}, {blob}, 0, {now}, 0, {waiting}"),
        (IN_FLIGHT, "jobs", asked, f"{leased}, {place}, {task}, {blob}, 0, {now}, 0, {waiting}"),
        (BACKLOG, "jobs", asked, f"{waiting}, {place}, {task}, {blob}, 0, {now}, 0, NULL"),
        (ENDED, "jobs", asked, f"{done}, {place}, {task}, {blob}, 0, {now}, 0, {late}"),
    ):  # fmt: skip
        into = f"INSERT INTO {{{table}}} ({columns}) SELECT {values} FROM {_numbers(desk, count)}"
        yield into.replace("{", desk.settings.prefix).replace("}", "")


def _key(desk: Desk, letter: str, number: str = "n") -> str:
    """The same as :func:`key` in SQL."""
    head = letter.encode().hex()
    return {
        "postgres": f"('{head}' || lpad(to_hex({number}), 30, '0'))::uuid",
        "mysql": f"UNHEX(CONCAT('{head}', LPAD(HEX({number.replace('/', 'DIV')}), 30, '0')))",
        "sqlite": f"key('{letter}', {number})",
    }[desk.kind]


def _text(desk: Desk) -> str:
    return "CAST(n AS CHAR)" if desk.kind == "mysql" else "CAST(n AS text)"


def _numbers(desk: Desk, count: int) -> str:
    return {
        "postgres": f"generate_series(1, {count}) n",
        "mysql": f"JSON_TABLE(CONCAT('[1', REPEAT(',1', {count - 1}), ']'), '$[*]'"
        " COLUMNS (n FOR ORDINALITY)) s",
        "sqlite": "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c"
        f" WHERE n < {count}) SELECT n FROM c)",
    }[desk.kind]
