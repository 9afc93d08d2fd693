"""A server that turns read-only under a worker and back, as at a failover."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.kit import Shop
from tests.conftest import _migrate
from tests.proof.chaos.borders import of_a_plain_user
from tests.support.servers import MariaDB, Postgres
from tests.support.waiting import until

_SECONDS = 4.0  # read-only
#: Seconds in which a worker that has no grace left tries to write outcomes, and two more.
_LAST_WRITES = 7.0


@pytest.mark.usefixtures("postgres_url", "mariadb_url")
@pytest.mark.parametrize("kind", [Postgres, MariaDB])
def test_a_database_that_turns_read_only_costs_two_lines(
    kind: type[Postgres | MariaDB], shop_at: Callable[..., Shop]
) -> None:
    with kind() as server:
        _migrate(server.url())
        shop = shop_at(of_a_plain_user(server, server.url()))
        with shop.worker() as worker:
            held = shop.send("hold", "gate", 7)
            shop.wait_for_run(held)
            _turn(server, "on")
            sessions, begun = _sessions(server), time.monotonic()
            shop.open("gate")
            worker.wait_for_log("the database refuses work")
            until("some time", lambda: time.monotonic() > begun + _SECONDS)
            opened = _sessions(server) - sessions
            _turn(server, "off")

            assert held.get(timeout=20) == 7
            worker.wait_for_log("the database is back")
            assert shop.send("note", 5).get(timeout=10) == 5
        lines = [line for line in worker.log.splitlines() if " database[" in line]
        assert len(lines) == 2, worker.log
        assert opened < 300  # some 25 a second, each service after its pause; a storm has thousands
        assert shop.job(held).attempt == 1 and shop.kinds(held) == []


@pytest.mark.usefixtures("postgres_url")
def test_a_stop_writes_what_has_ended_as_long_as_the_grace_lasts(
    shop_at: Callable[..., Shop],
) -> None:
    with Postgres() as server:
        _migrate(server.url())
        shop = shop_at(server.url())
        with shop.worker("--grace", "40") as worker:
            held = shop.send("hold", "gate", 7)
            shop.wait_for_run(held)
            _turn(server, "on")
            worker.wait_for_log("the database refuses work")
            worker.signal(signal.SIGTERM)
            worker.wait_for_log("draining: 1 job still runs")
            shop.open("gate")
            ended = time.monotonic()
            until("more than the last moment", lambda: time.monotonic() > ended + _LAST_WRITES)
            _turn(server, "off")

            assert held.get(timeout=20) == 7
            assert worker.process.wait(20) == 0
        assert shop.kinds(held) == []


def _turn(server: Any, how: str) -> None:
    if isinstance(server, Postgres):
        _run(server, f"ALTER SYSTEM SET default_transaction_read_only = {how}")
        _run(server, "SELECT pg_reload_conf()")
    else:
        _run(server, f"SET GLOBAL read_only = {how}")


def _sessions(server: Any) -> int:
    """How many sessions the server has begun so far; PostgreSQL counts them since version 14."""
    if isinstance(server, Postgres):
        counted = "SELECT sum((to_jsonb(d)->>'sessions')::bigint) FROM pg_stat_database d"
        return int(_run(server, counted)[0][0] or 0)
    return int(_run(server, "SHOW GLOBAL STATUS LIKE 'Connections'")[0][1])


def _run(server: Any, sql: str) -> Any:
    from tests.support.servers import open_admin

    connection = open_admin(server.url())
    try:
        cursor = connection.cursor()
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()
