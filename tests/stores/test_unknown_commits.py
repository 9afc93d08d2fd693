"""Commits that the server is still at when the client, whose connection was lost, asks again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.stores.gates import running, waiting_for_locks
from tests.stores.kit import Desk, desk_at, open_raw
from tests.support.proxy import Proxy
from tests.support.waiting import until


@pytest.fixture(params=["postgres", "mariadb"])
def lines(
    request: pytest.FixtureRequest, migrated_database: Callable[[str], str]
) -> Iterator[tuple[Proxy, Desk, Desk]]:
    """A proxy, a desk behind it, and one that goes straight to the same database."""
    url = migrated_database(request.param)
    with Proxy(url) as proxy, desk_at(proxy.url) as far, desk_at(url) as near:
        yield proxy, far, near


@contextlib.contextmanager
def ready_is_locked(desk: Desk) -> Iterator[None]:
    """Nobody can insert into ``ready`` until the end of the block."""
    with contextlib.closing(open_raw(desk.url)) as raw:
        cursor, name = raw.cursor(), f"{desk.settings.prefix}ready"
        cursor.execute("BEGIN")
        if desk.kind == "postgres":
            cursor.execute(f"LOCK TABLE {name} IN SHARE MODE")
        else:  # all that it reads, and the gaps between
            cursor.execute(f"SELECT * FROM {name} FOR UPDATE")
        yield
        raw.rollback()


def test_an_insert_that_the_server_is_still_at_is_there_once(
    lines: tuple[Proxy, Desk, Desk],
) -> None:
    """The second try finds no row, inserts it, and meets that of the first."""
    proxy, far, near = lines
    far.store.jobs.insert_one(far.job())
    job = far.job()
    with ready_is_locked(near), running(lambda: far.store.jobs.insert_one(job)) as inserting:
        until("the server is at it", lambda: waiting_for_locks(near) == 1, step=0.15)
        proxy.drop_all()
        until("the second try waits for it", lambda: waiting_for_locks(near) == 2, step=0.15)
    inserting()
    assert near.count("jobs") == 2 and near.state(job.id) == "ready"


def test_a_run_by_hand_with_an_unknown_commit_is_made_once(lines: tuple[Proxy, Desk, Desk]) -> None:
    proxy, far, near = lines
    call = {"jobs": [{"id": "0" * 31 + "1", "task": "t", "queue": "q", "priority": 2, "args": ""}]}
    far.store.schedules.create("daily", {"cron": "@daily", "call": call, "summary": ""}, by="me")
    far.put(far.job())
    far.store.schedules.run_now("daily")
    proxy.cut_at("COMMIT")
    run, queues = far.store.schedules.run_now("daily")
    assert proxy.cuts == 1 and queues == {"q"}
    assert near.count("jobs") == 3 and near.state(run) == "ready"
    assert near.store.schedules.get("daily").last_run == run
