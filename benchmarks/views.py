"""Figures of views: how long each command that lists or counts takes beside n ended jobs."""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import Figures, family, query
from benchmarks.scale import clear
from benchmarks.tasks import app
from hammerflow.cli.exit import exit_code_of
from hammerflow.ids import name_id
from hammerflow.jobs.job import JobState

_QUEUES, _TASKS, _DAYS, _CHUNK = 20, 50, 10, 250_000
_HOT = ("ready", "leases", "scheduled", "waiting", "parked")
_LIVE = 5  # ended jobs for each live one
_RUNS, _MOST_MS = 5, 200
_MANY = 10_000  # jobs from which a figure is more than a trial

#: The commands that are measured; for names in braces see :func:`names`.
VIEWS = (
    "queue list",
    "queue stats",
    "queue stats {queue}",
    "queue health",
    "monitor --count 1",
    "job list",
    "job list --queue q3",
    "job list --task t7",
    "job list --state failed",
    "job list --state failed --task t7",
    "job list --state cancelled --queue q3",
    "job list --state ready",
    "job list --state ready --queue q3",
    "job list --state running",
    "job list --state scheduled",
    "job list --state parked",
    "job list --state waiting",
    "job list --since 1h",
    "job list --since 3d --until 2d",
    "job list --state failed --error ValueError",
    "job list --queue {queue}",
    "job list --task {task}",
    "job list --state ready --queue {queue}",
    "job list --state completed --queue {queue}",
    "job list --state failed --task {task}",
    "job list --dependency-status none",
    "job list --dependency-status waiting",
    "job list --argument 42",
    "job list --error ValueError",
    "job list --state cancelled",
    "job list --state skipped",
    "job list --limit 1000",
    "job list --task nowhere",
    "job show {job}",
    "explain {ready}",
    "job dead list",
    "job dead list --task t7",
    "job dead list --queue {queue}",
    "job dead list --error ValueError",
    "worker list",
    "schedule list",
    "limit list",
    "batch list",
    "batch list --status completed",
    "batch list --status running",
    "batch show {batch}",
    "workflow list",
    "workflow list --status failed",
    "workflow stats",
    "workflow stats --hours 23",
    "workflow graph {batch}",
    "workflow dependencies {job}",
    "archive stats",
    "archive policy",
    "spawn list",
    "spawn stats",
    "spawn pending",
    "spawn tree {spawner}",
    "spawn lineage {spawner}",
    "task list",
    "task stats",
    "task stats --hours 23",
    "task stats --hours 23 --queue {queue}",
    "queue stats --hours 1",
    "queue stats --hours 23",
    "app pauses",
    "event list",
    "event list --kinds job.failed --queue {queue}",
    "event list --from-time 2026-01-01",
    "sink list",
    "webhook list",
    "alert list",
    "alert rules",
    "workflow show {batch}",
    "workflow status {batch}",
    "archive list",
    "archive list --state failed --queue {queue}",
    "job list --trace-id 0af7651916cd43dd8448eb211c80319c",
    "job purge --task nowhere --dry-run",
    "job purge --all --dry-run",
    "job purge --state failed --dry-run",
    "job purge --state cancelled --task {task} --dry-run",
    "job purge --queue {queue} --older-than 36000 --dry-run",
    "job list --correlation-id order-7",
    "doctor",
)


def views(url: str, n: int) -> Iterator[Figures]:
    """Fill n ended and n / 5 live jobs by plain SQL, then measure each view in five runs.

    A database that was filled so before is measured as it is, with what else it has.
    """
    is_ours = not app.store.jobs.list(limit=1, task="t7")
    if is_ours:
        _clear()
        began = time.perf_counter()
        fill(n)
        yield {"figure": f"fill of {n:,} ended, {n // _LIVE:,} live jobs",
               "seconds": round(time.perf_counter() - began)}  # fmt: skip
    yield from measured(url, names(), runs=_RUNS if n >= _MANY else 1)
    if is_ours:
        _clear()


def _clear() -> None:
    clear()
    for table in (
        "errors",
        "nodes",
        "workflows",
        "workers",
        "worker_tasks",
        "schedules",
        "spawns",
        *_HOT,
    ):
        _write(f"DELETE FROM {{{table}}}")


def names() -> dict[str, str]:
    """What the views name: ids of the fill, and what has most jobs."""
    store = app.store
    is_day = bool(store.jobs.list(limit=1, queue="mail"))
    ended = store.jobs.list(limit=1, task="t7", state=JobState.COMPLETED)
    ready = store.jobs.list(limit=1, state=JobState.READY)
    batch = query("SELECT id FROM {workflows} WHERE kind = 'batch' LIMIT 1")
    spawner = query("SELECT parent_id FROM {spawns} WHERE handler = 'shop.spread' LIMIT 1")
    found = {"job": ended[0].id.hex, "ready": ready[0].id.hex, "batch": _hex(batch[0][0]),
             "spawner": _hex(spawner[0][0] if spawner else ended[0].id)}  # fmt: skip
    queue, task = ("mail", "mail.newsletter") if is_day else ("q3", "t7")
    return {**found, "queue": queue, "task": task}


def _hex(id_: Any) -> str:
    return id_.hex if isinstance(id_, uuid.UUID) else bytes(id_).hex()


def measured(
    url: str, named: Mapping[str, str], views: tuple[str, ...] = (), *, runs: int = _RUNS
) -> Iterator[Figures]:
    """Time each view in this process: the import of its module does not count.

    ``cpu_ms`` is the mean CPU of a run, the server's included; a server tells it in steps of 10 ms.
    """
    server = server_process()
    for view in views or VIEWS:
        words = [named[word[1:-1]] if word[0] == "{" else word for word in view.split()]
        times, end = [], ""
        before = 0.0
        for run in range(runs + 1):
            if run == 1:
                before = cpu_seconds(server)
            start = time.perf_counter()
            end = _run([*words, "--database", url])
            times.append((time.perf_counter() - start) * 1e3)
        cpu = (cpu_seconds(server) - before) / runs * 1e3
        yield {"figure": view, "cpu_ms": round(cpu), "best_ms": round(min(times[1:])),
               "first_ms": round(times[0]), "median_ms": round(statistics.median(times[1:])),
               "bar": f"cpu < {_MOST_MS}", **({"failed": end} if end else {})}  # fmt: skip


def server_process() -> int | None:
    """The process of the database's server; None for SQLite."""
    match app.store.dialect:
        case "postgres":
            found = query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
            return int(_stat(found[0][0])[1])
        case "mysql":
            return int(Path(query("SELECT @@pid_file")[0][0]).read_text())
    return None


def cpu_seconds(server: int | None) -> float:
    """Seconds of CPU that this process and the server have used so far."""
    ticks = 0
    if server is not None:
        for pid in family(server):
            with contextlib.suppress(OSError):
                ticks += sum(map(int, _stat(pid)[11:13]))
        ticks += sum(map(int, _stat(server)[13:15]))  # connections that have ended
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _run(words: list[str]) -> str:
    """Run a command in this process; what it says if it fails."""
    from hammerflow.cli import hammerflow

    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        code = exit_code_of(hammerflow, words)
    return errors.getvalue() if code else ""


class _Sql:
    """Expressions of one database; ``n`` numbers the rows."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect

    def id(self, n: str = "n") -> str:
        """The id of a row, made at its time."""
        ms = f"({{begin}} + {n} * {{step}})"
        return {
            "postgres": f"(lpad(to_hex({ms}), 12, '0') || '70008' || lpad(to_hex({n}), 15, '0'))"
            "::uuid",
            "mysql": f"UNHEX(CONCAT(LPAD(HEX({ms}), 12, '0'), '70008', LPAD(HEX({n}), 15, '0')))",
            "sqlite": f"row_id({ms}, {n})",
        }[self.dialect]

    def at(self, later: float = 0.0) -> str:
        """The same as an instant."""
        ms = "({begin} + n * {step})"
        return {
            "postgres": f"to_timestamp({ms} / 1000.0 + {later})",
            "mysql": f"TIMESTAMPADD(MICROSECOND, {ms} * 1000 + {later * 1e6:.0f}, '1970-01-01')",
            "sqlite": f"({ms} / 1000.0 + {later})",
        }[self.dialect]

    def numbers(self, low: int, high: int) -> str:
        """The rows low to high - 1."""
        return {
            "postgres": f"generate_series({low}, {high - 1}) n",
            "mysql": f"(SELECT seq AS n FROM seq_{low}_to_{high - 1}) s",
            "sqlite": f"(WITH RECURSIVE c(n) AS (SELECT {low} UNION ALL SELECT n + 1 FROM c"
            f" WHERE n < {high - 1}) SELECT n FROM c)",
        }[self.dialect]

    def of(self, names: list[int]) -> str:
        """One of these numbers, by n."""
        cases = " ".join(f"WHEN {i} THEN {name}" for i, name in enumerate(names))
        return f"CASE (n % 9973 * 7919 % {len(names)}) {cases} END"


_PLACES = {"begin": 0, "step": 1}


def _placed(text: str) -> str:
    return text.replace("{begin}", str(_PLACES["begin"])).replace("{step}", str(_PLACES["step"]))


def _functions(connection: Any) -> None:
    def row_id(ms: int, n: int) -> bytes:
        return bytes.fromhex(f"{ms:012x}70008{n:015x}")

    connection.create_function("row_id", 2, row_id, deterministic=True)


def fill(n: int, live: int | None = None) -> None:
    """Write n ended jobs of the last ten days, live ones (n / 5), batches, schedules, workers."""
    total = n + (n // _LIVE if live is None else live)
    step = max(1, _DAYS * 86_400_000 // total)
    _PLACES.update(begin=int(time.time() * 1000) - total * step, step=step)
    sql, store = _Sql(app.store.dialect), app.store
    store.names.register(
        queues=[f"q{i}" for i in range(_QUEUES)], tasks=[f"t{i}" for i in range(_TASKS)]
    )
    for low in range(1, total, _CHUNK):
        for text in _rows(sql, low, min(low + _CHUNK, total), n):
            _write(text)
    _write_few(sql, n)
    if app.store.dialect == "mysql":
        for table in ("jobs", "done", "errors", "nodes", "workflows", "spawns", *_HOT):
            _write(f"ANALYZE TABLE {{{table}}}")
    elif app.store.dialect == "postgres":
        import psycopg

        with psycopg.connect(os.environ["HAMMERFLOW_DATABASE_URL"], autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
    else:
        _write("ANALYZE")


def _rows(sql: _Sql, low: int, high: int, n: int) -> Iterator[str]:
    queue = sql.of([name_id(f"q{i}") for i in range(_QUEUES)])
    task = sql.of([name_id(f"t{i}") for i in range(_TASKS)])
    args = "'\\x4d92'" if sql.dialect == "postgres" else "x'4d92'"
    batch = f"CASE WHEN n % 10000 < 1000 THEN {_flow(sql)} END"
    family_ = "n % 1000 BETWEEN 1 AND 10"
    parent = f"CASE WHEN {family_} THEN {sql.id('(n - n % 1000)')} END"
    index = f"CASE WHEN {family_} THEN n % 1000 - 1 END"
    source = sql.numbers(low, high)
    yield (
        "INSERT INTO {jobs} (id, queue_id, task_id, created_at, priority, depth, workflow_id, "
        f"parent_id, spawn_index, args) SELECT {sql.id()}, {queue}, {task}, {sql.at()}, 2, 0, "
        f"{batch}, {parent}, {index}, {args} FROM {source}"
    )
    yield (
        "INSERT INTO {spawns} (parent_id, lease, requested, spawned, started_at, ended_at, handler)"
        f" SELECT {sql.id()}, 1, 10, 10, {sql.at(0.5)}, {sql.at(1.5)}, 'shop.spread' "
        f"FROM {source} WHERE n % 1000 = 0"
    )
    yield (
        "INSERT INTO {nodes} (workflow_id, job_id, position) "
        f"SELECT {_flow(sql)}, {sql.id()}, n % 10000 FROM {source} WHERE n % 10000 < 1000"
    )
    state = "CASE WHEN n % 50 = 7 THEN 5 WHEN n % 200 = 8 THEN 6 WHEN n % 200 = 9 THEN 7 ELSE 4 END"
    ended = source if high <= n else sql.numbers(low, max(low, n) + 1)
    if low < n:
        yield (
            "INSERT INTO {done} (job_id, started_at, finished_at, worker_id, lease, attempt, "
            f"state) SELECT {sql.id()}, {sql.at(0.5)}, {sql.at(1.5)}, n % 20, 1, 1, {state} "
            f"FROM {ended} WHERE n < {n}"
        )
        kind = sql.of(["'ValueError'", "'KeyError'", "'shop.errors.OutOfStock'"])  # type: ignore[list-item]
        yield (
            "INSERT INTO {errors} (job_id, lease, kind, attempt, at, type, message, trace) "
            f"SELECT {sql.id()}, 1, 'error', 1, {sql.at(1.5)}, {kind}, 'out of range', 'Traceback' "
            f"FROM {source} WHERE n % 50 = 7 AND n < {n}"
        )
    place = f"{queue}, 2, {sql.id()}, {task}"
    for table, columns, values, of in (
        ("ready", "lease, attempt", "0, 0", 0),
        ("leases", "lease, attempt, worker_id, started_at", f"1, 1, n % 20, {sql.at(1)}", 1),
        ("scheduled", "lease, attempt, run_at, why", f"0, 0, {sql.at(86_400 * 3)}, 'delay'", 2),
        ("waiting", "pending, failed, skipped, total, lease, rule", "1, 0, 0, 1, 0, 0", 3),
        ("parked", "lease, attempt, at, why, detail", f"0, 0, {sql.at()}, 'no_worker', ''", 4),
    ):
        if high > n:
            where = f"n % 20 = {of}" if of else "(n % 20 = 0 OR n % 20 > 4)"
            yield (
                f"INSERT INTO {{{table}}} (queue_id, priority_order, job_id, task_id, {columns}) "
                f"SELECT {place}, {values} FROM {source} WHERE n >= {n} AND {where}"
            )


def _flow(sql: _Sql) -> str:
    """The id of the batch of row n, which is no row's."""
    div = "DIV" if sql.dialect == "mysql" else "/"
    return sql.id(f"(n {div} 10000 * 10000 + 9999)")


def _write_few(sql: _Sql, n: int) -> None:
    """A workflow for each batch, workers, limits and schedules."""
    last = max(1, n // 10_000)
    flow = _flow(sql)
    _write(
        "INSERT INTO {workflows} (id, created_at, ended_at, failures, status, policy, collects, "
        f"flags, kind, name) SELECT {flow}, {sql.at()}, {sql.at(2)}, 20, 5, 0, 0, 0, 'batch', "
        f"'night' FROM (SELECT n * 10000 AS n FROM {sql.numbers(1, last + 1)}) f"
    )
    for number in range(20):
        app.store.workers.register(
            number, host=f"host{number}", pid=100 + number, info={"queues": []},
            tasks=[f"t{i}" for i in range(_TASKS)], queues=[],
        )  # fmt: skip
    for number in range(200):
        name, call = f"s{number}", app.signature(f"t{number % 50}")
        plain = app.schedules.definition(name, "@daily", call, {})
        app.store.schedules.create(name, plain, by="benchmark")


def _write(text: str) -> None:
    """Run one statement and commit it."""
    tables = app.store.database.dialect.macros

    def work(tx: Any) -> None:
        if app.store.dialect == "sqlite":
            _functions(tx.connection)
        placed = _placed(text)
        for name, value in tables.items():
            placed = placed.replace(f"{{{name}}}", value)
        tx.connection.cursor().execute(placed)

    app.store.database.unit(work)


ALL = {"views": views}
