"""Processes: bodies that eat memory, fork without end, or do other harm; few descriptors."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

from hammerflow import JobFailed, JobState, Result
from tests.acceptance.kit import Shop, Worker
from tests.proof.faults.ground import cgroup
from tests.proof.faults.shops import shop_on
from tests.support.waiting import until

__all__ = ["daemon_left", "descriptor_limit", "hostile_bodies", "memory_limit", "pid_limit"]

_APP = "tests.proof.faults.hostile:app"


def memory_limit(folder: Path, _: int) -> str:
    """A worker in a group with 400 MB, and bodies that want more."""
    with (
        shop_on(f"sqlite:///{folder / 'shop.db'}", folder) as shop,
        cgroup("memory", limit_in_bytes=400 << 20) as group,
    ):
        worker = shop.worker(app=_APP)
        _put(worker, group)
        once, always = _send(shop, "eats_memory", 1), _send(shop, "eats_memory")
        others = shop.send_all("note", ((i, 0.002) for i in range(200)))
        assert once.get(timeout=30) == "survived"
        until("parked", lambda: shop.job(always).state is JobState.PARKED, 30)
        shop.wait_until_quiet()
        assert shop.kinds(once) == ["lost"]
        assert shop.kinds(always) == ["lost"] * 3
        assert "SIGKILL" in shop.job(always).errors[0].message
        killed = int((group / "memory.oom_control").read_text().split()[-1])
        assert killed == 4, f"{killed} processes were killed by the kernel"
        assert worker.process.poll() is None, worker.log
        assert shop.ledger.counts(r.id.hex for r in others) == {1: 200}
        shop.check([once, always, *others])
    return (
        f"{killed} bodies killed by the kernel and recorded as lost; one survived its second "
        "attempt, one parked after 3; 200 others once each"
    )


def pid_limit(folder: Path, _: int) -> str:
    """A worker in a group with room for 20 more processes, and a body that forks without end."""
    with (
        shop_on(f"sqlite:///{folder / 'shop.db'}", folder) as shop,
        cgroup("pids", max="max") as group,
    ):
        worker = shop.worker(app=_APP, children=3)
        _put(worker, group)
        victim = shop.send("hold", "gate")
        run = shop.wait_for_run(victim)
        used = int((group / "pids.current").read_text())
        (group / "pids.max").write_text(str(used + 20))
        bomb = _send(shop, "forks_without_end", "bomb's gate")
        until("no process is left", lambda: _refused(group))
        (group / "pids.max").write_text(str(used))  # who ends makes no room for others
        others = shop.send_all("note", ((i, 0.002) for i in range(100)))
        for result in others:
            result.wait(timeout=30)
        os.kill(run.pid, signal.SIGKILL)
        worker.wait_for_log("cannot fork")
        shop.open("bomb's gate")
        shop.wait_for_run(victim, 2)
        shop.open("gate")
        forked, refused = bomb.get(timeout=20)
        assert forked and refused
        shop.wait_until_quiet()
        assert worker.process.poll() is None, worker.log
        assert shop.ledger.counts(r.id.hex for r in others) == {1: 100}
        shop.check([bomb, victim, *others])
        return (
            f"{_refused(group)} forks refused, 100 other jobs once each beside it; a child that "
            "was killed meanwhile was replaced when there was room"
        )


def descriptor_limit(folder: Path, _: int) -> str:
    """The supervisor can open no further file; then its children die."""
    with shop_on(f"sqlite:///{folder / 'shop.db'}", folder) as shop:
        worker = shop.worker()
        warm = shop.send("note", 1)
        assert warm.get(timeout=10) == 1
        soft, hard = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (3, hard))
        held = [shop.send("hold", "gate", i) for i in range(2)]
        for run in [shop.wait_for_run(result) for result in held]:
            os.kill(run.pid, signal.SIGKILL)
        worker.wait_for_log("cannot start a child", 3)  # a second apart
        alive = worker.process.poll() is None
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert alive, worker.log
        shop.open("gate")
        assert [result.get(timeout=30) for result in held] == [0, 1]
        shop.wait_until_quiet()
        shop.check([warm, *held])
    return (
        "no descriptor free while both children were killed, 3 tries to start one failed: the jobs "
        "ended afterwards"
    )


def hostile_bodies(folder: Path, _: int) -> str:
    """What a body may do to its process besides dying; others go on."""
    with shop_on(f"sqlite:///{folder / 'shop.db'}", folder) as shop:
        worker = shop.worker("--grace", "2", app=_APP)
        stuck = [_send(shop, "keeps_the_gil", 60.0), _send(shop, "blocks_signals", 60.0)]
        ended = [_send(shop, "closes_all"), _send(shop, "returns_from_a_copy", 5)]
        others = shop.send_all("note", ((i, 0.002) for i in range(200)))
        for result in stuck:
            with contextlib.suppress(JobFailed):
                result.get(timeout=40)
            assert shop.kinds(result) == ["timeout"] * 2, shop.kinds(result)
        assert [result.get(timeout=30) for result in ended] == ["survived"] * 2
        assert [shop.kinds(result) for result in ended] == [["lost"], []]
        threads = _send(shop, "leaves_threads", 20)
        pid = threads.get(timeout=10)
        after = shop.send_all("note", ((i,) for i in range(50)))
        shop.wait_until_quiet()
        later = {run.pid for result in after for run in shop.ledger.runs(result.id.hex)}
        assert pid in later, "the child with the threads got no job any more"
        began = time.monotonic()
        assert worker.stop() == 0, worker.log
        took = time.monotonic() - began
        assert not worker.complaints(), worker.log
        assert shop.ledger.counts(r.id.hex for r in [*others, *after]) == {1: 250}
        shop.check([*stuck, *ended, threads, *others, *after])
    return (
        "the GIL kept in C, signals blocked, descriptors closed, copies that return, 20 threads "
        f"left: each told as timeout, lost or completed; drained in {took:.1f} s"
    )


def daemon_left(folder: Path, _: int) -> str:
    """A body dies beside a process that it has forked, which lives on with its descriptors."""
    with shop_on(f"sqlite:///{folder / 'shop.db'}", folder) as shop:
        with shop.worker(app=_APP):
            result = _send(shop, "forks_away", "gate")
            began = time.monotonic()
            try:
                assert result.get(timeout=20) == "survived"
            finally:
                shop.open("gate")
            took = time.monotonic() - began
            assert shop.kinds(result) == ["lost"]
        shop.check([result])
    return f"its death was noticed, and the second attempt over, after {took:.1f} s"


def _send(shop: Shop, task: str, *args: Any) -> Result[Any]:
    return shop.client.enqueue(shop.client.signature(f"tests.proof.faults.hostile.{task}", args))


def _put(worker: Worker, group: Path) -> None:
    """The whole family, and so all that it forks."""
    members = group / "cgroup.procs"
    while missing := {*worker.family()} - {*map(int, members.read_text().split())}:
        for pid in missing:
            with contextlib.suppress(ProcessLookupError):
                members.write_text(str(pid))


def _refused(group: Path) -> int:
    return int((group / "pids.events").read_text().split()[-1])
