"""Hosts that are not as expected: names in Latin-1, flags of Python, paths made at run time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipapp
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.kit import Shop

_ROOT = Path(__file__).parents[2]
_CODE = """
import os, sys
from hammerflow import Hammerflow

app = Hammerflow("host")

@app.task
def shows():
    return [sys.flags.optimize, sys.flags.dev_mode, sys.flags.isolated, sys.warnoptions, sys.argv]
"""


#: Python 3.12.0 to 3.12.3 warn of the numbered ?1 of SQLite (gh-117995).
_PATIENT = ["-W", "ignore:Binding:DeprecationWarning"]


def _run(shop: Shop, folder: Path, command: list[str], **env: str) -> Any:
    """The result of the job, run by this command, and what it wrote."""
    (folder / "host_app.py").write_text(_CODE)
    job = shop.client.enqueue(shop.client.signature("host_app.shows"))
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    settings = {"HAMMERFLOW_DATABASE_URL": shop.url, "HAMMERFLOW_POLL": "0.2"}
    run = subprocess.run(
        [*command, "-A", "host_app:app", "worker", "--burst", "-c", "1"],
        cwd=folder, env={**inherited, **settings, **env}, check=False, timeout=60,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    return job.get(timeout=1), run.stdout


@pytest.mark.parametrize(
    ("flags", "seen"),
    [(["-O", "-X", "dev", "-W", "error", *_PATIENT], [1, True, 0]), (["-I"], [0, False, 1])],
)
def test_flags_and_arguments_of_the_command_reach_the_bodies(
    sqlite_shop: Shop, tmp_path: Path, flags: list[str], seen: list[Any]
) -> None:
    code = f"import sys; sys.path[:0] = [{str(_ROOT)!r}]; from hammerflow.cli import main; main()"

    shown, log = _run(sqlite_shop, tmp_path, [sys.executable, *flags, "-c", code])

    assert shown[:3] == seen
    assert ("error" in shown[3]) == ("-W" in flags)
    assert shown[4] == ["-c", "-A", "host_app:app", "worker", "--burst", "-c", "1"]
    assert "Traceback" not in log


def test_a_worker_runs_from_a_zip_file(sqlite_shop: Shop, tmp_path: Path) -> None:
    source = tmp_path / "source"
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_ROOT / "hammerflow", source / "hammerflow", ignore=unwanted)
    (source / "__main__.py").write_text("from hammerflow.cli import main\nmain()\n")
    zipapp.create_archive(source, tmp_path / "worker.pyz")
    shutil.rmtree(source)

    shown, _ = _run(sqlite_shop, tmp_path, [sys.executable, str(tmp_path / "worker.pyz")])

    assert shown[4][0].endswith("worker.pyz")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can name a host")
@pytest.mark.parametrize("name", [b"m\xfcller", b""])
def test_a_host_may_have_any_name(sqlite_shop: Shop, tmp_path: Path, name: bytes) -> None:
    code = (
        f"import socket, os, sys; socket.sethostname({name!r}); "
        "os.execv(sys.executable, [sys.executable, '-m', 'hammerflow', *sys.argv[1:]])"
    )
    command = ["unshare", "--uts", sys.executable, "-c", code]

    _run(sqlite_shop, tmp_path, command, PYTHONPATH=str(_ROOT))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_user_without_an_entry_or_a_home_runs_jobs(sqlite_shop: Shop, tmp_path: Path) -> None:
    rights = "+dac_override,+dac_read_search"  # the interpreter may be in a folder of root
    command = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
    command += [f"--inh-caps={rights}", f"--ambient-caps={rights}", "env", "-u", "HOME"]
    command += [sys.executable, "-m", "hammerflow"]

    _run(sqlite_shop, tmp_path, command, PYTHONPATH=str(_ROOT), TMPDIR="/nowhere")
