"""``hammerflow health``: one worker by HTTP, all of them by their heartbeats."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import pytest

from hammerflow import Hammerflow
from hammerflow.worker.supervisor.health import Health
from hammerflow.worker.supervisor.http_server import Answer, HttpServer
from tests.cli.conftest import WORKER, Run
from tests.stores.kit import desk_at


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def address(health: Health) -> Iterator[str]:
    server = HttpServer("127.0.0.1", 0, health.routes)
    server.start()
    yield server.address
    server.close()


def test_one_worker_is_asked_without_app_and_database(
    run: Run, health: Health, address: str
) -> None:
    starting = run("health", address)
    assert (starting.code, starting.out) == (1, "the worker starts\n")
    assert run("health", address, "--live").out == "live\n"

    health.state = None
    assert (run("health", address).code, run("health", address).out) == (0, "ready\n")
    health.complaints = lambda: ["the fork server is gone"]
    refused = run("health", address, "--json")
    assert refused.code == 1
    assert refused.json == {"ready": False, "why": ["the fork server is gone"]}

    health.turn(-100.0)
    hung = run("health", address, "--live")
    assert hung.code == 1 and "the worker's loop has not turned for" in hung.out


def test_what_is_no_worker_is_named(run: Run, health: Health) -> None:
    server = HttpServer("127.0.0.1", 0, {"/readyz": lambda _: Answer(HTTPStatus.OK, b"[1]")})
    server.start()
    strange = run("health", server.address)
    server.close()
    gone = run("health", server.address)

    assert (
        strange.code == 1
        and f"the server on {server.address} is not a hammerflow worker" in strange.err
    )
    assert gone.code == 1 and f"no worker answers on {server.address}: " in gone.err
    assert "must be an address such as 127.0.0.1:8080" in run("health", "80").err
    assert "give the HOST:PORT of its --health" in run("health", "--live").err


def test_all_workers_are_judged_by_their_heartbeats(run: Run, embedded_shop: Hammerflow) -> None:
    workers = embedded_shop.store.workers
    assert run("health").code == 0
    assert workers.beat(WORKER, {"draining": True})
    assert "the worker drains" in run("health").out
    assert workers.beat(WORKER, {"unready": ["the fork server is gone"]})
    (unready,) = run("health", "--json").json
    assert (unready["ready"], unready["why"]) == (False, ["the fork server is gone"])

    workers.register(8, host="b", pid=2, info={}, tasks=["shop.add"], queues=["default"])
    assert run("health").code == 0, "one is enough"
    with desk_at(embedded_shop.settings.database) as desk:
        desk.sql("UPDATE {workers} SET beat_at = beat_at - 1000 WHERE id = 8")
    silent = run("health")
    assert silent.code == 1 and "no heartbeat for 10" in silent.out
