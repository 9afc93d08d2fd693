"""Figures of events with real workers: CPU of a drain with and without a sink in turns, how late
events reach a sink, and the memory of the relay.

CPU time is that of processes (user and system), which another load on the machine disturbs far less
than their wall time.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.events import log_bytes
from benchmarks.measure import Figures, done, family, percentiles, pss, query, worker
from benchmarks.tasks import app, noop
from hammerflow.events.filter import EventFilter

_PAIRS = 6
_TICKS = os.sysconf("SC_CLK_TCK")
#: Seconds of steady load, and its jobs a second; and the seconds that a sink may need afterwards.
_STEADY, _RATE, _PATIENCE = 8.0, 250, 120.0


class _Use(NamedTuple):
    """What a drain has taken: seconds of CPU, and bytes of the write-ahead log."""

    worker: float
    server: float
    relay: float
    log: float

    @property
    def cpu(self) -> float:
        return self.worker + self.server


def event_cost(url: str, n: int) -> Iterator[Figures]:
    """CPU and log of drains of n jobs without a sink, and with one that drops all events."""
    pairs = _PAIRS if n >= 5_000 else 1
    _drain(n // 4)
    uses: dict[bool, list[_Use]] = {False: [], True: []}
    for number in range(pairs):
        for has_sink in (False, True) if number % 2 else (True, False):
            with _sink() if has_sink else contextlib.nullcontext():
                uses[has_sink].append(_drain(n))

    def ratio(part: str) -> float | None:
        found = [
            getattr(own, part) / max(getattr(plain, part), 1e-9)
            for plain, own in zip(uses[False], uses[True], strict=True)
        ]
        return round(statistics.median(found), 3)

    def each(part: str, *, has_sink: bool) -> float:
        return round(statistics.median(getattr(u, part) for u in uses[has_sink]) / n * 1e6, 1)

    yield {
        "figure": f"drain of {n:,} with a sink", "pairs": pairs,
        "us_job": each("cpu", has_sink=False), "cpu_ratio": ratio("cpu"),
        "worker_us_job": each("worker", has_sink=False), "worker_ratio": ratio("worker"),
        "server_us_job": each("server", has_sink=False), "server_ratio": ratio("server"),
        "relay_us_event": each("relay", has_sink=True),
        "log_bytes_job": round(each("log", has_sink=False) / 1e6), "log_ratio": ratio("log"),
        "bar": "cpu <= 1.03, log <= 1.10",
    }  # fmt: skip


@contextlib.contextmanager
def _sink() -> Iterator[None]:
    app.store.sinks.put("bench", "none", {}, EventFilter())
    try:
        yield
    finally:
        app.store.sinks.remove("bench")
        query("DELETE FROM {events}")


def _drain(n: int) -> _Use:
    """What a worker and the server spend on n jobs that wait already."""
    with worker() as process:
        noop.delay(0).get(timeout=60)
        app.pause(queue="default")
        app.enqueue_many(noop.s(i) for i in range(n))
        before, begun = done(), _used(process.pid)
        app.resume(queue="default")
        _wait_until(before + n)
        _until(_is_told)
        ended = _used(process.pid)
    return _Use(*(after - start for after, start in zip(ended, begun, strict=True)))


def _wait_until(count: int) -> None:
    while done() < count:
        time.sleep(0.1)


def _is_told() -> bool:
    """Whether the sinks have got all events, if there are sinks."""
    store = app.store
    is_moved = store.dialect == "sqlite" or not store.events.pending()
    head = store.events.head()
    return is_moved and all(sink.position >= head for sink in store.sinks.list())


def _used(pid: int) -> _Use:
    whole = {each: _cpu(each) for each in family(pid)}
    relay = sum(seconds for each, seconds in whole.items() if _is_relay(each))
    server = _server()
    log = _written(whole) if app.store.dialect == "sqlite" else log_bytes(app.store)
    spent = sum(_cpu(each) for each in family(server)) if server else 0.0
    return _Use(sum(whole.values()) - relay, spent, relay, log)


def _cpu(pid: int) -> float:
    """Seconds of a process and of those of its children that have ended."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(ticks) for ticks in fields[11:15]) / _TICKS
    return 0.0


def _written(pids: Mapping[int, float]) -> float:
    """Bytes that processes have written, which on SQLite is mostly the write-ahead log."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/io").read_text().splitlines()
            total += float(next(one.split()[1] for one in lines if one.startswith("wchar")))
    return total


def _server() -> int | None:
    """The main process of the database server, on this host."""
    match app.store.dialect:
        case "postgres":
            [[backend]] = query("SELECT pg_backend_pid()")
            stat = Path(f"/proc/{backend}/stat").read_text()
            return int(stat.rpartition(")")[2].split()[1])
        case "mysql":
            [[file]] = query("SELECT @@pid_file")
            return int(Path(file).read_text())
    return None


def _is_relay(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"hammerflow.worker.relay" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def event_lag(url: str, n: int) -> Iterator[Figures]:
    """How late events reach a sink under a steady load and in a drain of n jobs at full speed, and
    the memory of the relay meanwhile."""
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
            "relay_pss_mb": round(memory, 1),
        }  # fmt: skip


def _steady(n: int) -> None:
    """Enqueue one by one, evenly."""
    begun = time.monotonic()
    for i in range(n):
        time.sleep(max(0.0, begun + i / _RATE - time.monotonic()))
        noop.delay(i)


def _measure(path: Path, load: Any, least: int) -> tuple[list[float], float]:
    with worker() as process:
        noop.delay(0).get(timeout=60)
        _until(path.exists)
        before, head = done(), app.store.events.head()
        path.write_text("")
        load()
        memory = 0.0
        deadline = time.monotonic() + _PATIENCE
        while not _is_delivered(head + least) and time.monotonic() < deadline:
            memory = max(memory, *(pss(pid) for pid in family(process.pid) if _is_relay(pid)))
            time.sleep(0.1)
        assert done() > before
        lines = path.read_text().splitlines()
    return [lag for line in lines for lag in json.loads(line)], memory


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
