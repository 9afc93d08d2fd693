"""The demo's environment: a database, tables of its own and a real worker, removed at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from hammerflow.errors import HammerflowError
from hammerflow.settings import parse_url

if TYPE_CHECKING:
    from hammerflow.app import Hammerflow

__all__ = ["APP", "DemoEnvironment", "demo_environment"]

#: The app of the demo, as its processes name it.
APP = "hammerflow.cli.demo.app:app"
_GRACE = 2.0  # seconds that running jobs have to end when the demo is interrupted
_STOP_TIMEOUT = 10.0  # seconds until the worker is killed
_LOG_LINES = 15  # that an error shows


@dataclass(frozen=True, slots=True)
class DemoEnvironment:
    """The app, the supervisor's process, its log file, and the signals that ask to end.

    Attributes:
        stack: what is done at the end, the last thing first.
    """

    app: Hammerflow
    worker: subprocess.Popen[bytes]
    log: Path
    signals: Sequence[int]
    stack: contextlib.ExitStack
    _others: list[tuple[subprocess.Popen[bytes], Path]] = field(default_factory=list)

    def add(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Have another process end with the demo, and the demo with it."""
        self._others.append((process, log))
        self.stack.callback(_stop, process)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has asked to end, HammerflowError if a process has
        ended; called several times a second."""
        if self.signals:
            raise KeyboardInterrupt
        for process, log in self._others:
            if (code := process.poll()) is not None:
                raise HammerflowError(f"the dashboard ended with exit code {code}: {_tail(log)}")
        if (code := self.worker.poll()) is not None:
            raise HammerflowError(
                f"the worker ended with exit code {code}; its log ends:\n{self.tail}"
            )

    @property
    def tail(self) -> str:
        """The last lines of the worker's log."""
        return _tail(self.log)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:])


@contextlib.contextmanager
def demo_environment(
    *, database: str | None, redis: str | None, children: int
) -> Iterator[DemoEnvironment]:
    """Make everything, and remove it at the end, also when a signal ends the demo early.

    Without the URL of a database it is a SQLite file in a temporary folder.
    """
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(_noted_signals())
        folder = Path(tempfile.mkdtemp(prefix="hammerflow-demo-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = _own_file(database or f"sqlite:///{folder / 'demo.db'}", stack)
        stack.enter_context(_environment(_settings(folder, url, redis)))
        stack.enter_context(contextlib.chdir(folder))  # away from the user's hammerflow.toml
        from hammerflow.cli.demo.app import app  # reads the settings from the environment

        stack.callback(app.close)
        stack.callback(lambda: app.store.schema.drop())  # noqa: PLW0108 - opened once migrated
        app.migrate()
        log = folder / "worker.log"
        worker = _start(children, log)
        stack.callback(_stop, worker)
        yield DemoEnvironment(app, worker, log, signals, stack)


def _settings(folder: Path, database: str, redis: str | None) -> dict[str, str]:
    own = f"hf_demo_{os.urandom(4).hex()}_"
    given = {
        "HAMMERFLOW_DATABASE_URL": database,
        "HAMMERFLOW_REDIS_URL": redis or "",
        "HAMMERFLOW_DOORBELL": "redis" if redis else "local",  # its worker is on this host
        "HAMMERFLOW_PREFIX": own,
        "HAMMERFLOW_NAMESPACE": own,
        "XDG_RUNTIME_DIR": str(folder),  # for the sockets of the local doorbell
        "PYTHONPATH": _python_path(),
    }
    return {name: value for name, value in given.items() if value}


def _python_path() -> str:
    """The path on which a worker in another folder finds this package if it is not installed."""
    place, given = str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")
    is_found = place in site.getsitepackages()
    return given if is_found else os.pathsep.join(filter(None, (place, given)))


def _own_file(database: str, stack: contextlib.ExitStack) -> str:
    """The URL with an absolute path; a SQLite file that does not exist yet goes at the end."""
    parsed = parse_url(database)
    if parsed.dialect != "sqlite":
        return database
    path = Path(parsed.database).absolute()
    for end in ("", "-wal", "-shm") if not path.exists() else ():
        stack.callback(path.with_name(path.name + end).unlink, missing_ok=True)
    return f"sqlite:///{quote(str(path))}"


@contextlib.contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Give this process and the worker these settings of hammerflow's and no others."""
    before = dict(os.environ)
    kept = {name: value for name, value in before.items() if not name.startswith("HAMMERFLOW_")}
    try:
        os.environ.clear()
        os.environ.update(kept | settings)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _noted_signals() -> Iterator[Sequence[int]]:
    """Note the signals that ask to end; ``DemoEnvironment.check`` raises where that is safe.

    A handler that raises would raise anywhere: in the set-up or clean-up, which must be whole; in
    a callback, where Python drops the exception; in the import of a dataclass, after which Python
    ends the process by SIGINT although the exception was caught.
    """
    noted: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: noted.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield noted
    finally:
        if not noted:  # else the process is about to end: a second signal must not cut that short
            for number, handler in before.items():
                signal.signal(number, handler)


def _start(children: int, log: Path) -> subprocess.Popen[bytes]:
    options = ["-c", str(children), "--grace", f"{_GRACE:g}"]
    command = [sys.executable, "-m", "hammerflow", "-A", APP, "worker", *options]
    with log.open("wb") as out:  # Ctrl-C reaches only the demo, which then ends the worker
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )


def _stop(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.wait(_STOP_TIMEOUT)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)  # children that may be left
    worker.wait()
