"""Plans: no statement on the hot path scans a hot table, however many rows stand in it.

Measured, not read from a plan: what each statement has really touched, while the statistics still
say that all tables are empty, and once more when they are true. HAMMERFLOW_TEST_ROWS=1000000 does
it beside a million ended jobs.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from hammerflow.ids import name_id, new_id
from hammerflow.jobs.outcome import Completed
from hammerflow.stores.database import Tx
from tests.stores.backlog import BACKLOG, ENDED, analyze, fill, key
from tests.stores.kit import Desk, desk_at, failed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("servers"), pytest.mark.timeout(3600)]

IDS = [new_id() for _ in range(10)]


def some(letter: str) -> list[bytes]:
    """Ids from all over the backlog; the leases of worker 9 are among them."""
    return [key(letter, 9 + 1_000 * n) for n in range(10)]


PLACE = {"queue_id": name_id("q"), "priority_order": 2}
LANES = {"queue_id": name_id("q"), "after": -1, "until": 1 << 62, "above": 0, "top": 0}
STATEMENTS: dict[str, dict[str, Any]] = {
    "ready_delete": {**PLACE, "ids": some("r")},
    "strays": {
        **PLACE,
        "bound": key("r", 9),
        "window": 20,
        "age": 3600.0,
        "task_ids": [name_id("t")],
        "n": 10,
        "is_strict": 1,
    },
    "ready_aged": {
        "queue_id": name_id("q"), "task_ids": [name_id("t")], "end": key("r", 9), "until": 1e9,
    },
    "ready_oldest_of_parts": {
        "queue_id": name_id("q"), "task_ids": [name_id("t")], "n": 5,
        **{f"bookmark{order}": bytes(16) for order in range(5)},
        **{f"end{order}": key("r", 9) for order in range(5)},
        **{f"until{order}": 1e9 for order in range(5)},
    },
    "ready_heads": {
        "queue_id": name_id("q"),
        "task_ids": [name_id("t")],
        **{f"bookmark{order}": bytes(16) for order in range(5)},
    },
    "strays_next": {**PLACE, "bound": key("r", 9), "window": 20},
    "job_age": {"id": some("d")[3]},
    "ids_correlated": {"value": "c7", "end": "c7z", "before": b"\xff" * 16, "n": 10},
    "workflows_traced": {"value": "c7", "end": "c7z", "text": "c7", "n": 10},
    "workflows_correlated": {"value": "c7", "end": "c7z", "text": "c7", "n": 10},
    "ids_traced": {
        "keys": ["a" * 32], "trace": "a" * 32, "traceparent": f"00-{'a' * 32}-%",
        "before": b"\xff" * 16, "n": 10,
    },
    "claim_named": {**PLACE, "ids": some("r")[:5], "task_ids": [name_id("t")], "worker_id": 9},
    "leases_delete": {"worker_id": 9, "ids": some("l")},
    "waiting_lock": {"ids": some("w")},
    "waiting_count": {"n": 1, "failed": 0, "skipped": 0, "cause": None, "ids": some("w")},
    "waiting_delete": {"ids": some("w")},
    "waiting_below": {"ids": some("w"), "n": 20},
    "waiting_recount": {
        "pending": 1, "failed": 0, "skipped": 0, "cause": None, "ids": some("w"),
    },
    "orphans": {"ids": some("w")[:5]},
    "leases_free": {"ids": some("l")},
    "edges_of": {"ids": some("r")},
    "edges_into": {"ids": some("w")},
    "barriers_lock": {"ids": some("f")},
    "barriers_count": {"n": 1, "failed": 0, "ids": some("f")},
    "barriers_delete": {"ids": some("f")},
    "workflows_share": {"ids": some("f")},
    "workflows_lock": {"ids": some("f")},
    "members_waiting": {"ids": some("w")},
    "members_ready": {"ids": some("r")},
    "members_scheduled": {"ids": some("s")},
    "members_parked": {"ids": some("r")},
    "members_running": {"id": key("f", 7)},
    "members_running_ids": {"id": key("f", 7)},
    "members_awaiting_children": {"id": key("f", 7)},
    "members_snapshot": {"id": key("f", 7)},
    "waiting_slice": {"after": key("w", 9), "n": 100},
    "jobs_missing": {"ids": some("w")[:5]},
    "scheduled_next": {},
    "unique_holders": {"ukeys": ["1", "2"]},
    "unique_release": {"ukeys": ["1", "2"], "ids": some("r")},
    "losses": {"ids": some("l")},
    "done_leases": {"ids": some("d")},
    "ended_links": {"ids": some("d")},
    "jobs_existing": {"ids": [*some("d"), *IDS]},
    "worker_beat": {"id": 1, "state": None},
    "requests_open": {"worker_id": 9},
    "explain_place": {"id": some("r")[3]},
    "ready_ahead": {**PLACE, "id": some("r")[3], "n": 20},
    "dependencies_unfinished": {
        "id": some("w")[3], "workflow_id": key("f", 7), "parent": IDS[0], "n": 20, "most": 3,
    },
    "ready_next_queue": {"after": -(1 << 63)},
    "ready_count": {"queue_id": name_id("q"), "n": 20},
    "ready_oldest": {"queue_id": name_id("q")},
    "ready_page": {**PLACE, "id": some("r")[3], "n": 20},
    **{f"by_queue_{s}": {"n": 20} for s in ("running", "scheduled", "waiting")},
    "enqueued_lately": {"low": key("d", 0), "high": key("s", 0), "n": 20},
    "enqueued_nth": {"low": key("d", 0), "high": key("s", 0), "n": 19},
    "times_lately": {"low": key("d", 0), "high": key("s", 0), "n": 20},
    "workers_beats": {},
    "worker_still_dead": {"id": 1, "beats": 0},
    "worker_leases": {"worker_id": 9, "n": 100},
    "leases_of_worker": {"worker_id": 9},
    "unserved_head": {"queue_id": name_id("q"), "n": 20},
    "take_scheduled": {"id": some("s")[3]},
    "take_waiting": {"id": some("w")[3]},
    "take_ready": {"id": some("r")[3], **PLACE},
    "leases_cancel": {"id": some("l")[3], "reason": "x"},
    "lease_cancels": {"worker_id": 9},
    "leases_wait": {"worker_id": 9, "ids": some("l")},
    "leases_logging": {"worker_id": 9, "ids": some("l")},
    "job_logs_drop": {"lease": 1, "ids": some("l")},
    "leases_held": {"worker_id": 9, "ids": some("l")},
    "drop_scheduled": {"id": some("s")[3]},
    "job_result": {"id": some("d")[3]},
    "job_rows": {"ids": some("d")[:3]},
    "job_log_ends": {"ids": some("d")},
    "ids_children": {"parent": IDS[0], "after": -1, "n": 10},
    "children_results": {"parent": IDS[0], "after": -1, "n": 10, "dependent_id": IDS[1]},
    "awaited": {"id": some("w")[3]},
    "members_page": {"id": key("f", 7), "ids": some("w")},
    "dependents_states": {"id": some("d")[3]},
    "ended_page": {"after": some("d")[0], "before": b"\xff" * 16, "n": 20},
    "members_of": {"ids": some("d")},
    "parents_among": {"ids": some("d")},
    "children_of": {"ids": some("d")},
    "nodes_of": {"ids": some("f")[:1]},
    "workflows_near": {"ids": some("f")},
    "workflows_take": {"ids": some("f")},
    "jobs_take": {"ids": some("d")},
    "done_take": {"ids": some("d")},
    "dependents_open": {"ids": some("d")},
    "remove_done": {"ids": some("d")},
    "remove_jobs": {"ids": some("d")},
    "remove_errors": {"ids": some("d")},
    "remove_edges_to": {"ids": some("d")},
    "remove_replays": {"ids": some("d")},
    "archive_read_jobs": {"ids": some("d")},
    "archive_read_done": {"ids": some("d")},
    "archive_read_errors": {"ids": some("d")},
    "archive_read_edges": {"ids": some("d")},
    "archive_read_replays": {"ids": some("d")},
    "archive_sizes": {"ids": some("d")},
    "archive_text_sizes": {"ids": some("d")},
    "dead_failed": {"n": 10},
    "dead_parked": {"n": 20},
    "expires_again": {"ids": some("d")},
    "replay_ids": {"operation_id": IDS[0], "after": bytes(16), "n": 20},
    "dependencies_states": {"id": some("w")[3], "workflow_id": key("f", 7), "parent": IDS[0]},
}  # fmt: skip
CLAIM = {"queue_id": name_id("q"), "task_ids": [name_id("t")], "n": 100}
MYSQL: dict[str, dict[str, Any]] = {
    "claim_read": CLAIM,
    "claim_part": {
        **CLAIM,
        **PLACE,
        "n": 5,
        "since": 0.0,
        "until": 1e12,
        "first": bytes(16),
        "end": b"\xff" * 16,
    },
    "claim_heads": {**CLAIM, "ids": some("r")},
    "lane_heads": {"queue_id": name_id("q"), "firsts": some("r"), "depth": 20},
    "lane_rows": {**LANES, "rows": 100},
    "lane_firsts": {**LANES, "most": 5},
    "lane_jobs": {"queue_id": name_id("q"), "lane": 2, "n": 20},
    "leases_take_lanes": {**PLACE, "worker_id": 1, "ids": some("r"), "version": -1},
    "ready_delete_lanes": {**PLACE, "ids": some("r")},
    "leases_take": {**PLACE, "worker_id": 1, "ids": some("r"), "version": -1},
    "ready_lock": {**PLACE, "ids": some("r")},
    "leases_lock": {"worker_id": 9, "ids": some("l")},
    "promote_pick": {"n": 100},
    "scheduled_delete": {"ids": some("s")},
}
SQLITE: dict[str, dict[str, Any]] = {
    "lanes": {**LANES, "most": 20},
    "limit_running_of": {"ids": [1, 2, 3]},
    "lane_rows": {**LANES, "rows": 100},
    "lane_firsts": {**LANES, "rows": 100},
    "leases_take_lanes": {**PLACE, "worker_id": 1, "ids": some("r")},
    "ready_delete_lanes": {**PLACE, "ids": some("r")},
    "claim_read": CLAIM,
    "claim_part": {
        **CLAIM, **PLACE, "n": 5, "since": 0.0, "until": 1e12, "first": bytes(16),
        "end": b"\xff" * 16,
    },
    "claim_heads": {**CLAIM, "ids": some("r")},
    "lane_heads": {"queue_id": name_id("q"), "firsts": some("r"), "depth": 20},
    "leases_take_through": {
        **PLACE, "worker_id": 1, "last": key("r", 100), "task_ids": [name_id("t")],
    },
    "ready_delete_through": {**PLACE, "last": key("r", 100), "task_ids": [name_id("t")]},
    "leases_lock": {"worker_id": 9, "ids": some("l")},
    "promote_pick": {"n": 100},
    "scheduled_delete": {"ids": some("s")},
}  # fmt: skip
POSTGRES: dict[str, dict[str, Any]] = {
    "lanes": {**LANES, "most": 20},
    "limit_running_of": {"ids": [1, 2, 3]},
    "claim": {
        **CLAIM, "priority_orders": [0, 1, 2, 3, 4], "bookmarks": [bytes(16)] * 5, "n": 5,
        "worker_id": 1,
    },
    "claim_parts": {
        **CLAIM, "n": 5, "worker_id": 1, "priority_orders": [2, 1, 2],
        "bookmarks": [bytes(16)] * 3, "sinces": [0.0, 0.0, 1e9], "untils": [1e9, 1e12, 1e12],
        "firsts": [bytes(16), bytes(16), key("r", 5)],
        "ends": [key("r", 5), b"\xff" * 16, b"\xff" * 16], "counts": [5, 5, 5],
    },
    "claim_counts": {
        "queue_id": name_id("q"), "task_ids": [name_id("t")], "worker_id": 1,
        "priority_orders": [0, 2, 4], "bookmarks": [bytes(16)] * 3, "counts": [3, 2, 1],
    },
    "claim_lanes": {
        **CLAIM, "lanes": [2, 3], "keys": [0, 0], "counts": [5, 5], "locks": [9], "shared": 0,
        "ids": [9], "limits": [9], "names": [""], "n": 5, "worker_id": 1, "fair": 0,
    },
    "claim_near_lanes": {
        **CLAIM, "after": 1, "until": 4, "above": 0, "top": 0, "most": 5, "rows": 20, "n": 5,
        "worker_id": 1,
    },
    "settle_end": {
        "ids": some("l"), "leases": [1] * 10, "states": [4] * 10, "results": [b"M"] * 10,
        "reasons": [None] * 10, "ttls": [None] * 10, "worker_id": 9, "is_whole": True,
        "lock_timeout": None,
    },
    "promote": {"n": 100},
}  # fmt: skip


#: A scan of the least of the hot tables would touch many more: 20 000 rows are 200 pages or more.
MOST_PAGES = 150
MOST_ROWS = 3_000
MOST_THOUSANDS = 20  # of instructions of SQLite's machine; a scan takes three or more for each row
#: These walk the leases on SQLite, which has no index by worker: they are as many as one host runs.
WALKS = ("worker_leases", "leases_of_worker", "lease_cancels")


def test_postgres_reads_few_pages(migrated_database: Callable[[str], str]) -> None:
    with desk_at(migrated_database("postgres")) as desk:

        def pages_of(name: str, values: dict[str, Any]) -> int:
            pages = pages_read(desk, name, values)
            assert pages < MOST_PAGES, name
            return pages

        _check(desk, {**STATEMENTS, **POSTGRES}, pages_of, "pages")


def pages_read(desk: Desk, name: str, values: dict[str, Any]) -> int:
    """The most pages that PostgreSQL touches for a statement, which is rolled back."""
    own: Any = desk.store.database.dialect.connect()
    plans: list[str] = []
    own.connection.add_notice_handler(lambda note: plans.append(note.message_primary))
    own.connection.execute(_EXPLAIN)
    most = 0
    for _ in range(7):  # from the sixth on the plan may be a generic one
        plans.clear()
        own.connection.execute("BEGIN")
        run(own, name, values)
        own.connection.execute("ROLLBACK")
        (top, *_) = re.findall(r"Buffers: shared.*", plans[0])  # of the whole statement
        most = max(most, sum(int(count) for count in re.findall(r"(?:hit|read)=(\d+)", top)))
    own.connection.close()
    return most


_EXPLAIN = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_analyze = on;
SET auto_explain.log_buffers = on;
SET auto_explain.log_timing = off;
SET auto_explain.log_level = notice;
SET client_min_messages = notice
"""


def test_mariadb_reads_few_rows(migrated_database: Callable[[str], str]) -> None:
    with desk_at(migrated_database("mariadb")) as desk:
        own: Any = desk.store.database.dialect.connect()

        def rows_of(name: str, values: dict[str, Any]) -> int:
            own.connection.begin()
            with own.connection.cursor() as cursor:
                cursor.execute("FLUSH STATUS")
                run(own, name, values)
                cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
                reads = {key: int(value) for key, value in cursor.fetchall()}
            own.connection.rollback()
            count = sum(reads.values())
            assert count < MOST_ROWS, (name, reads)
            return count

        statements = {name: _wide(values) for name, values in {**STATEMENTS, **MYSQL}.items()}
        _check(desk, statements, rows_of, "rows")
        own.connection.close()


def test_sqlite_does_little(migrated_database: Callable[[str], str]) -> None:
    with desk_at(migrated_database("sqlite")) as desk:
        own: Any = desk.store.database.dialect.connect()

        def thousands_of(name: str, values: dict[str, Any]) -> int:
            thousands: list[int] = []
            own.connection.execute("BEGIN IMMEDIATE")
            own.connection.set_progress_handler(lambda: thousands.append(1), 1_000)
            run(own, name, values)
            own.connection.set_progress_handler(None, 0)
            own.connection.execute("ROLLBACK")
            assert len(thousands) < MOST_THOUSANDS, name
            return len(thousands)

        statements = {name: values for name, values in STATEMENTS.items() if name not in WALKS}
        _check(desk, {**statements, **SQLITE}, thousands_of, "thousands of instructions")
        own.connection.close()


def _wide(values: dict[str, Any]) -> dict[str, Any]:
    """With 200 ids: MariaDB prefers a scan to a long list where it believes the table empty."""
    if "ids" not in values:
        return values
    letter = chr(values["ids"][0][0])
    return {**values, "ids": [key(letter, 9 + 97 * n) for n in range(200)]}


def _check(
    desk: Desk,
    statements: dict[str, dict[str, Any]],
    cost_of: Callable[[str, dict[str, Any]], int],
    unit: str,
) -> None:
    fill(desk)
    costs = {name: cost_of(name, values) for name, values in statements.items()}
    seconds = quick(desk)
    analyze(desk)
    known = {name: cost_of(name, values) for name, values in statements.items()}
    worst = max(known, key=lambda name: max(costs[name], known[name]))
    sys.stdout.write(
        f"\n{desk.kind}: {len(known)} statements beside {ENDED} ended and {BACKLOG} waiting jobs:"
        f" at most {max(costs[worst], known[worst])} {unit} ({worst});"
        f" a claim and settles of 10: {seconds * 1e3:.1f} ms\n"
    )


def run(tx: Tx, name: str, values: dict[str, Any]) -> None:
    if name.startswith(CHANGES):
        tx.run(name, **values)
    else:
        tx.rows(name, **values)


CHANGES = (
    "waiting_count", "waiting_recount", "waiting_delete", "leases_de", "leases_c", "leases_t",
    "drop_", "unique_rel", "scheduled_d", "barriers_c", "barriers_d", "worker_b",
    "ready_delete_through", "remove_", "expires_again", "job_logs_d",
)  # fmt: skip


def quick(desk: Desk) -> float:
    """Claims and settles beside the backlog; a scan for each would take many seconds."""
    began = time.perf_counter()
    for _ in range(20):
        claimed = desk.claim(10)
        assert len(claimed) == 10
        desk.settle(*((job, Completed(b"M")) for job in claimed[:5]))
        desk.settle(*((job, failed()) for job in claimed[5:]))
        desk.store.jobs.promote()
    return (time.perf_counter() - began) / 20
