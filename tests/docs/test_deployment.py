"""Recipes of the deployment page: supervisord as it is, a container imitated by namespaces."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hammerflow import Hammerflow, Result
from tests.docs.pages import PAGES, blocks_of
from tests.support.waiting import until

Begun = tuple[dict[str, str], Result[object]]
ROOT = Path(__file__).parents[2]
_PAGE = next(page for page in PAGES if page.name == "deployment.md")
_CODE = """
import pathlib, time
from hammerflow import Hammerflow
app = Hammerflow("shop")

@app.task(name="waits")
def waits(folder):
    pathlib.Path(folder, "begun").touch()
    while not pathlib.Path(folder, "gate").exists():
        time.sleep(0.01)
"""


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Begun]:
    """A project in the folder of the test with a job to run, and its worker's environment."""
    folder = tmp_path
    (folder / "shop").mkdir()
    (folder / "shop" / "worker.py").write_text(_CODE)
    url = f"sqlite:///{folder}/jobs.db"
    client = Hammerflow("shop", database=url)
    job = client.enqueue(client.signature("waits", [str(folder)]))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    modules = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": modules, "PATH": path, "HAMMERFLOW_POLL": "0.2"}
    yield {**env, "HAMMERFLOW_DATABASE_URL": url}, job
    client.close()


def _log(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("supervisord") is None, reason="supervisord is not installed")
def test_supervisord_stops_the_worker_once_its_job_has_ended(tmp_path: Path, begun: Begun) -> None:
    env, job = begun
    text = next(block.text for block in blocks_of(_PAGE) if "[program:" in block.text)
    recipe = configparser.ConfigParser(interpolation=None)
    recipe.read_string(text)
    program = recipe["program:shop-worker"]
    words = [sys.executable, "-m", *shlex.split(program["command"])]
    program.update(
        command=shlex.join(words), directory=str(tmp_path), stdout_logfile=str(tmp_path / "log")
    )
    recipe["supervisord"] = {"nodaemon": "true", "pidfile": str(tmp_path / "pid")}
    with (tmp_path / "supervisord.conf").open("w") as file:
        recipe.write(file)
    with subprocess.Popen(
        ["supervisord", "-c", str(tmp_path / "supervisord.conf")],
        cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
    ) as supervisord:  # fmt: skip
        until("the job runs", (tmp_path / "begun").exists, timeout=30)
        supervisord.send_signal(signal.SIGTERM)
        until("the worker drains", lambda: "draining: 1 job still runs" in _log(tmp_path))
        (tmp_path / "gate").touch()
        supervisord.wait(30)

    assert "worker stopped" in _log(tmp_path)
    assert (job.state, job.job().attempt) == ("completed", 1)


_TRIAL = ["unshare", "--pid", "--mount", "--fork", "true"]
_CAN_UNSHARE = (
    os.getuid() == 0 and subprocess.run(_TRIAL, check=False, capture_output=True).returncode == 0
)


@pytest.mark.skipif(not _CAN_UNSHARE, reason="needs root and namespaces")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_container_with_a_read_only_root_drains(
    tmp_path: Path, begun: Begun, number: signal.Signals
) -> None:
    env, job = begun
    (tmp_path / "shop" / "__init__.py").touch()
    inner = (
        f"mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro / && cd {tmp_path} && "
        f"exec {sys.executable} -m hammerflow -A shop.worker:app worker -c 1 --grace 30 "
        f">{tmp_path}/log 2>&1"
    )
    command = ["unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
    with subprocess.Popen([*command, "sh", "-c", inner], env=env) as container:
        until("the job runs", (tmp_path / "begun").exists, timeout=30)
        children = Path(f"/proc/{container.pid}/task/{container.pid}/children")
        os.kill(int(children.read_text().split()[0]), number)
        until("the worker drains", lambda: "draining: 1 job still runs" in _log(tmp_path))
        (tmp_path / "gate").touch()
        assert container.wait(30) == 0, _log(tmp_path)

    assert (job.state, job.job().attempt) == ("completed", 1)
