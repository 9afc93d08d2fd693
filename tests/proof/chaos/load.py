"""Load: clients that enqueue all kinds of work and remember what they were promised."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hammerflow import (
    GroupResult,
    JobState,
    Result,
    StoreUnavailable,
    Workflow,
    WorkflowResult,
    chain,
    chord,
)
from hammerflow import group as group_of
from tests.acceptance.kit import Shop
from tests.acceptance.shop import RAISED, SPOILS
from tests.proof.chaos.promise import Kind, Promise

__all__ = ["Load"]

#: A client that cannot reach the database tries again after so many seconds.
_PAUSE = 0.2
#: Plain jobs in one enqueue_many.
_BULK = 500
#: Paced or delayed jobs in one enqueue_many: more than may start at once.
_SOME = 8
#: Jobs put into a paused queue.
_SHELF = 3
_QUEUE = "shelf"


class Load:
    """Threads that send work until told to stop.

    Args:
        more: further kinds of work.

    Attributes:
        promises: what was acknowledged, in order.
        unknown: the most jobs that enqueues without an answer may have written.
    """

    def __init__(
        self, shop: Shop, *, seed: int, clients: int, rate: float, more: Sequence[Kind] = ()
    ) -> None:
        self._shop = shop
        self._more = more
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._shelf = threading.Lock()
        self._rate = rate
        self.promises: list[Promise] = []
        self.unknown = 0
        self.errors: Counter[str] = Counter()
        self._failure: Exception | None = None
        self._threads = [
            threading.Thread(target=self._live, args=(random.Random(seed + n),), name=f"client {n}")
            for n in range(clients)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the enqueue that is under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _live(self, choices: random.Random) -> None:
        try:
            self._run(choices)
        except Exception as error:  # noqa: BLE001 - raised by stop()
            self._failure = error

    def _run(self, choices: random.Random) -> None:
        kinds: list[Kind] = [
            (self._job, 1),
            (self._job, 1),
            (self._many, 20),
            (self._chain, 3),
            (self._chord, 16),
            (self._spawner, 1),
            (self._workflow, 6),
            (self._failing, 6),
            (self._bulk, _BULK),
            (self._charge, 1),
            (self._laters, _SOME),
            (self._cancelled, 1),
            (self._shelved, _SHELF),
            (self._rude, 1),
            (self._rude, 1),
            (self._neighbour, 1),
            (self._turn, 1),
            (self._turns, 1),
            (self._paced, _SOME),
            *self._more,
        ]
        while not self._stop.wait(choices.expovariate(self._rate)):
            make, size = choices.choice(kinds)
            try:
                promise = make(choices)
            except StoreUnavailable as error:
                with self._lock:
                    self.unknown += size
                    self.errors[type(error.__cause__).__name__] += 1
                self._stop.wait(_PAUSE)
                continue
            with self._lock:
                self.promises.append(promise)

    # -- kinds of work ----------------------------------------------------------------------------

    def _job(self, choices: random.Random) -> Promise:
        x = choices.randrange(1000)
        seconds = choices.choice((0.0, 0.0, 0.005, 0.05))
        return Promise("job", self._shop.send("note", x, seconds), x)

    def _many(self, choices: random.Random) -> Promise:
        calls = [self._shop.call("leaf", i) for i in range(20)]
        results = group_of(calls)
        handle: GroupResult = self._shop.client.enqueue(results)
        return Promise("group", handle, list(range(20)))

    def _bulk(self, choices: random.Random) -> Promise:
        first = choices.randrange(1000)
        values = list(range(first, first + _BULK))
        return Promise("bulk", self._shop.send_all("leaf", ((i,) for i in values)), values)

    def _charge(self, choices: random.Random) -> Promise:
        mark = f"{choices.getrandbits(64):016x}"
        return Promise("charge", self._shop.send("charge", mark, 0.002), mark)

    def _rude(self, choices: random.Random) -> Promise:
        """A body that spoils its process or its loop, or is hard to settle."""
        task = choices.choice(("spoil", "raises", "raises_async"))
        if task == "spoil":
            return Promise("rude", self._shop.send(task, choices.choice(SPOILS)), [])
        more = ("task", "callback", "all") if task == "raises_async" else ()
        return Promise("rude", self._shop.send(task, choices.choice((*RAISED, *more))), "well")

    def _neighbour(self, choices: random.Random) -> Promise:
        seconds = choices.choice((0.0, 0.05, 0.5))
        return Promise("neighbour", self._shop.send("neighbour", seconds), seconds)

    def _turn(self, choices: random.Random) -> Promise:
        """At most two of a key run at a time."""
        key, x = choices.choice("abc"), choices.randrange(1000)
        return Promise("turn", self._shop.send("turn", key, x, choices.uniform(0, 0.2)), x)

    def _turns(self, choices: random.Random) -> Promise:
        """At most two of each of two keys run at a time."""
        return Promise("turns", self._shop.send("turns", choices.randrange(1, 8), 0.02))

    def _paced(self, choices: random.Random) -> Promise:
        values = [choices.randrange(1000) for _ in range(_SOME)]
        return Promise("paced", self._shop.send_all("paced", ((x,) for x in values)), values)

    def _laters(self, choices: random.Random) -> Promise:
        """Due one after another, and first in their queue: else its backlog would hide an early
        start. The value: no body begins before, for each."""
        delays = [choices.uniform(0.1, 2.0) for _ in range(_SOME)]
        calls = [self._shop.call("note", 1).set(delay=delay, priority=4) for delay in delays]
        before = time.monotonic()
        results = list(self._shop.client.enqueue_many(calls))
        return Promise("later", results, [before + delay for delay in delays])

    def _cancelled(self, choices: random.Random) -> Promise:
        """The value: no body begins after; None where the cancel had no answer, or the job had
        been claimed already (its worker is told, and may just begin it)."""
        delay = choices.choice((0.0, 0.2))
        promise = Promise("cancelled", self._shop.send("note", 1, 0.05, delay=delay))
        self._stop.wait(choices.uniform(0, 0.3))
        try:
            state = promise.handle.cancel()
        except StoreUnavailable:
            return promise
        if state is JobState.CANCELLED:
            promise.value = time.monotonic()
        return promise

    def _shelved(self, choices: random.Random) -> Promise:
        """Into a queue that is paused. The value: no body begins before, for each."""
        queues = self._shop.client.store.queues
        with self._shelf:
            queues.pause(_QUEUE)
            try:
                calls = ((i,) for i in range(_SHELF))
                promise = Promise("shelved", self._shop.send_all("note", calls, queue=_QUEUE))
                self._stop.wait(choices.uniform(0.1, 0.5))
                promise.value = [time.monotonic()] * _SHELF
                return promise
            finally:
                while not self._resumed():
                    time.sleep(_PAUSE)

    def _resumed(self) -> bool:
        try:
            self._shop.client.store.queues.resume(_QUEUE)
        except StoreUnavailable:
            return False
        return True

    def _chain(self, choices: random.Random) -> Promise:
        first = choices.randrange(100)
        steps = [self._shop.call("note", first), *(self._shop.call("note") for _ in range(2))]
        handle: Result[Any] = self._shop.client.enqueue(chain(*steps))
        return Promise("chain", handle, first)

    def _chord(self, choices: random.Random) -> Promise:
        header = [self._shop.call("leaf", i) for i in range(15)]
        handle = self._shop.client.enqueue(chord(header, self._shop.call("total")))
        return Promise("chord", handle, [15, True])

    def _spawner(self, choices: random.Random) -> Promise:
        n = choices.choice((0, 5, 40, 300))
        return Promise("spawner", self._shop.send("fan_out", n, 0.01 if n == 40 else 0.0))

    def _workflow(self, choices: random.Random) -> Promise:
        x = choices.randrange(10)
        work = (
            Workflow("paths", timeout=86_400)
            .add(self._shop.call("note", {"x": x}, 0.005), name="read")
            .add(self._shop.call("note", "low"), name="low", after="read", when="x < 5")
            .add(self._shop.call("note", "high"), name="high", after="read", when="x >= 5")
            .add(self._shop.call("fan_out", 5), name="images", after="read", wait_for_children=True)
            .add(
                self._shop.call("gather"), name="sum", after=["low", "high", "images"],
                after_skipped="run",
            )
        )  # fmt: skip
        handle: WorkflowResult = self._shop.client.enqueue(work)
        low, high = ("low", None) if x < 5 else (None, "high")
        value = {"read": {"x": x}, "low": low, "high": high, "images": None}
        value["sum"] = {"low": low, "high": high, "images": None}
        return Promise("workflow", handle, value)

    def _failing(self, choices: random.Random) -> Promise:
        policy = choices.choice(("fail_fast", "continue_on_failure"))
        work = Workflow(policy, policy)
        work.add(self._shop.call("note", 1, 0.005), name="a")
        work.add(self._shop.call("fails", 99).set(max_attempts=1), name="bad", after="a")
        work.add(self._shop.call("note", 2), name="never", after="bad")
        work.add(self._shop.call("note", 3, 0.01), name="b", after="a").then(
            self._shop.call("note", 4), name="c"
        )
        handle: WorkflowResult = self._shop.client.enqueue(work)
        free = {"completed"} if policy == "continue_on_failure" else {"completed", "cancelled"}
        never = {"skipped"} if policy == "continue_on_failure" else {"cancelled"}
        states = {"a": {"completed"}, "bad": {"failed"}, "never": never, "b": free, "c": free}
        return Promise("failing", handle, states=states)
