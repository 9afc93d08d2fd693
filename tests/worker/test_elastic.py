"""An elastic worker: more children while jobs wait, fewer when idle, and no job pays for that."""

from __future__ import annotations

import json
import logging
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from hammerflow.errors import ConfigError
from hammerflow.worker.memory import available_bytes
from hammerflow.worker.options import ChildRange, WorkerOptions
from hammerflow.worker.run_options import TaskCatalog
from hammerflow.worker.supervisor.child_channel import ChildChannel
from hammerflow.worker.supervisor.child_group import SerialChildGroup
from hammerflow.worker.supervisor.child_sizer import ChildSizer
from hammerflow.worker.supervisor.pool import Pool
from hammerflow.worker.supervisor.pool_size import PoolSize, changed_range
from hammerflow.worker.supervisor.suspects import SuspectTurns
from tests.acceptance.kit import Shop, Worker
from tests.support.waiting import until
from tests.worker.kit import claimed


def _wave(shop: Shop, worker: Worker, number: int) -> list[Any]:
    """Eight jobs for at most six children, of which some end early."""
    gates = {shop.send("hold", gate): gate for gate in [f"gate-{number}-{i}" for i in range(8)]}
    ids = {result.id.hex: result for result in gates}

    def begun() -> list[Any]:
        return [ids[run.job] for run in shop.ledger.runs() if run.job in ids]

    until("the most children", lambda: len(worker.children()) == 7)
    until("all of them run one", lambda: len(begun()) == 6)
    for result in begun()[:3]:
        shop.open(gates[result])
    until("the last two began", lambda: len(begun()) == 8)
    for gate in gates.values():
        shop.open(gate)
    return [*gates]


def test_children_follow_the_load_and_no_job_is_lost(shop: Shop) -> None:
    sent: list[Any] = []
    with shop.worker("--child-cooldown", "0.5", "--async-slots", "1", children="1:6") as worker:
        for number in range(2 if shop.client.store.dialect == "sqlite" else 1):
            sent += _wave(shop, worker, number)
            shop.wait_until_quiet()
            until("back to the least", lambda: len(worker.children()) == 2)
        slow = [shop.send("hold_async", "async-gate") for _ in range(3)]
        until("more async ones", lambda: len(worker.children()) == 4)
        shop.open("async-gate")
        shop.wait_until_quiet()
        assert "child died" not in worker.log and "killing child" not in worker.log
    shop.check([*sent, *slow], most_attempts=1)


def _resize(shop: Shop, how: str, value: Any) -> dict[str, Any]:
    """What the worker answers; its request comes back from each database."""
    store = shop.client.store.workers
    (worker,) = store.list()
    request = store.ask(worker["id"], "pool", by="ann@here", detail=json.dumps({how: value}))
    shop.client.notifier.ring_control()
    told = until("an answer", lambda: store.take_answer(worker["id"], request))
    return dict(json.loads(told))


def test_children_follow_a_hand_and_no_body_is_disturbed(shop: Shop) -> None:
    with shop.worker(children=2) as worker:
        running = [shop.send("hold", f"gate-{i}") for i in range(2)]
        for result in running:
            shop.wait_for_run(result)

        shrunk = _resize(shop, "shrink", 1)
        assert (shrunk["before"], shrunk["children"], shrunk["ending"]) == (2, 1, 1)
        shop.open("gate-0")
        shop.open("gate-1")
        until("a child of each kind", lambda: len(worker.children()) == 2)
        if shop.client.store.dialect == "sqlite":  # a reload asks no database
            before = worker.children()
            worker.signal(signal.SIGHUP)
            until("fresh ones", lambda: len(new := worker.children()) == 2 and not new & before)

        grown = _resize(shop, "grow", 2)
        assert (grown["before"], grown["children"], grown["kinds"], grown["asked"]) == (1, 3, 2, 3)
        until("three of each kind", lambda: len(worker.children()) == 6)
        assert "draining" not in _resize(shop, "set", "2:4")
        until("its range is known", lambda: _info(shop) == (3, "2:4"))
        refused = _resize(shop, "set", "4:2")
        assert refused == {
            "error": "the number of children must be a whole number from 1 to 1024, or two as in "
            "2:16, not '4:2'"
        }
        shop.wait_until_quiet()
        worker.wait_for_log("ann@here has set the children of this worker: 2 to 4 children")
    shop.check(running, most_attempts=1)


def _info(shop: Shop) -> tuple[int, Any]:
    (worker,) = shop.client.store.workers.list()
    return worker["info"]["children"], worker["info"]["child_range"]


@pytest.mark.parametrize(
    ("limits", "change", "new"),
    [
        ("4", {"grow": 2}, "6"), ("4", {"shrink": 3}, "1"), ("4", {"set": 8}, "8"),
        ("4", {"set": "2:16"}, "2:16"), ("2:16", {"grow": 4}, "2:20"),
        ("2:16", {"shrink": 13}, "2:3"), ("2:16", {"shrink": 15}, "1"), ("2:16", {"set": 4}, "4"),
        ("4", {"shrink": 4}, "keeps at least one: shrink it by 3 at most, or end it"),
        ("1", {"shrink": 1}, "keeps at least one: it cannot shrink, or end it"),
        ("1000", {"grow": 25}, "from 1 to 1024"), ("4", {"set": "a"}, "from 1 to 1024"),
    ],
)  # fmt: skip
def test_what_a_change_makes_of_a_range(limits: str, change: dict[str, Any], new: str) -> None:
    if " " in new:
        with pytest.raises(ConfigError, match=new):
            changed_range(ChildRange.of(limits), change)
    else:
        assert changed_range(ChildRange.of(limits), change) == ChildRange.of(new)


class _Sized:
    """A group with handles of children that nobody has forked, and its sizer."""

    def __init__(self, least: int, most: int, available: float) -> None:
        self.group = SerialChildGroup(threading.RLock(), {}, SuspectTurns(lambda *_: True))
        self.group.wanted = least
        limits = ChildRange(least, most)
        self.sizer = ChildSizer(self.group, limits, 10.0, lambda: available)
        self.now = 1000.0

    def start(self) -> None:
        while self.group.missing > 0:
            channel = ChildChannel()
            channel.handed_over()
            child = self.group.add(1, channel, TaskCatalog([]), self.now)
            child.is_ready = True

    def grow(self) -> int:
        """The size after jobs have waited for a second, more than enough."""
        self.group.add_jobs(1, [claimed() for _ in range(20)], self.now)
        self.group.dispatch(self.now)
        for _ in range(2):
            self.sizer.update(self.now)
            self.now += 1.0
        return self.group.wanted

    def close(self) -> None:
        for child in self.group.children:
            child.channel.close()


@pytest.mark.parametrize(
    ("mebibytes", "wanted"), [(1 << 20, [3, 4, 6, 8, 8]), (24, [3, 4, 5, 6, 7]), (8, [2, 2])]
)
def test_it_grows_by_half_where_memory_is_left(mebibytes: int, wanted: list[int]) -> None:
    sized = _Sized(2, 8, mebibytes << 20)
    sizes = []
    for _ in wanted:
        sized.start()
        sizes.append(sized.grow())
        sized.now += 10.0
    sized.close()

    assert sizes == wanted


@pytest.mark.parametrize(
    ("mebibytes", "change", "limits"),
    [
        (1 << 20, {"set": 8}, (8, 8)), (80, {"set": 8}, (6, 6)), (80, {"grow": 1}, (3, 3)),
        (20, {"set": "4:9"}, (3, 9)), (8, {"set": 1}, (1, 1)), (8, {"set": "1:9"}, (1, 9)),
    ],
)  # fmt: skip
def test_a_hand_gets_no_more_children_than_memory_is_left_for(
    mebibytes: int, change: dict[str, Any], limits: tuple[int, int]
) -> None:
    lock, sized = _sized_by_hand(mebibytes)
    with lock:
        told = sized.change(change, "ann", 1.0)

    assert (sized.limits, told["least"], told["most"]) == (limits, *limits)
    assert sized.size == told["children"] == max(limits[0], 2 if limits[1] > 1 else 1)
    assert bool(sized.sizers) is (limits[0] < limits[1])


def test_a_hand_is_told_why_there_is_no_room() -> None:
    lock, sized = _sized_by_hand(8)
    wanted = "for more children: one takes 16 MiB, and 8 MiB are"
    with lock, pytest.raises(ConfigError, match=wanted):
        sized.change({"grow": 1}, "ann", 1.0)
    assert (sized.limits, sized.size) == ((2, 2), 2)


def _sized_by_hand(mebibytes: int) -> tuple[threading.RLock, PoolSize]:
    """The lock and the size of a pool with two children that nobody has forked."""
    options = WorkerOptions(app="a:b", children=2)
    pool = Pool(
        options, log_level=logging.INFO, deliver=lambda *_: None, keep_logs=lambda _: None,
        on_progress=lambda *_: None, on_lines=lambda: None, on_fork_server_lost=lambda _: None,
    )  # fmt: skip
    pool.serial.wanted = 2
    available = float(mebibytes << 20)
    children, limits = pool._children, options.child_range
    return pool.lock, PoolSize(pool.groups, children, limits, 10.0, lambda: available)


def test_only_idle_children_are_retired_and_they_get_no_more_jobs() -> None:
    sized = _Sized(1, 4, 1 << 40)
    sized.group.wanted = 4
    sized.start()
    sized.group.add_jobs(1, [claimed(), claimed()], sized.now)
    sized.group.dispatch(sized.now)
    busy = [child for child in sized.group.children if child.is_busy]

    sized.sizer.update(sized.now + 9.9)
    assert sized.group.wanted == 4
    assert sized.sizer.next_update() == sized.now + 10.0
    sized.sizer.update(sized.now + 10.0)

    assert sized.group.wanted == 2 == len(busy)
    assert [child for child in sized.group.children if child.takes_jobs] == busy
    sized.close()


def test_children_that_start_are_waited_for() -> None:
    sized = _Sized(2, 8, 1 << 40)
    sized.start()
    assert sized.grow() == 3
    assert sized.grow() == 3, "the third one was not even requested"
    sized.start()
    sized.group.children[-1].is_ready = False
    assert sized.grow() == 3, "it will take a job once it is ready"
    sized.close()


@pytest.mark.parametrize(
    ("groups", "files", "wanted"),
    [
        ("0::/a/b\n", {}, 5 << 20),
        ("0::/a/b\n", {"a/memory.max": "max", "a/memory.current": "7"}, 5 << 20),
        ("0::/a/b\n", {"a/memory.max": "3000", "a/memory.current": "2500",
                       "a/memory.stat": "anon 1\ninactive_file 100\n"}, 600),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "900",
                           "memory/a/memory.usage_in_bytes": "1000",
                           "memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 2\n"}, 0),
    ],
)  # fmt: skip
def test_memory_that_is_left(
    tmp_path: Path, groups: str, files: dict[str, str], wanted: int
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   5120 kB\n")
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert available_bytes(tmp_path) == wanted


@pytest.mark.parametrize(
    ("given", "kept", "limits"),
    [(4, 4, (4, 4)), ("4", 4, (4, 4)), ("3:3", 3, (3, 3)), ("2:16", "2:16", (2, 16))],
)
def test_children_are_a_number_or_a_range(given: Any, kept: Any, limits: tuple[int, int]) -> None:
    options = WorkerOptions(app="a:b", children=given)
    assert (options.children, options.child_range) == (kept, limits)
    assert WorkerOptions(app="a:b", children=options.children) == options


@pytest.mark.parametrize("given", ["16:2", "0:4", "1:", ":4", "1:2:3", "1:2000", "a:b", 0, 2.0, ""])
def test_other_ranges_are_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="or two as in 2:16"):
        WorkerOptions(app="a:b", children=given)
