"""A task with a transaction of its own: what its commit sets off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hammerflow import JobState, Workflow
from tests.acceptance.kit import Shop
from tests.support.waiting import until

_CODE = """
import pathlib, time
from hammerflow import Hammerflow, current_job
app = Hammerflow("shop")

@app.task(name="follow")
def follow():
    return "done"

@app.task(name="charge", in_transaction=True)
def charge():
    return str(follow.delay().id)

@app.task(name="hold", in_transaction=True)
def hold(gate):
    current_job().connection.execute("CREATE TABLE held (x)")
    pathlib.Path(gate).touch()
    while True:
        time.sleep(0.01)
"""


def nested(call: Any) -> Workflow:
    inner, outer = Workflow("inner"), Workflow("outer")
    inner.add(call, name="hold")
    outer.add(inner, name="inner")
    return outer


def test_a_job_enqueued_in_it_begins_at_once(sqlite_shop: Shop, tmp_path: Path) -> None:
    shop = sqlite_shop
    (tmp_path / "charges.py").write_text(_CODE)
    with shop.worker(app="charges:app", folder=tmp_path, poll=60):
        charged = shop.client.enqueue(shop.client.signature("charge"))

        followed = shop.client.result(charged.get(timeout=15))
        assert followed.get(timeout=15) == "done"


def test_one_that_holds_the_only_writer_is_cancelled(sqlite_shop: Shop, tmp_path: Path) -> None:
    """By a file next to the database: the cancel could be written only once the body has ended."""
    shop = sqlite_shop
    (tmp_path / "charges.py").write_text(_CODE)
    with shop.worker(app="charges:app", folder=tmp_path):
        for kind, enqueue in (
            ("job", shop.client.enqueue),
            ("batch", lambda call: shop.client.batch([call]).enqueue()),
            ("nested", lambda call: shop.client.enqueue(nested(call))),
        ):
            gate = tmp_path / kind
            held = enqueue(shop.client.signature("hold", [str(gate)]))
            until("it runs", gate.exists)

            held.cancel("it takes too long")

            held.wait(timeout=15)
            (job,) = shop.client.jobs(task="hold", limit=1)
            assert (job.state, job.reason) == (JobState.CANCELLED, "it takes too long")
        assert shop.client.result(shop.client.enqueue(shop.client.signature("follow")).id).get(15)
    assert not list(Path(shop.client.settings.url.database).parent.glob("*-cancel-*"))
