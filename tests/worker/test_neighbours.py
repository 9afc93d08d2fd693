"""Other apps in the same database: a worker says at its start what it shares with them."""

from __future__ import annotations

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
