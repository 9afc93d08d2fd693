"""Plans: no statement on the hot path scans a hot table, however many rows stand in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from hammerflow.outcome import Completed
from hammerflow.stores.database import Tx
from hammerflow.stores.names import name_id, new_id
from tests.stores.kit import Desk, desk_at, failed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("servers")]
ROWS = 100_000


def fill(desk: Desk) -> None:
    """Rows of a backlog, straight into the tables; the statistics still say they are empty."""
    desk.store.names.register(queues=["q"], tasks=["t"])
    if desk.kind == "postgres":
        number = f"generate_series(1, {ROWS}) n"
        key, text = "md5(n::text || '@')::uuid", "n::text"
        later = "now() + interval '1 day' + n * interval '1 second'"
        blob, now = "'\\x00'::bytea", "now()"
    else:
        number = f"(SELECT seq AS n FROM seq_1_to_{ROWS}) s"
        key, text = "UNHEX(MD5(CONCAT(n, '@')))", "CAST(n AS CHAR)"
        later, blob, now = "UTC_TIMESTAMP(6) + INTERVAL n + 86400 SECOND", "''", "UTC_TIMESTAMP(6)"
    queue, task = name_id("q"), name_id("t")

    def at(table: str) -> str:
        return key.replace("@", table)

    place, asked = f"{queue}, 2", "id, queue_id, priority, task_id, args, depth, created_at"
    for table, columns, values in (
        ("ready", "queue_id, lane, job_id, task_id, lease, attempt",
         f"{place}, {at('r')}, {task}, 0, 0"),
        ("leases", "job_id, lease, attempt, worker_id, queue_id, lane, task_id, started_at",
         f"{at('l')}, 1, 1, 9, {place}, {task}, {now}"),
        ("scheduled", "run_at, job_id, queue_id, lane, task_id, lease, attempt, why",
         f"{later}, {at('s')}, {place}, {task}, 0, 0, 'delay'"),
        ("waiting", "job_id, pending, failed, skipped, total, rule, lease, queue_id, lane, task_id",
         f"{at('w')}, 5, 0, 0, 5, 0, 0, {place}, {task}"),
        ("done", "job_id, finished_at, state, attempt, lease", f"{at('d')}, {now}, 4, 1, 1"),
        ("unique_keys", "ukey, job_id", f"{text}, {at('u')}"),
        ("errors", "job_id, lease, kind, attempt, at, type, message, trace",
         f"{at('e')}, 1, 'lost', 1, {now}, '', '', ''"),
        ("jobs", asked, f"{at('r')}, {queue}, 2, {task}, {blob}, 0, {now}"),
        ("jobs", asked, f"{at('l')}, {queue}, 2, {task}, {blob}, 0, {now}"),
    ):  # fmt: skip
        desk.sql(f"INSERT INTO {{{table}}} ({columns}) SELECT {values} FROM {number}")


IDS = [new_id() for _ in range(20)]
STATEMENTS: dict[str, dict[str, Any]] = {
    "ready_delete": {"queue_id": 1, "lane": 2, "ids": IDS},
    "leases_delete": {"worker_id": 1, "ids": IDS},
    "waiting_lock": {"ids": IDS},
    "waiting_decrement": {"n": 1, "bad": 0, "skipped": 0, "cause": None, "ids": IDS},
    "waiting_delete": {"ids": IDS},
    "scheduled_next": {},
    "unique_holders": {"ukeys": ["1", "2"]},
    "unique_release": {"ukeys": ["1", "2"], "ids": IDS},
    "losses": {"ids": IDS},
    "done_leases": {"ids": IDS},
    "ended_links": {"ids": IDS},
    "jobs_existing": {"ids": IDS},
    "worker_leases": {"worker_id": 1, "n": 100},
    "take_scheduled": {"id": IDS[0]},
    "take_ready": {"id": IDS[0], "queue_id": 1, "lane": 2},
    "leases_cancel": {"id": IDS[0], "reason": "x"},
    "lease_cancels": {"worker_id": 1},
    "drop_scheduled": {"id": IDS[0]},
    "job_result": {"id": IDS[0]},
    "job_rows": {"ids": IDS},
    "ids_children": {"parent": IDS[0], "after": -1, "n": 10},
    "children_results": {"parent": IDS[0], "after": -1, "n": 10, "fan_in": IDS[1]},
    "awaited": {"id": IDS[0]},
}
MYSQL: dict[str, dict[str, Any]] = {
    "claim_read": {"queue_id": name_id("q"), "task_ids": [name_id("t")], "n": 100},
    "leases_lock": {"worker_id": 1, "ids": IDS},
    "promote_pick": {"n": 100},
    "scheduled_delete": {"ids": IDS},
}
POSTGRES: dict[str, dict[str, Any]] = {
    "claim": {
        "lanes": [0, 1, 2, 3, 4], "marks": [bytes(16)] * 5, "queue_id": name_id("q"),
        "task_ids": [name_id("t")], "n": 20, "worker_id": 1,
    },
    "settle_end": {
        "ids": IDS, "leases": [1] * 20, "states": [4] * 20, "results": [b"M"] * 20,
        "reasons": [None] * 20, "ttls": [None] * 20, "worker_id": 1,
        "watches": [1] * 20,
    },
    "promote": {"n": 100},
}  # fmt: skip


#: A scan of one hot table would touch 800 pages or more, and read 100 000 rows.
MOST_PAGES = 500
MOST_ROWS = 2_000


def test_postgres_reads_few_pages(migrated_database: Callable[[str], str]) -> None:
    with desk_at(migrated_database("postgres")) as desk:
        fill(desk)
        for name, values in {**STATEMENTS, **POSTGRES}.items():
            own = desk.store.database.dialect.connect()
            plans: list[str] = []
            own.connection.add_notice_handler(lambda note: plans.append(note.message_primary))  # noqa: B023
            own.connection.execute(EXPLAIN)
            for _ in range(7):  # from the sixth on the plan may be a generic one
                plans.clear()
                own.connection.execute("BEGIN")
                run(own, name, values)
                own.connection.execute("ROLLBACK")
                (top, *_) = re.findall(r"Buffers: shared.*", plans[0])  # of the whole statement
                pages = sum(int(count) for count in re.findall(r"(?:hit|read)=(\d+)", top))
                assert pages < MOST_PAGES, plans[0]
            own.connection.close()
        quick(desk)


EXPLAIN = """
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
        fill(desk)
        own = desk.store.database.dialect.connect()
        for name, values in {**STATEMENTS, **MYSQL}.items():
            own.connection.begin()
            with own.connection.cursor() as cursor:
                cursor.execute("FLUSH STATUS")
                run(own, name, values)
                cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
                reads = {key: int(value) for key, value in cursor.fetchall()}
            own.connection.rollback()
            assert sum(reads.values()) < MOST_ROWS, (name, reads)
        own.connection.close()
        quick(desk)


def run(tx: Tx, name: str, values: dict[str, Any]) -> None:
    if name.startswith(
        ("waiting_de", "leases_de", "leases_c", "drop_", "unique_rel", "scheduled_d")
    ):
        tx.run(name, **values)
    else:
        tx.rows(name, **values)


def quick(desk: Desk) -> None:
    """Claims and settles beside the backlog; a scan for each would take many seconds."""
    for _ in range(20):
        claimed = desk.claim(10)
        assert len(claimed) == 10
        desk.settle(*((job, Completed(b"M")) for job in claimed[:5]))
        desk.settle(*((job, failed()) for job in claimed[5:]))
        desk.store.jobs.promote()
