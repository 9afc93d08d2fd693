"""Schedules in a worker: its code declares them, and busy children do not hold up a tick."""

from __future__ import annotations

import itertools
import textwrap
from datetime import timedelta

from tests.acceptance.kit import Shop
from tests.support.waiting import until

APP = """
from datetime import timedelta
from hammerflow import Hammerflow

app = Hammerflow("shop")

@app.every(timedelta(seconds=1))
@app.task
def pulse(): ...
"""


def test_a_busy_worker_makes_its_ticks(sqlite_shop: Shop) -> None:
    """M9: the only child runs a long body; the tick is late by less than two seconds."""
    shop, store = sqlite_shop, sqlite_shop.client.store
    work = shop.call("note", 1)
    plain = shop.client.schedules.definition("beat", timedelta(seconds=1), work, {})
    with shop.worker(children=1):
        held = shop.send("hold", "gate")
        until("it runs", lambda: held.state == "running")
        store.schedules.create("beat", plain, by="test")
        until("four ticks", lambda: len(store.schedules.ticks("beat", 9)) >= 4)
        assert held.state == "running"
        ticks = store.schedules.ticks("beat", 9)
        steps = {later.tick - tick.tick for later, tick in itertools.pairwise(ticks)}
        assert steps == {timedelta(seconds=1)}
        store.schedules.pause("beat", by="test", reason="enough")
        shop.open("gate")
        shop.wait_until_quiet()


def test_the_rows_follow_the_code(sqlite_shop: Shop) -> None:
    """E1, E4: declared at the start, disabled by the next worker whose code has it no longer."""
    shop, store = sqlite_shop, sqlite_shop.client.store
    (shop.folder / "beats.py").write_text(textwrap.dedent(APP))
    with shop.worker(app="beats:app", path=shop.folder):
        until(
            "it ticks",
            lambda: bool(store.schedules.list()) and store.schedules.ticks("beats.pulse", 1),
        )
    with shop.worker():
        until("it is disabled", lambda: store.schedules.get("beats.pulse").disabled_since)
        last = store.schedules.ticks("beats.pulse", 1)
    assert store.schedules.ticks("beats.pulse", 1) == last
    with shop.worker(app="beats:app", path=shop.folder):
        until("it ticks again", lambda: store.schedules.ticks("beats.pulse", 1) != last)
