"""The demo's stage: a database, tables of its own, a real supervisor; and nothing left of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hammerflow.errors import HammerflowError
from hammerflow.settings import parse_url

if TYPE_CHECKING:
    from hammerflow.app import Hammerflow

__all__ = ["DemoEnvironment", "WorkerDied", "set_up"]

_APP = "hammerflow.cli.demo.app:app"
_GRACE = 2.0  # for the jobs of a demo that is interrupted
_DRAIN = 10.0  # for its worker
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class WorkerDied(HammerflowError):
    """The demo's supervisor ended by itself; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class DemoEnvironment:
    """Where the demo plays."""

    app: Hammerflow
    worker: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """See that the supervisor lives.

        Raises:
            WorkerDied: it does not.
        """
        code = self.worker.poll()
        if code is not None:
            raise WorkerDied(f"the worker ended with exit code {code}; its log ends:\n{self.tail}")

    @property
    def tail(self) -> str:
        """The last lines of the supervisor's log."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return "\n".join(lines[-15:])


@contextlib.contextmanager
def set_up(*, database: str | None, redis: str | None, children: int) -> Iterator[DemoEnvironment]:
    """Make everything, and take it away at the end, however that comes.

    Args:
        database: URL; a SQLite file in a temporary folder when None.
        redis: URL of a doorbell, if any.
        children: of the supervisor.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_interrupting())
        folder = Path(tempfile.mkdtemp(prefix="hammerflow-demo-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = _absolute(database or f"sqlite:///{folder / 'demo.db'}")
        stack.enter_context(_file_kept_as_it_was(url))
        stack.enter_context(_environment(_settings(folder, url, redis)))
        stack.enter_context(contextlib.chdir(folder))  # no hammerflow.toml of the user's
        app = _app()
        stack.callback(_tear_down, app)
        app.migrate()
        log = folder / "worker.log"
        worker = _start(children, log)
        stack.callback(_stop, worker)
        stack.push(_unmoved)
        yield DemoEnvironment(app, worker, log)


def _settings(folder: Path, database: str, redis: str | None) -> dict[str, str]:
    own = f"hf_demo_{os.urandom(4).hex()}_"
    given = {
        "HAMMERFLOW_DATABASE_URL": database,
        "HAMMERFLOW_REDIS_URL": redis or "",
        "HAMMERFLOW_PREFIX": own,
        "HAMMERFLOW_NAMESPACE": own,
        "XDG_RUNTIME_DIR": str(folder),  # where a doorbell on this host keeps its sockets
        "PYTHONPATH": _python_path(),
    }
    return {name: value for name, value in given.items() if value}


def _python_path() -> str:
    """Where a worker in another folder finds this package, should it not be installed."""
    place = str(Path(__file__).parents[3])
    given = os.environ.get("PYTHONPATH", "")
    if place in site.getsitepackages() or place in given.split(os.pathsep):
        return given
    return os.pathsep.join(part for part in (place, given) if part)


def _absolute(url: str) -> str:
    parsed = parse_url(url)
    if parsed.dialect != "sqlite":
        return url
    return f"sqlite:///{quote(str(Path(parsed.database).absolute()))}"


@contextlib.contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """These settings and no others of hammerflow's, for this process and the worker."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("HAMMERFLOW_")]:
        del os.environ[name]
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _file_kept_as_it_was(database: str) -> Iterator[None]:
    """A SQLite file that was not there before goes away again."""
    parsed = parse_url(database)
    path = Path(parsed.database)
    is_new = parsed.dialect == "sqlite" and not path.exists()
    yield
    for end in ("", "-wal", "-shm") if is_new else ():
        path.with_name(path.name + end).unlink(missing_ok=True)


@contextlib.contextmanager
def _interrupting() -> Iterator[None]:
    """Every signal that asks to end comes as KeyboardInterrupt, so that all is cleaned up."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unmoved(*_: object) -> None:
    """From here on it is cleaned up, and no impatient Ctrl-C cuts that short."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _app() -> Hammerflow:
    from hammerflow.cli.demo.app import app  # now that its settings are in the environment

    return app


def _start(children: int, log: Path) -> subprocess.Popen[bytes]:
    hammerflow = [sys.executable, "-m", "hammerflow"]
    options = ["-c", str(children), "--grace", f"{_GRACE:g}"]
    with log.open("wb") as out:
        return subprocess.Popen(
            [*hammerflow, "-A", _APP, "worker", *options],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo, which then ends the worker
        )


def _stop(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.wait(_DRAIN)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)  # what may be left of it
    worker.wait()


def _tear_down(app: Hammerflow) -> None:
    app.store.schema.drop()
    app.close()
