"""Flow: load with unique keys, cancels, pauses, run-nows and removal, and what it was told."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from hammerflow import (
    Hammerflow,
    HammerflowError,
    JobNotFound,
    JobState,
    NotUnique,
    StoreUnavailable,
    Workflow,
    chain,
    chord,
)
from hammerflow.ids import name_id
from hammerflow.jobs.retention import PurgeFilter
from hammerflow.stores.pauses import PauseKind
from hammerflow.stores.retention.retention import Walk
from tests.acceptance.kit import LEASE, Shop
from tests.proof.chaos.bodies import BEATS, BIN, RULES, declare
from tests.proof.chaos.promise import Kind, Promise

__all__ = ["BIN_AGE", "Answer", "FlowLoad", "Window"]

T = TypeVar("T")
#: Keys of each rule, and seconds after its end when a job of the bin may be removed.
_KEYS, BIN_AGE = "abcde", 1.0
_PAUSE = 0.2
_LEAF = "tests.acceptance.shop.leaf"
_ANSWERS = ("error", "retry", "snooze", "cancel", "exit", "swallow")


class Answer(NamedTuple):
    """What a call of a unique task was told; times of the system's clock."""

    rule: str
    key: str
    x: str
    asked: float
    told: float
    job: str | None  # the id in hex; None: no answer came
    is_new: bool
    is_gone: bool = False  # its transaction was rolled back


class Window(NamedTuple):
    """A pause; times of the database's clock."""

    kind: PauseKind
    name: str
    since: float  # it was acknowledged
    until: float  # it was not yet asked to end


@dataclass
class FlowLoad:
    """Kinds of work for :class:`tests.proof.chaos.load.Load`, and a thread that removes jobs.

    Attributes:
        retried: ids in hex of jobs with a unique key that a person may have run again.
        too_soon: (removed, dependent) of those that were removed while their dependent was open.
    """

    shop: Shop
    answers: list[Answer] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    retried: set[str] = field(default_factory=set)
    removed: int = 0
    needed: dict[bytes, bytes] = field(default_factory=dict)  # a job and its dependent
    too_soon: list[tuple[bytes, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shop = self.shop
        self.client = Hammerflow("shop", database=shop.url, redis=shop.redis, lease=LEASE)
        self.tasks = declare(self.client)
        self._count = itertools.count()
        self._stop = threading.Event()
        self._shelf = threading.Lock()
        self._purger = threading.Thread(target=self._purge, name="purger", daemon=True)

    def kinds(self) -> list[Kind]:
        """Each with the most jobs that it may have written if no answer came."""
        return [
            (self._unique, 5), (self._unique, 5), (self._unique, 5), (self._unique_many, 12),
            (self._unique_in_a_transaction, 2), (self._unique_again, 1), (self._cancel_node, 3),
            (self._cancel_many, 40), (self._cancel_running, 1), (self._cancel_tree, 1),
            (self._cancel_retry, 1), (self._paused, 0), (self._run_now, 1), (self._bin_chain, 3),
            (self._bin_chord, 6), (self._bin_spawner, 1), (self._bin_workflow, 5),
            (self._bin_needed, 2), (self._turns, 24),
        ]  # fmt: skip

    def start(self) -> None:
        """Begin to remove."""
        self._purger.start()

    def stop(self) -> None:
        """Let all schedules rest, and stop removing."""
        for name in BEATS:
            _insist(lambda: self.shop.client.store.schedules.pause(name, by="chaos", reason="end"))  # noqa: B023
        self._stop.set()
        self._purger.join()

    def _purge(self) -> None:
        while not self._stop.wait(0.2):
            with contextlib.suppress(StoreUnavailable):
                self.removed += self.purge(BIN_AGE)
                self._look_at_needed()

    def _look_at_needed(self) -> None:
        """Of each pair the dependent is read last: what is open then was so before."""
        jobs = self.shop.client.store.jobs
        for first, second in list(self.needed.items()):
            is_gone = jobs.get(first) is None
            is_open = (found := jobs.get(second)) is None or not found.state.is_final
            if is_gone and is_open:
                self.too_soon.append((first, second))
            if is_gone or not is_open:
                del self.needed[first]

    def purge(self, age: float) -> int:
        """Remove ended jobs of the bin; how many."""
        states = frozenset({"completed", "failed", "cancelled", "skipped"})
        walk = Walk()
        while not walk.is_over:
            chosen = PurgeFilter(states, age, None, name_id(BIN))
            self.shop.client.store.retention.step(walk, chosen)
        return walk.removed

    # -- unique keys

    def _unique(self, choices: random.Random) -> Promise:
        """Some calls after another, for one key."""
        rule, key = choices.choice(list(RULES)), choices.choice(_KEYS)
        found = []
        for _ in range(choices.randrange(1, 6)):
            with contextlib.suppress(NotUnique):
                found.append(self._call(rule, key, choices))
            self._stop.wait(choices.choice((0.0, 0.02, 0.2)))
        return Promise("unique", found)

    def _call(self, rule: str, key: str, choices: random.Random) -> Any:
        fails = rule in ("reject", "return") and choices.random() < 0.2
        x = self._x("fails" if fails else "")
        task: Any = self.tasks[f"sole_{rule}"]
        task = task.options(max_attempts=1) if fails else task
        asked = time.time()
        with self._noted(rule, {key: x}, asked):
            result = task.delay(key, x, choices.choice((0.0, 0.05, 0.3)))
        self._note(rule, key, x, asked, result)
        return result

    def _unique_many(self, choices: random.Random) -> Promise:
        """Bulks name their keys in any order, and some twice."""
        rule = choices.choice(list(RULES))
        keys = choices.choices(_KEYS, k=12)
        xs = [self._x() for _ in keys]
        task = self.tasks[f"sole_{rule}"]
        asked = time.time()
        with self._noted(rule, dict(zip(keys, xs, strict=True)), asked, several=(keys, xs)):
            results = self.client.enqueue_many(
                [task.s(key, x) for key, x in zip(keys, xs, strict=True)]
            )
        for key, x, result in zip(keys, xs, results, strict=True):
            self._note(rule, key, x, asked, result)
        return Promise("unique", list(results))

    def _unique_in_a_transaction(self, choices: random.Random) -> Promise:
        """Held open for a while, and rolled back in half of the cases."""
        rule = choices.choice(("return", "started", "throttle", "replace"))
        key, x = choices.choice(_KEYS), self._x()
        is_gone = choices.random() < 0.5
        asked, result = time.time(), None
        with self._noted(rule, {key: x}, asked):
            try:
                with self.client.transaction():
                    result = self.tasks[f"sole_{rule}"].delay(key, x)
                    self._stop.wait(choices.uniform(0.0, 0.3))
                    if is_gone:
                        raise _RolledBack
            except _RolledBack:
                pass
        self._note(rule, key, x, asked, result, is_gone=is_gone)
        return Promise("unique", [] if is_gone else [result])

    def _unique_again(self, choices: random.Random) -> Promise:
        """One that has failed is retried, which takes its key again, if that is free."""
        rule = choices.choice(("reject", "return"))
        task = self.tasks[f"sole_{rule}"].options(max_attempts=1)
        key, x = choices.choice(_KEYS), self._x("fails")
        asked, result = time.time(), None
        with self._noted(rule, {key: x}, asked), contextlib.suppress(NotUnique):
            result = task.delay(key, x)
        if result is None:
            return Promise("unique", [])
        self._note(rule, key, x, asked, result)
        self.retried.add(result.id.hex)
        with contextlib.suppress(TimeoutError, HammerflowError):
            result.wait(timeout=2)
            result.retry()
        return Promise("unique", [result])

    def _x(self, prefix: str = "x") -> str:
        return f"{prefix}{next(self._count)}"

    def _note(
        self, rule: str, key: str, x: str, asked: float, result: Any, *, is_gone: bool = False
    ) -> None:
        answer = Answer(rule, key, x, asked, time.time(), result.id.hex, result.is_new, is_gone)
        self.answers.append(answer)

    @contextlib.contextmanager
    def _noted(
        self, rule: str, calls: dict[str, str], asked: float, several: Any = None
    ) -> Iterator[None]:
        """Remember calls to which no answer came."""
        try:
            yield
        except StoreUnavailable:
            for key, x in zip(*several, strict=True) if several else calls.items():
                self.answers.append(Answer(rule, key, x, asked, time.time(), None, False))
            raise

    def _turns(self, choices: random.Random) -> Promise:
        """At most two of a key run at a time."""
        turn = self.tasks["turn"]
        calls = [turn.s(choices.choice("ab"), self._x()) for _ in range(24)]
        return Promise("many turns", list(self.client.enqueue_many(calls)))

    # -- cancels: the value is what was told, and when

    def _cancel_node(self, choices: random.Random) -> Promise:
        """One that waits for others, or has just stopped to."""
        call = self.shop.call
        steps = [call("note", 1, choices.choice((0.0, 0.3))), call("note"), call("note")]
        result = self.shop.client.enqueue(chain(*steps))
        self._stop.wait(choices.uniform(0, 0.4))
        return self._cancelled("node", result, result.cancel)

    def _cancel_retry(self, choices: random.Random) -> Promise:
        """One that waits for its next attempt, or is in one."""
        result = self.tasks["fall"].delay(1)
        self._stop.wait(choices.uniform(0, 1.0))
        return self._cancelled("retry", result, result.cancel)

    def _cancel_running(self, choices: random.Random) -> Promise:
        """Its body answers in a way of its own."""
        task = choices.choice(("answers", "answers_async"))
        result = self.shop.send(task, choices.choice(_ANSWERS))
        self._stop.wait(choices.uniform(0, 0.6))
        return self._cancelled("running", result, result.cancel)

    def _cancelled(self, kind: str, result: Any, cancel: Callable[[], JobState]) -> Promise:
        state = _insist(cancel)
        told = {result.id.bytes: state}
        return Promise(f"cancel {kind}", result, (told, time.monotonic()))

    def _cancel_many(self, choices: random.Random) -> Promise:
        delay = choices.choice((0.0, 0.0, 0.3))
        results = self.shop.send_all("note", ((i, 0.01) for i in range(40)), delay=delay)
        self._stop.wait(choices.uniform(0, 0.3))
        told: dict[bytes, JobState] = {}
        ids = [result.id.bytes for result in results]

        def cancel() -> None:
            for part in self.shop.client.store.cancellations.of_jobs(ids, "no more"):
                told.update(part)

        _insist(cancel)
        return Promise("cancel many", results, (told, time.monotonic()))

    def _cancel_tree(self, choices: random.Random) -> Promise:
        result = self.tasks["branch"].delay(choices.choice((5, 20)), 2, 0.002)
        self._stop.wait(choices.uniform(0, 1.5))
        told: dict[bytes, JobState] = {}

        def cancel() -> None:
            for part in self.shop.client.store.cancellations.of_tree(result.id.bytes, "felled"):
                told.update(part)

        _insist(cancel)
        return Promise("cancel tree", result, (told, time.monotonic()))

    # -- pauses and schedules

    def _paused(self, choices: random.Random) -> Promise:
        """The value is the window in which nothing may be claimed."""
        store = self.shop.client.store
        kind, name = choices.choice(
            [(PauseKind.APP, ""), (PauseKind.TASK, _LEAF), (PauseKind.QUEUE, "default")]
        )
        with self._shelf:
            try:
                store.pauses.pause(kind, name)
                since = store.clock()
                self._stop.wait(choices.uniform(0.05, 0.4))
                self.windows.append(Window(kind, name, since, store.clock()))
            finally:
                _insist(lambda: store.pauses.resume(kind, name))
        return Promise("paused", [])

    def _run_now(self, choices: random.Random) -> Promise:
        name, schedules = choices.choice(("all", "once")), self.shop.client.store.schedules
        if name not in {row.name for row in schedules.list()}:
            return Promise("run now", [])  # no worker has written the schedules of the code yet
        run, queues = schedules.run_now(name)
        self.shop.client.notifier.ring(queues)
        return Promise("run now", [self.shop.client.result(run.hex())])

    # -- jobs that are removed: the value is the arguments of a body that must have come to its end

    def _bin_chain(self, choices: random.Random) -> Promise:
        first, note = self._x(), self.tasks["bin_note"]
        last = note.s().set(delay=choices.choice((0.0, 1.5)))
        handle = self.client.enqueue(chain(note.s(first), note.s(), last))
        return Promise("bin", handle, ("bin_note", [first], handle.id.hex))

    def _bin_chord(self, choices: random.Random) -> Promise:
        x, note = self._x(), self.tasks["bin_note"]
        calls = [note.s([x, n]).set(delay=choices.choice((0.0, 0.0, 1.3))) for n in range(5)]
        handle = self.client.enqueue(chord(calls, self.tasks["bin_total"].s()))
        args = [[[x, n] for n in range(5)]]
        return Promise("bin", handle, ("bin_total", args, handle.id.hex))

    def _bin_spawner(self, choices: random.Random) -> Promise:
        x, count = self._x(), choices.choice((1, 8))
        handle = self.tasks["bin_grow"].delay(x, count)
        return Promise("bin", handle, ("bin_total", [[[x, n] for n in range(count)]], None))

    def _bin_workflow(self, choices: random.Random) -> Promise:
        x, note, read = self._x(), self.tasks["bin_note"], self.tasks["bin_read"]
        late = choices.choice((0.0, 1.5))
        work = (
            Workflow("bin", timeout=86_400)
            .add(note.s(x), name="a")
            .add(note.s("b"), name="b")
            .add(note.si("c").set(delay=late), name="c", after="a")
            .add(read.s(), name="sum", after=["a", "b", "c"])
        )
        handle = self.client.enqueue(work)
        return Promise("bin", handle, ("bin_read", [sorted([x, "b", "c"])], None))

    def _bin_needed(self, choices: random.Random) -> Promise:
        """A job outside of the bin waits for one in it, which may be removed just then."""
        x = self._x()
        first = self.tasks["bin_note"].delay(x)
        self._stop.wait(choices.uniform(0.0, 2 * BIN_AGE))
        second = self.shop.call("gather").set(delay=choices.choice((0.0, 1.5)))
        try:
            handle = self.shop.client.enqueue(second.depends_on(first))
        except JobNotFound:
            return Promise("bin", first, ("bin_note", [x], first.id.hex))
        self.needed[first.id.bytes] = handle.id.bytes
        return Promise("needed", handle)


class _RolledBack(Exception):
    """Ends a transaction that is not to be."""


def _insist(work: Callable[[], T]) -> T:
    """Until the database answers."""
    while True:
        try:
            return work()
        except StoreUnavailable:
            time.sleep(_PAUSE)
