"""One figure each: how fast, how late, how much memory; measured with real worker processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import bare
from benchmarks.tasks import app, count, fan_out, fan_out_in, noop, sleep, stamp, total
from hammerflow import Workflow, chord

Figures = dict[str, Any]


@contextlib.contextmanager
def worker(
    *options: str, children: int = 2, url: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process, from its registration in the database to its drain."""
    with workers(1, *options, children=children, url=url) as processes:
        yield processes[0]


@contextlib.contextmanager
def workers(
    number: int, *options: str, children: int = 2, url: str | None = None
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Worker processes that start at once; at ``url``, where it is not the database's own."""
    command = [
        sys.executable, "-m", "hammerflow", "-A", "benchmarks.tasks:app", "worker",
        "-c", str(children), *options,
    ]  # fmt: skip
    environment = {**os.environ, "HAMMERFLOW_DATABASE_URL": url} if url else None
    processes = [
        subprocess.Popen(
            command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        for _ in range(number)
    ]
    try:
        for process in processes:
            while not any(w["pid"] == process.pid for w in app.store.workers.list()):
                if process.poll() is not None:
                    raise RuntimeError(f"the worker ended with {process.returncode}")
                time.sleep(0.02)
        yield processes
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(60)


def percentiles(values: list[float]) -> Figures:
    values = sorted(values)
    return {
        "p50_ms": round(values[len(values) // 2] * 1e3, 2),
        "p99_ms": round(values[int(len(values) * 0.99)] * 1e3, 2),
    }


def _settled(before: int, n: int) -> None:
    while done() - before < n:
        time.sleep(0.1)


def done() -> int:
    return int(query("SELECT count(*) FROM {done}")[0][0])


def query(sql: str) -> list[tuple[Any, ...]]:
    tables = app.store.database.dialect.macros

    def work(tx: Any) -> list[tuple[Any, ...]]:
        cursor = tx.connection.cursor()
        cursor.execute(sql.format(**tables))
        return list(cursor.fetchall()) if cursor.description else []

    return app.store.database.read(work)


def enqueue(url: str, n: int) -> Iterator[Figures]:
    """delay() one by one beside the driver's single INSERT, and enqueue_many."""
    least = min(n, 2_000)
    alone = bare.single_inserts(url, least)
    noop.delay(0)
    start = time.perf_counter()
    for i in range(least):
        noop.delay(i)
    ours = least / (time.perf_counter() - start)
    yield {"figure": "delay() one by one", "jobs_s": round(ours), "bare": round(alone),
           "ratio": round(ours / alone, 2), "bar": "ratio >= 0.7"}  # fmt: skip
    start = time.perf_counter()
    app.enqueue_many(noop.s(i) for i in range(n))
    rate = n / (time.perf_counter() - start)
    bars = {"postgres": 80_000, "mysql": 50_000, "sqlite": 100_000}
    yield {"figure": f"enqueue_many of {n:,}", "jobs_s": round(rate),
           "bar": f">= {bars[app.store.dialect]:,}"}  # fmt: skip


def throughput(url: str, n: int) -> Iterator[Figures]:
    """Drain of n no-op jobs with results, beside two bare processes."""
    alone = bare.drain(url, n)
    bars = {"postgres": 40_000, "mysql": 18_000, "sqlite": 40_000}
    rate = _drain(noop, n)
    yield {"figure": f"drain of {n:,} no-ops", "jobs_s": round(rate), "bare": round(alone),
           "ratio": round(rate / alone, 2),
           "bar": f">= {bars[app.store.dialect]:,}, ratio >= 0.5"}  # fmt: skip
    if os.environ.get("HAMMERFLOW_REDIS_URL"):
        rate = _drain(count, n)
        yield {"figure": f"drain of {n:,} counts in Redis", "jobs_s": round(rate),
               "bar": ">= 20,000 on PostgreSQL"}  # fmt: skip


def _drain(task: Any, n: int) -> float:
    """Jobs a second by the database's clock, from the first end to the last."""
    _empty()
    before = done()
    app.enqueue_many(task.s(i) for i in range(n))
    start = app.store.clock()
    with worker():
        began = time.time()
        _settled(before, n)
        seconds = time.time() - began
    times = query("SELECT min(finished_at), max(finished_at) FROM {done}")[0]
    if app.store.dialect == "sqlite":
        rows = query(f"SELECT min(finished_at) FROM {{done}} WHERE finished_at > {start}")
        seconds = times[1] - rows[0][0]
    return n / max(seconds, 1e-9)


def _empty() -> None:
    """Take away what earlier figures left ready."""
    with worker("--burst") as process:
        process.wait(600)


def latency(url: str, n: int) -> Iterator[Figures]:
    """delay() to the first line of the body, and to the result, on an idle system."""
    _empty()
    with worker():
        for _ in range(20):
            stamp.delay(time.time()).get(timeout=10)
        starts, trips = [], []
        for _ in range(n):
            began = time.perf_counter()
            starts.append(stamp.delay(time.time()).get(timeout=10))
            trips.append(time.perf_counter() - began)
            time.sleep(0.01)
    yield {"figure": "delay() to body, idle", **percentiles(starts),
           "bar": "p50 <= 1, p99 <= 3 (PostgreSQL + Redis); SQLite p50 <= 5"}  # fmt: skip
    yield {"figure": "delay().get() round trip", **percentiles(trips), "bar": "p50 <= 2"}


def spawn(url: str, n: int) -> Iterator[Figures]:
    """A spawner of n children, from its start to its commit; then a fan-in of n."""
    _empty()
    with worker() as process:
        began = time.perf_counter()
        result = fan_out.delay(n)
        peak = 0.0
        while not result.ready():
            peak = max(peak, memory(process.pid))
            time.sleep(0.05)
        seconds = time.perf_counter() - began
        yield {"figure": f"spawner of {n:,}", "children_s": round(n / seconds),
               "peak_pss_mb": round(peak), "bar": ">= 50,000"}  # fmt: skip
        _settled_queue()
    n = n // 10
    with worker():
        began = time.perf_counter()
        parent = fan_out_in.delay(n)
        parent.get(timeout=600)
        then = parent.children()[-1]
        assert then.get(timeout=600) == n
        seconds = time.perf_counter() - began
        yield {"figure": f"fan-in of {n:,}, delay() to its end", "seconds": round(seconds, 2),
               "bar": "10,000 in < 2 s, 100,000 in < 12 s"}  # fmt: skip


def workflow(url: str, n: int) -> Iterator[Figures]:
    """A chord of n, a workflow of 10 000 nodes in layers of 100, and a batch; n no-ops beside."""
    n = min(n, 10_000)
    plain = _drain(noop, n)
    with worker():
        began = time.perf_counter()
        result = chord([noop.s(i) for i in range(n)], total.s()).delay()
        sent = time.perf_counter() - began
        assert result.get(timeout=600) == n
        seconds = time.perf_counter() - began
        yield {"figure": f"chord of {n:,}, delay() to its end", "seconds": round(seconds, 2),
               "sent_in": round(sent, 2), "bar": "10,000 in < 2 s, 100,000 in < 12 s"}  # fmt: skip
    for shape, work in (("1,000 chains of 10", _chains(n)), ("layers of 100, 3 edges", _layers(n))):
        _empty()
        began = time.perf_counter()
        handle = app.enqueue(work)
        yield {"figure": f"enqueue of a workflow of {n:,}, {shape}",
               "seconds": round(time.perf_counter() - began, 2), "bar": "< 2 s"}  # fmt: skip
        with worker():
            began = time.perf_counter()
            handle.wait(timeout=600)
            rate = n / (time.perf_counter() - began)
        yield {"figure": f"drain of a workflow of {n:,}, {shape}", "jobs_s": round(rate),
               "plain": round(plain), "ratio": round(rate / plain, 2),
               "bar": "ratio >= 0.6"}  # fmt: skip
    with worker():
        began = time.perf_counter()
        app.batch(noop.s(i) for i in range(n)).enqueue().wait(timeout=600)
        rate = n / (time.perf_counter() - began)
        yield {"figure": f"batch of {n:,}, enqueue() to its end", "jobs_s": round(rate)}


def _chains(n: int) -> Workflow:
    work = Workflow("chains", "continue_on_failure")
    for chain_ in range(n // 10):
        work.add(noop.s(0), name=f"{chain_}-0")
        for step in range(1, 10):
            work.then(noop.si(step), name=f"{chain_}-{step}")
    return work


def _layers(n: int) -> Workflow:
    work = Workflow("layers", "continue_on_failure")
    for layer in range(n // 100):
        before = [f"{layer - 1}-{i}" for i in range(3)] if layer else []
        for i in range(100):
            work.add(noop.s(i), name=f"{layer}-{i}", after=before)
    return work


def _settled_queue() -> None:
    while any(q.ready or q.running for q in app.store.queues.list()):
        time.sleep(0.2)


def head_of_line(url: str, n: int) -> Iterator[Figures]:
    """One 10 s job and 1 000 short ones on two children: when the short ones have all ended."""
    _empty()
    with worker():
        noop.delay(0).get(timeout=10)
        long = sleep.delay(10)
        began = time.perf_counter()
        results = app.enqueue_many(noop.s(i) for i in range(1_000))
        for result in results:
            result.get(timeout=30)
        seconds = time.perf_counter() - began
        long.cancel()
    yield {"figure": "1,000 short jobs beside a 10 s one", "seconds": round(seconds, 2),
           "bar": "< 1 s + their own time"}  # fmt: skip


def idle(url: str, n: int) -> Iterator[Figures]:
    """Memory and CPU of an idle worker with two children, over ten seconds."""
    _empty()
    with worker() as process:
        noop.delay(0).get(timeout=10)
        time.sleep(2)
        before = cpu_below(process.pid)
        time.sleep(10)
        share = (cpu_below(process.pid) - before) / 10
        yield {"figure": "idle worker, 2 children", "pss_mb": round(memory(process.pid), 1),
               "cpu_percent": round(share * 100, 2), "bar": "<= 60 MB, <= 0.1 %"}  # fmt: skip


def start_up(url: str, n: int) -> Iterator[Figures]:
    """Whole processes: import, --help, and the first job of a fresh worker."""
    for name, command in (
        ("import hammerflow", ["-c", "import hammerflow"]),
        ("python alone", ["-c", "pass"]),
        ("hammerflow --help", ["-m", "hammerflow", "--help"]),
    ):
        times = []
        for _ in range(7):
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - began)
        yield {"figure": name, "median_ms": round(sorted(times)[3] * 1e3),
               "bar": "import < 80, --help < 150"}  # fmt: skip
    _empty()
    times = []
    for _ in range(3):
        result = noop.delay(0)
        began = time.perf_counter()
        with worker():
            result.get(timeout=10)
            times.append(time.perf_counter() - began)
    yield {"figure": "worker's start to first job", "median_ms": round(sorted(times)[1] * 1e3),
           "bar": "< 400"}  # fmt: skip


def memory(pid: int) -> float:
    """PSS of a process and all below it, in MB."""
    return sum(pss(each) for each in family(pid))


def pss(pid: int) -> float:
    """PSS of one process, in MB; 0 of one that has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def cpu_below(pid: int) -> float:
    ticks = 0
    for each in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) in found:
                    found.append(int(entry.name))
    return found


ALL = {
    "enqueue": enqueue,
    "throughput": throughput,
    "latency": latency,
    "spawn": spawn,
    "workflow": workflow,
    "head-of-line": head_of_line,
    "idle": idle,
    "start-up": start_up,
}
