"""Webhooks with a real worker: its relay fans out, and its children deliver, four at a time."""

from __future__ import annotations

import json
import textwrap
import threading

from tests.acceptance.kit import Shop, Worker
from tests.sinks.test_webhooks import Endpoint
from tests.support.waiting import until

APP = """
from hammerflow import Hammerflow

app = Hammerflow("shop", webhook_allow_networks=["127.0.0.0/8"])
app.webhook("ops", {url!r}, kinds=["job.completed"], tasks=["hooked.*"], include=["result"])

@app.task
def add(x, y):
    return x + y
"""


class SlowEndpoint(Endpoint):
    """Answers once it is told to, and counts who waits."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.waiting = self.most = 0
        self._counting = threading.Lock()

    def handle(self) -> None:
        with self._counting:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        assert self.go.wait(10)
        with self._counting:
            self.waiting -= 1


def test_a_worker_delivers_four_at_a_time(shop: Shop) -> None:
    endpoint = SlowEndpoint()
    code = textwrap.dedent(APP).format(url=endpoint.url)
    (shop.folder / "hooked.py").write_text(code)
    store = shop.client.store
    try:
        with shop.worker("-c", "8", app="hooked:app", path=shop.folder):
            until("it is declared", lambda: bool(store.sinks.list()))
            store.names.outbox.refresh()
            for n in range(8):
                shop.client.signature("hooked.add", [n, 1]).delay()
            until("four are under way", lambda: endpoint.waiting == 4, timeout=30)
            six = shop.client.signature("hooked.add", [10, 1]).delay()
            assert six.get(timeout=20) == 11  # other jobs go on
            endpoint.go.set()
            until("all are delivered", lambda: len(_done(shop)) == 9, timeout=30)
    finally:
        endpoint.go.set()
        endpoint.close()
    assert endpoint.most == 4
    bodies = [json.loads(body) for _, body in endpoint.got]
    assert sorted(body["data"]["result"] for body in bodies) == [*range(1, 9), 11]
    assert {body["type"] for body in bodies} == {"hammerflow.job.completed.v1"}


def _done(shop: Shop) -> list[int | None]:
    return [row.status for row in shop.client.store.webhooks.deliveries("ops", 100)]


DEAD = """
from hammerflow import Hammerflow

app = Hammerflow("shop", webhook_allow_networks=["127.0.0.0/8"])
app.webhook("dead", {dead!r}, kinds=["job.completed"], tasks=["hooked.*"])
app.webhook("well", {well!r}, kinds=["job.completed"], tasks=["hooked.*"])

@app.task
def add(x, y):
    return x + y
"""


def test_an_endpoint_that_never_answers_holds_up_nobody_and_a_killed_delivery_comes_again(
    sqlite_shop: Shop,
) -> None:
    shop, dead, well = sqlite_shop, SlowEndpoint(), Endpoint()
    code = textwrap.dedent(DEAD).format(dead=dead.url, well=well.url)
    (shop.folder / "hooked.py").write_text(code)
    store = shop.client.store
    try:
        with _started(shop) as worker:
            until("they are declared", lambda: len(store.sinks.list()) == 2)
            store.names.outbox.refresh()
            for n in range(6):
                shop.client.signature("hooked.add", [n, 1]).delay()
            until("the dead one has what it takes", lambda: dead.waiting >= 1, timeout=30)
            for n in range(20):
                result = shop.client.signature("hooked.add", [n, 2]).delay()
                assert result.get(timeout=30) == n + 2  # two children are left to other jobs
            assert dead.most <= 2
            worker.kill()
        killed = dead.got.copy()
        dead.got.clear()
        dead.go.set()
        with _started(shop):
            until("both have all, those under way again", lambda: _ids(dead) == _ids(well) == 26,
                  timeout=60)  # fmt: skip
        assert killed
    finally:
        dead.go.set()
        dead.close()
        well.close()


def _started(shop: Shop) -> Worker:
    worker = shop.worker("-c", "4", app="hooked:app", path=shop.folder, wait=False)
    worker.wait_for_log("worker started", timeout=60)
    return worker


def _ids(endpoint: Endpoint) -> int:
    return len({headers["webhook-id"] for headers, _ in endpoint.got})
