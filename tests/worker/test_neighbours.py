"""Other apps and clients of the same database: a worker says what does not fit together."""

from __future__ import annotations

from hammerflow.stores.clients import Clients
from tests.acceptance.kit import Shop


def register(shop: Shop, number: int, app: str, *tasks: str) -> None:
    doorbell = {"kind": "none", "namespace": app, "redis": None}
    shop.desk.store.workers.register(
        number, host="b", pid=2, info={"doorbell": doorbell}, tasks=tasks, queues=[]
    )


def test_a_worker_says_at_its_start_which_tasks_it_shares_with_another_app(shop: Shop) -> None:
    note = shop.call("note").task
    register(shop, 8, "billing", note, "billing.own", "hammerflow.collect")
    with shop.worker() as worker:
        worker.wait_for_log("run each other's jobs")
        (line,) = (line for line in worker.log.splitlines() if "each other's jobs" in line)
        own = shop.client.settings.namespace
        apps = ", ".join(sorted(["billing", own]))
        assert f"the apps {apps} of this database both have the tasks {note} and run" in line


def test_workers_of_one_app_share_their_tasks_in_silence(sqlite_shop: Shop) -> None:
    register(sqlite_shop, 8, sqlite_shop.client.settings.namespace, sqlite_shop.call("note").task)
    with sqlite_shop.worker() as worker:
        sqlite_shop.send("note", 1).get(timeout=15)
        assert "each other's jobs" not in worker.log


def test_a_worker_says_that_nobody_hears_the_doorbell_of_a_client(shop: Shop) -> None:
    """The client of the shop rings the doorbell of the kind ``auto``, its worker has another."""
    shop.send("note", 1)
    own = {"doorbell": "none"} if shop.client.settings.bell != "none" else {"doorbell": "local"}
    with shop.worker(**own) as worker:
        worker.wait_for_log("so jobs of these clients wait for a poll")
        (line,) = (line for line in worker.log.splitlines() if "clients ring" in line)
        has_none = shop.client.settings.bell == "none"
        words = ["no doorbell in the namespace shop", "local in the namespace shop"]
        rung, heard = words if has_none else words[::-1]
        assert f"clients ring {rung}; the workers listen to {heard}, so" in line


def test_a_client_without_workers_of_its_app_and_one_that_is_heard_are_no_news(shop: Shop) -> None:
    doorbell = {"kind": "none", "namespace": "billing", "redis": None}
    Clients(shop.desk.store.database, doorbell).note(None)
    with shop.worker(namespace=shop.client.settings.namespace) as worker:
        shop.send("note", 1).get(timeout=15)
        shop.wait_until_quiet()
        assert "clients ring" not in worker.log
