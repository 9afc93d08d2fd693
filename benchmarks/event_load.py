"""Figures of events with real workers: CPU of a drain with and without a sink in turns, how late
events reach a sink, and the memory of the relay.

CPU time is that of processes (user and system), which another load on the machine disturbs far less
than their wall time.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.events import log_bytes
from benchmarks.measure import Figures, done, family, percentiles, pss, query, worker
from benchmarks.tasks import app, noop
from hammerflow.events.filter import EventFilter

#: Pairs of drains. Many short ones, as a disturbance then spoils few of them.
_PAIRS = 24
#: Seconds of steady load, and its jobs a second; and the seconds that a sink may need afterwards.
_STEADY, _RATE, _PATIENCE = 8.0, 250, 120.0
_Parts = dict[str, float]


class _Use(NamedTuple):
    """Seconds of CPU of a drain, and bytes of the write-ahead log, a job."""

    worker: float  # its processes but the relay
    server: float  # what it does for them, and in the background
    relay: float  # the process of the worker that moves events, and what the server does for it
    log: float
    wall: float  # seconds from the first start to the last end

    @property
    def drain(self) -> float:
        """What a drain takes, whoever moves the events."""
        return self.worker + self.server

    @property
    def whole(self) -> float:
        return self.drain + self.relay


def event_cost(url: str, n: int) -> Iterator[Figures]:
    """CPU and log of drains of n jobs without a sink, and with one that drops all events: the
    median of the ratios of the pairs, and its 95 % confidence interval."""
    pairs = _PAIRS if n >= 1_000 else 1
    _drain(max(n // 4, 10), has_sink=False)
    uses: dict[bool, list[_Use]] = {False: [], True: []}
    for number in range(pairs):
        for has_sink in (False, True) if number % 2 else (True, False):
            with _sink() if has_sink else contextlib.nullcontext():
                uses[has_sink].append(_drain(n, has_sink=has_sink))

    def each(part: str, *, has_sink: bool) -> float:
        found: list[float] = [getattr(use, part) for use in uses[has_sink]]
        return round(statistics.median(found) * 1e6, 1)

    figures: Figures = {"figure": f"drain of {n:,} with a sink", "pairs": pairs}
    for part in ("drain", "worker", "server", "whole", "wall", "log"):
        low, middle, high = _interval(
            [
                getattr(own, part) / max(getattr(plain, part), 1e-12)
                for plain, own in zip(uses[False], uses[True], strict=True)
            ]
        )
        figures |= {f"{part}_ratio": middle, f"{part}_95": f"{low} to {high}"}
    yield figures | {
        "us_job": each("drain", has_sink=False),
        "worker_us_job": each("worker", has_sink=False),
        "server_us_job": each("server", has_sink=False),
        "relay_us_event": each("relay", has_sink=True),
        "log_bytes_job": round(each("log", has_sink=False) / 1e6),
        "bar": "drain <= 1.03, log <= 1.10",
    }


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, between the ends of its 95 % confidence interval by order statistics: it is
    above the kth of n values unless fewer than k of n fair coins show heads."""
    n, found = len(values), sorted(values)
    below, k = 0.5**n, 0
    while below <= 0.025:
        k += 1
        below += math.comb(n, k) * 0.5**n
    low, high = (found[k - 1], found[n - k]) if k else (found[0], found[-1])
    return round(low, 3), round(statistics.median(found), 3), round(high, 3)


@contextlib.contextmanager
def _sink() -> Iterator[None]:
    app.store.sinks.put("bench", "none", {}, EventFilter())
    try:
        yield
    finally:
        app.store.sinks.remove("bench")
        query("DELETE FROM {events}")
        if app.store.dialect != "sqlite":
            query("DELETE FROM {outbox}")


def _drain(n: int, *, has_sink: bool) -> _Use:
    """What a worker and the server spend on n jobs that wait already."""
    with worker() as process:
        noop.delay(0).get(timeout=60)
        if has_sink:
            _until(_is_told)
        app.pause(queue="default")
        app.enqueue_many(noop.s(i) for i in range(n))
        last = noop.s(0).set(priority=0).delay()
        begun, at = _used(process.pid), time.monotonic()
        app.resume(queue="default")
        last.get(timeout=600)
        wall, ended = time.monotonic() - at, _used(process.pid)
        if has_sink:  # what the relay does later, too, but no idle time of the others
            _until(_is_told)
            ended["relay"] = _used(process.pid)["relay"]
        if app.store.dialect == "mysql":
            _until(_is_log_quiet)
        if has_sink or app.store.dialect == "mysql":
            ended["log"] = _used(process.pid)["log"]
    spent = {part: (ended[part] - begun[part]) / n for part in _Use._fields if part != "wall"}
    return _Use(**spent, wall=wall)


def _is_told() -> bool:
    """Whether the sinks have got all events, if there are sinks."""
    store = app.store
    is_moved = store.dialect == "sqlite" or not store.events.pending()
    head = store.events.head()
    return is_moved and all(sink.position >= head for sink in store.sinks.list())


def _is_log_quiet() -> bool:
    """Whether InnoDB has removed what the drain has deleted, which it logs somewhat later."""
    before = log_bytes(app.store)
    time.sleep(0.5)
    return log_bytes(app.store) - before < 1_000


def _used(pid: int) -> _Parts:
    """By the fields of :class:`_Use`."""
    found: _Parts = dict.fromkeys(("worker", "server", "relay", "log"), 0.0)
    relay_ports: set[int] = set()
    for each in family(pid):
        part = "relay" if _is_relay(each) else "worker"
        found[part] += _cpu(each)
        if part == "relay":
            relay_ports = _ports(each)
        if app.store.dialect == "sqlite":
            found["log"] += _written(each)
    if app.store.dialect != "sqlite":
        found["log"] = log_bytes(app.store)
        for task, port in _server_tasks():
            found["relay" if port in relay_ports else "server"] += _task_cpu(task)
    return found


def _cpu(pid: int) -> float:
    """Seconds of a process, by the scheduler's clock."""
    return sum(_task_cpu(task) for task in Path(f"/proc/{pid}/task").glob("*"))


def _task_cpu(task: Path) -> float:
    with contextlib.suppress(OSError):
        return int((task / "schedstat").read_text().split()[0]) / 1e9
    return 0.0


def _written(pid: int) -> float:
    """Bytes that a process has written, which on SQLite is mostly the write-ahead log."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        return float(next(one.split()[1] for one in lines if one.startswith("wchar")))
    return 0.0


def _server_tasks() -> Iterator[tuple[Path, int]]:
    """The threads of the database server on this host, with the port of the client of each."""
    if app.store.dialect == "postgres":
        rows = query("SELECT pid, client_port FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        yield from ((Path(f"/proc/{pid}/task/{pid}"), port or 0) for pid, port in rows)
        return
    rows = query("SELECT tid, host FROM information_schema.processlist WHERE id <> connection_id()")
    ports = {int(tid): int(str(host).rpartition(":")[2] or 0) for tid, host in rows if ":" in host}
    [[file]] = query("SELECT @@pid_file")
    for task in Path(f"/proc/{int(Path(file).read_text())}/task").glob("*"):
        yield task, ports.get(int(task.name), 0)


def _ports(pid: int) -> set[int]:
    """The local ports of the TCP connections of a process."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            name = os.readlink(descriptor)
            sockets.add(name.removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[9] in sockets}


def _is_relay(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"hammerflow.worker.relay" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def event_lag(url: str, n: int) -> Iterator[Figures]:
    """How late events reach a sink under a steady load and in a drain of n jobs at full speed, and
    the memory of the relay and of the worker's other processes: after a tenth of the events, and at
    its peak."""
    loads = (
        (f"{_RATE} jobs/s", lambda: _steady(min(n, int(_RATE * _STEADY)))),
        (f"a drain of {n:,}", lambda: app.enqueue_many(noop.s(i) for i in range(n))),
    )
    for name, load in loads:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "lags"
            os.environ["BENCH_LAG_FILE"] = str(path)
            try:
                lags, memory = _measure(path, load, max(1, min(n, 2_000)))
            finally:
                del os.environ["BENCH_LAG_FILE"]
                app.store.sinks.remove("lag")
        yield {
            "figure": f"lag of events: {name}", **percentiles(lags), "events": len(lags),
            **_memory(memory),
        }  # fmt: skip


def _steady(n: int) -> None:
    """Enqueue one by one, evenly."""
    begun = time.monotonic()
    for i in range(n):
        time.sleep(max(0.0, begun + i / _RATE - time.monotonic()))
        noop.delay(i)


class _Memory(NamedTuple):
    """MB of PSS at a moment."""

    position: int  # of the last event
    relay: float
    rest: float


def _memory(seen: Sequence[_Memory]) -> Figures:
    tenth = seen[0].position + (seen[-1].position - seen[0].position) / 10
    early = next(one for one in seen if one.position >= tenth)
    return {
        "relay_pss_mb": round(early.relay, 1),
        "relay_peak_mb": round(max(one.relay for one in seen), 1),
        "worker_pss_mb": round(early.rest, 1),
        "worker_peak_mb": round(max(one.rest for one in seen), 1),
    }


def _measure(path: Path, load: Any, least: int) -> tuple[list[float], Sequence[_Memory]]:
    with worker() as process:
        noop.delay(0).get(timeout=60)
        _until(path.exists)
        before, head = done(), app.store.events.head()
        path.write_text("")
        seen = [_look(process.pid)]
        loading = threading.Thread(target=load)
        loading.start()
        deadline = time.monotonic() + _PATIENCE
        while loading.is_alive() or not _is_delivered(head + least):
            seen.append(_look(process.pid))
            if seen[-1].position > seen[-2].position:
                deadline = time.monotonic() + _PATIENCE
            elif time.monotonic() > deadline:
                break
            time.sleep(0.1)
        loading.join()
        assert done() > before
        lines = path.read_text().splitlines()
    return [lag for line in lines for lag in json.loads(line)], seen


def _look(pid: int) -> _Memory:
    sizes = {each: pss(each) for each in family(pid)}
    relay = sum(size for each, size in sizes.items() if _is_relay(each))
    return _Memory(app.store.events.head(), relay, sum(sizes.values()) - relay)


def _is_delivered(least: int) -> bool:
    """Whether the sink has got all events, and those of this load are among them."""
    if any(queue.ready or queue.running for queue in app.store.queues.list()):
        return False
    return _is_told() and app.store.events.head() >= least


def _until(is_so: Any) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


ALL = {"event-cost": event_cost, "event-lag": event_lag}
