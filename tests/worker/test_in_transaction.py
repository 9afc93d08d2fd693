"""A task with a transaction of its own: what its commit sets off."""

from __future__ import annotations

from pathlib import Path

from hammerflow import JobState
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
        held = shop.client.enqueue(shop.client.signature("hold", [str(tmp_path / "gate")]))
        until("it runs", (tmp_path / "gate").exists)

        held.cancel("it takes too long")

        assert held.wait(timeout=15) is JobState.CANCELLED
        assert shop.client.result(shop.client.enqueue(shop.client.signature("follow")).id).get(15)
    assert not list(Path(shop.client.settings.url.database).parent.glob("*-cancel-*"))
