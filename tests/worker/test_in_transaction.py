"""A task with a transaction of its own: what its commit sets off."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.kit import Shop

_CODE = """
from hammerflow import Hammerflow
app = Hammerflow("shop")

@app.task(name="follow")
def follow():
    return "done"

@app.task(name="charge", in_transaction=True)
def charge():
    return str(follow.delay().id)
"""


def test_a_job_enqueued_in_it_begins_at_once(sqlite_shop: Shop, tmp_path: Path) -> None:
    shop = sqlite_shop
    (tmp_path / "charges.py").write_text(_CODE)
    with shop.worker(app="charges:app", folder=tmp_path, poll=60):
        charged = shop.client.enqueue(shop.client.signature("charge"))

        followed = shop.client.result(charged.get(timeout=15))
        assert followed.get(timeout=15) == "done"
