"""Workers as processes to break, and the invariants that hold whatever was broken."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any, Self

from hammerflow import Hammerflow, Job, Result, Signature
from tests.acceptance.ledger import Ledger
from tests.acceptance.rules import BURST, PACE, TURNS
from tests.stores.kit import Desk, as_bytes
from tests.support.waiting import until

__all__ = ["LEASE", "Shop", "Worker"]

LEASE = 3.0  # seconds; with SWEEP the time after which a silent worker's jobs are taken over
SWEEP = 0.5
POLL = 0.2
_ROOT = Path(__file__).parents[2]
_MODULE = "tests.acceptance.shop"
_LIMITED = """
    SELECT t.name, j.limit_key, d.started_at, d.finished_at
    FROM {done} d JOIN {jobs} j ON j.id = d.job_id JOIN {tasks} t ON t.id = j.task_id
    WHERE j.lane IS NOT NULL AND d.started_at IS NOT NULL"""
_SPAWNED = "SELECT parent_id, spawned FROM {spawns} WHERE error IS NULL"
_UNFINISHED = ("waiting", "scheduled", "ready", "leases")


class Shop:
    """A client of the app on one database, its ledger, and any number of workers.

    Args:
        through: the URL by which client and workers reach the database; the desk asks it directly.
    """

    def __init__(
        self, url: str, folder: Path, *, redis: str | None = None, through: str | None = None
    ) -> None:
        self.url = through or url
        self.folder = folder
        self.redis = redis
        self.ledger = Ledger(folder / "ledger")
        self.client = Hammerflow("shop", database=self.url, redis=redis, poll=POLL, lease=LEASE)
        self.desk = Desk(url)
        self.workers: list[Worker] = []

    def close(self) -> None:
        """End what still runs."""
        for worker in self.workers:
            worker.end()
        self.client.close()
        self.desk.close()

    # -- enqueueing

    def call(self, task: str, *args: Any, **options: Any) -> Signature:
        """A call of one of the shop's tasks."""
        return self.client.signature(f"{_MODULE}.{task}", args, **options)

    def send(self, task: str, *args: Any, **options: Any) -> Result[Any]:
        """A job."""
        return self.client.enqueue(self.call(task, *args, **options))

    def send_all(self, task: str, calls: Iterable[Sequence[Any]], **options: Any) -> list[Any]:
        """Many jobs, one for each tuple of arguments."""
        signatures = [self.call(task, *args, **options) for args in calls]
        return list(self.client.enqueue_many(signatures))

    def open(self, gate: str) -> None:
        """Let bodies go on that wait at this gate."""
        (self.folder / gate).touch()

    # -- workers

    def worker(
        self, *arguments: str, children: int | str = 2, wait: bool = True, **environment: Any
    ) -> Worker:
        """A worker, started and (unless told not to ``wait`` for that) registered.

        Args:
            arguments: of ``hammerflow worker``.
            environment: settings; ``app`` and ``folder`` of another app; a ``path`` that is
                imported from first; ``has_log_reader`` for a pipe in front of the log; an
                ``error`` whose traceback is expected in it.
        """
        worker = Worker(self, ["-c", str(children), *arguments], environment)
        self.workers.append(worker)
        if wait:
            worker.wait_for_log("worker started")
        return worker

    # -- seeing

    def job(self, result: Result[Any]) -> Job:
        return self.client.job(result.id)

    def kinds(self, result: Result[Any]) -> list[str]:
        """The kinds of a job's recorded errors, oldest first."""
        return [error.kind for error in self.job(result).errors]

    def wait_for_run(self, result: Result[Any], count: int = 1) -> Any:
        """The ``count``-th run of the job's body, begun."""
        runs = until(
            f"run {count} of {result}",
            lambda: found if len(found := self.ledger.runs(result.id.hex)) >= count else None,
        )
        return runs[count - 1]

    def wait_until_quiet(self, timeout: float = 30.0) -> None:
        """Until no job is left that is not final or parked."""
        until("quiet", lambda: not any(map(self.desk.count, _UNFINISHED)), timeout)

    # -- the invariants

    def check(
        self,
        acknowledged: Iterable[Result[Any]] = (),
        *,
        unknown: int = 0,
        may_overlap: bool = False,
        most_attempts: int = 1000,
    ) -> None:
        """What must be true of the database and the ledger once all is quiet.

        Args:
            acknowledged: what delay() has returned: it is there.
            unknown: how many enqueues ended in an error of the connection: 0 or 1 job each.
            may_overlap: a worker was stopped beyond its lease, so a body may run beside another.
        """
        desk = self.desk
        desk.check()  # I4, I24: one state each, and no orphan
        assert desk.damage() == {}
        for table in _UNFINISHED:  # I3, I16
            assert desk.count(table) == 0, f"{table} is not empty"
        self._check_origins({result.id.bytes for result in acknowledged}, unknown)
        self._check_attempts(most_attempts)
        self._check_leases()
        if not may_overlap:
            assert self.overlaps() == 0
        self._check_spawns()
        self.check_limits()

    def check_limits(self) -> None:
        """I13, I14: no more jobs of a key ran at a time, and none started more often, than their
        limits say; by the database's clock, of the attempt with which each job ended."""
        spans: dict[tuple[str, str], list[tuple[Any, Any]]] = {}
        for task, key, began, ended in self.desk.sql(_LIMITED):
            spans.setdefault((task, key), []).append((began, ended))
        for (name, key), jobs in spans.items():
            task = name.rpartition(".")[2]
            starts = sorted(began for began, _ in jobs)
            if task == "turn":
                ends = sorted(ended for _, ended in jobs)
                for number, began in enumerate(starts):
                    # SQLite's clock counts milliseconds: a job may begin in that of an end.
                    running = number + 1 - bisect.bisect_right(ends, began)
                    assert running <= TURNS, f"{running} of key {key} ran at {began}"
            for first, later in zip(starts, starts[BURST:], strict=False):
                gap = _seconds(later) - _seconds(first)
                assert task != "paced" or gap >= 1 / PACE - 1e-4, f"{BURST + 1} within {gap} s"

    def _check_origins(self, acknowledged: set[bytes], unknown: int) -> None:
        """I1, I2: all that was acknowledged is there, and nothing is invented."""
        roots = set(self.desk.ids("SELECT id FROM {jobs} WHERE parent_id IS NULL"))
        assert acknowledged <= roots, f"{len(acknowledged - roots)} acknowledged jobs are lost"
        if acknowledged:
            assert len(roots - acknowledged) <= unknown, "jobs of no origin"

    def _check_attempts(self, most: int) -> None:
        """I5: attempts without a gap, each but the last one with its error. One that ended with
        its process, beside others, was given back."""
        failed: dict[bytes, set[int]] = {}
        charged = "SELECT job_id, attempt FROM {errors} WHERE kind <> 'suspected'"
        for job_id, attempt in self.desk.sql(charged):
            failed.setdefault(as_bytes(job_id), set()).add(attempt)
        for job_id, attempt, state in self.desk.sql("SELECT job_id, attempt, state FROM {done}"):
            assert attempt <= most
            if state not in (4, 5):
                continue
            wanted = set(range(1, attempt + (state == 5)))
            assert failed.get(as_bytes(job_id), set()) == wanted, (
                f"job {as_bytes(job_id).hex()} ended in attempt {attempt} as {state}"
            )

    def _check_leases(self) -> None:
        """I6: what stands in ``done`` was written under the last lease whose body ran."""
        last: dict[str, int] = {}
        for run in self.ledger.runs():
            last[run.job] = max(last.get(run.job, 0), run.lease)
        for job_id, lease in self.desk.sql("SELECT job_id, lease FROM {done} WHERE state = 4"):
            job = as_bytes(job_id).hex()
            assert last.get(job, lease) == lease, f"job {job} was ended under lease {lease}"

    def overlaps(self) -> int:
        """I7: how many bodies began while another one of the same job ran, both to their end."""
        count = 0
        by_job: dict[str, list[Any]] = {}
        for run in self.ledger.runs():
            by_job.setdefault(run.job, []).append(run)
        for runs in by_job.values():
            for before, after in itertools.pairwise(runs):
                count += before.ended is not None and before.ended > after.began
        return count

    def _check_spawns(self) -> None:
        """I8: a completed spawner has children 0..k-1, each once; no other job has any."""
        children: dict[bytes, list[int]] = {}
        rows = "SELECT parent_id, spawn_index FROM {jobs} WHERE parent_id IS NOT NULL"
        for parent_id, index in self.desk.sql(rows):
            children.setdefault(as_bytes(parent_id), []).append(index)
        completed = set(self.desk.ids("SELECT job_id FROM {done} WHERE state = 4"))
        spawned = {as_bytes(parent_id): count for parent_id, count in self.desk.sql(_SPAWNED)}
        assert set(children) <= completed, "a parent that is not completed has children"
        assert set(spawned) <= completed
        for parent_id, indexes in children.items():
            count = spawned[parent_id]
            wanted = [list(range(count)), list(range(count + 1))]  # with a fan-in, one more
            assert sorted(indexes) in wanted, f"{len(indexes)} children of {count}"


class Worker:
    """``hammerflow worker`` in a session of its own.

    Attributes:
        log_reader: the process that copies a pipe into the log, if there is one between.
    """

    def __init__(self, shop: Shop, arguments: list[str], environment: dict[str, Any]) -> None:
        self.log_path = shop.folder / f"worker-{len(shop.workers)}.log"
        app = environment.pop("app", f"{_MODULE}:app")
        folder = environment.pop("folder", _ROOT)
        path = [str(environment.pop("path"))] if "path" in environment else []
        env = {key: value for key, value in os.environ.items() if not key.startswith("HAMMERFLOW")}
        if "failpoints" in environment:
            environment["preload"] = "hammerflow.testing.failpoints"
        has_log_reader = environment.pop("has_log_reader", False)
        self._expected_error = environment.pop("error", None)
        settings = {"lease": LEASE, "sweep": SWEEP, "poll": POLL, **environment}
        env |= {f"HAMMERFLOW_{key.upper()}": str(value) for key, value in settings.items()}
        env |= {"HAMMERFLOW_DATABASE_URL": shop.url, "SHOP_FOLDER": str(shop.folder)}
        env["PYTHONPATH"] = os.pathsep.join([*path, str(_ROOT)])
        if shop.redis is not None:
            env["HAMMERFLOW_REDIS_URL"] = shop.redis
        self.log_reader: subprocess.Popen[bytes] | None = None
        with open(self.log_path, "wb") as log, contextlib.ExitStack() as stack:
            out: Any = log
            if has_log_reader:
                self.log_reader = reader = subprocess.Popen(["cat"], stdin=PIPE, stdout=log)
                out = stack.enter_context(reader.stdin)  # type: ignore[arg-type]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hammerflow", "-A", app, "worker", *arguments],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self.process.poll() is None:
            assert self.stop() == 0, self.log
            assert not self.complaints(), self.log
        self.end()

    @property
    def pid(self) -> int:
        """Of the supervisor, and of the session."""
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_for_log(self, text: str, count: int = 1, timeout: float = 15.0) -> None:
        """Until the worker has logged this so often."""

        def is_there() -> bool:
            if self.process.poll() is not None and self.log.count(text) < count:
                raise AssertionError(f"the worker ended without saying {text!r}:\n{self.log}")
            return self.log.count(text) >= count

        try:
            until(f"{text!r} in the log", is_there, timeout)
        except AssertionError as error:
            error.add_note(self.log)
            raise

    def complaints(self) -> list[str]:
        """Tracebacks, which say that hammerflow itself has stumbled; each with the line before."""
        lines = self.log.splitlines()
        found = [
            "\n".join(lines[max(0, number - 1) : number + 30])
            for number, line in enumerate(lines)
            if line.lstrip().startswith("Traceback")
        ]
        expected = self._expected_error
        return [text for text in found if expected is None or expected not in text]

    def family(self) -> dict[int, int]:
        """pid to parent's pid of all living processes of this worker."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    state, parent, _, session = (
                        (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                    )
                    if int(session) == self.pid and state not in "ZX":
                        found[int(entry.name)] = int(parent)
        return found

    def states(self) -> set[str]:
        """Those of its processes, by the kernel's letters: T is stopped."""
        found = set()
        for pid in self.family():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{pid}/stat").read_text()
                found.add(stat.rpartition(")")[2].split()[0])
        return found

    def fork_servers(self) -> set[int]:
        """The supervisor's children."""
        return {pid for pid, parent in self.family().items() if parent == self.pid}

    def children(self) -> set[int]:
        """The processes that run jobs: the fork servers' children."""
        forkers = self.fork_servers()
        return {pid for pid, parent in self.family().items() if parent in forkers}

    def cpu(self) -> float:
        """Seconds of CPU time that the supervisor has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """kill -9 of the supervisor, and of it alone."""
        self.process.kill()
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """A signal to the supervisor."""
        self.process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP of the whole family."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal_all(signal.SIGCONT)

    def stop(self, timeout: float = 20.0) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(timeout)

    def end(self) -> None:
        """Whatever state it is in: nothing of it is left."""
        self._signal_all(signal.SIGKILL)
        self.process.wait(10)
        if self.log_reader is not None:
            self.log_reader.kill()
            self.log_reader.wait()

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _seconds(instant: Any) -> float:
    """A time of the database, of which SQLite has numbers."""
    return instant if isinstance(instant, float) else float(instant.timestamp())
