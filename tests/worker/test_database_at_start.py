"""A worker that starts or ends while its database is down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hammerflow.settings import Settings
from hammerflow.stores import open_store
from tests.support.servers import MariaDB, Postgres
from tests.support.waiting import until

APP = "from hammerflow import Hammerflow\napp = Hammerflow('late')\n@app.task\ndef f(): ...\n"

_STARTED: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    """Kill what a test that failed has left."""
    yield
    while _STARTED:
        process = _STARTED.pop()
        process.kill()
        process.wait()


class Started:
    """A worker of its own process, and its log."""

    def __init__(self, folder: Path, url: str, *options: str) -> None:
        (folder / "late.py").write_text(APP)
        self._path = folder / f"log{len(list(folder.iterdir()))}"
        command = [sys.executable, "-m", "hammerflow", "-A", "late:app", "worker", "-c", "1"]
        environ = {
            **os.environ,
            "PYTHONPATH": f"{Path(__file__).parents[2]}:{folder}",
            "HAMMERFLOW_DATABASE_URL": url,
        }
        with self._path.open("w") as log:
            self.process = subprocess.Popen(
                [*command, *options], cwd=folder, env=environ, stderr=log, stdin=subprocess.DEVNULL
            )
        _STARTED.append(self.process)

    @property
    def log(self) -> str:
        return self._path.read_text()

    def wait_for(self, text: str) -> None:
        """Until it has logged the text."""
        until(text, lambda: text in self.log or self.process.poll() is not None, 60)
        assert text in self.log

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.mark.parametrize("kind", [Postgres, MariaDB])
def test_a_worker_waits_for_its_database(kind: type[Postgres | MariaDB], tmp_path: Path) -> None:
    with kind() as server:
        url = server.create_database("late")
        store = open_store(Settings(database=url))
        store.schema.migrate()
        store.close()
        server.stop()
        patient, stopped = Started(tmp_path, url), Started(tmp_path, url)
        bounded = Started(tmp_path, url, "--wait-for-database", "3")
        impatient = Started(tmp_path, url, "--wait-for-database", "0", "--burst")

        assert (bounded.process.wait(60), impatient.process.wait(60)) == (1, 1)
        assert bounded.log.count("the database is down, waiting") == 1
        assert bounded.log.count("cannot be used") == 2
        assert impatient.log.count("cannot be used") == 1 and "waiting" not in impatient.log
        stopped.wait_for("the database is down, waiting until it is back")
        assert stopped.end() == 0
        patient.wait_for("the database is down, waiting until it is back")
        server.start()
        patient.wait_for("worker started")
        assert patient.log.count("the database is down") == 1
        assert patient.log.count("the database is back after") == 1
        assert patient.end() == 0
        assert patient.log.count("drained: released 0 leases") == 1
        left = Started(tmp_path, url)
        left.wait_for("worker started")
        server.stop()
        assert left.end() == 1
        assert left.log.count("could not deregister") == 1 and "drained" not in left.log
        logs = patient.log + stopped.log + bounded.log + impatient.log + left.log
        assert "Traceback" not in logs


def test_a_file_that_cannot_be_opened_is_not_waited_for(tmp_path: Path) -> None:
    started = Started(tmp_path, "sqlite:////proc/none.db")

    assert started.process.wait(60) == 1
    assert started.log.count("cannot be used") == 1 and "waiting" not in started.log
