"""Modules that each process of a worker imports before all else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.kit import Shop, until

_PRELOADED = """
import os, sys
with open("preloaded", "a") as file:
    file.write(f"{os.getpid()} {'preload_app' in sys.modules}\\n")
"""
_APP = "from hammerflow import Hammerflow\napp = Hammerflow('shop')\n"


def test_the_supervisor_and_each_fork_server_import_it_before_the_app(
    sqlite_shop: Shop, tmp_path: Path
) -> None:
    (tmp_path / "instruments.py").write_text(_PRELOADED)
    (tmp_path / "preload_app.py").write_text(_APP)

    def lines() -> list[list[str]]:
        return [line.split() for line in (tmp_path / "preloaded").read_text().splitlines()]

    with sqlite_shop.worker(
        app="preload_app:app", folder=tmp_path, preload=" instruments, ,json"
    ) as worker:
        assert len(lines()) == 2
        worker.signal(signal.SIGHUP)  # a fresh fork server
        until("it is imported again", lambda: len(lines()) == 3)

        (first, *_), *others = lines()
        assert first == str(worker.pid)
        assert len({first, *(pid for pid, _ in others)}) == 3
        assert {seen for _, seen in lines()} == {"False"}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (None, "HAMMERFLOW_PRELOAD: there is no module instruments"),
        ("1 / 0", "HAMMERFLOW_PRELOAD: importing instruments failed with ZeroDivisionError"),
        ("import sys; sys.exit(3)", "instruments failed with SystemExit: 3"),
        ("import nothing_of_the_kind", "failed with ModuleNotFoundError"),
        (
            "import hammerflow.testing.failpoints",
            "HAMMERFLOW_FAILPOINTS must be an existing folder",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_sentence(
    tmp_path: Path, code: str | None, said: str
) -> None:
    (tmp_path / "preload_app.py").write_text(_APP)
    if code is not None:
        (tmp_path / "instruments.py").write_text(code)
    settings = {"PRELOAD": "instruments", "FAILPOINTS": str(tmp_path / "none")}

    run = subprocess.run(
        [sys.executable, "-m", "hammerflow", "-A", "preload_app:app", "worker"],
        cwd=tmp_path,
        env={
            **os.environ,
            **{f"HAMMERFLOW_{name}": value for name, value in settings.items()},
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert run.returncode in (1, 2)
    assert said in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
