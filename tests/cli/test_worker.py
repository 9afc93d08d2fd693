"""``hammerflow worker`` and the commands around it, end to end with real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hammerflow import Hammerflow, JobState, Workflow
from tests.cli.conftest import HAMMERFLOW, Run, environment
from tests.support.waiting import until

APP = '''
"""An app whose jobs end, fail, or go on until they are stopped."""
import pathlib, time
from hammerflow import Hammerflow, constant

app = Hammerflow("site")

@app.task
def add(x: int, y: int) -> int:
    return x + y

@app.task(max_attempts=2, backoff=constant(0))
def once_broken(path: str) -> str:
    if not pathlib.Path(path).exists():
        raise FileNotFoundError(path)
    return "mended"

@app.task
def endless(path: str) -> None:
    pathlib.Path(path).touch()
    while True:
        time.sleep(0.01)
'''


@pytest.fixture
def site(folder: Path, migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hammerflow]:
    """The app on each database, as the command line and its worker find it."""
    (folder / "site_app.py").write_text(APP)
    monkeypatch.setenv("HAMMERFLOW_DATABASE_URL", migrated_url)
    monkeypatch.setenv("HAMMERFLOW_APP", "site_app:app")
    names = {"__name__": "site_app"}
    exec(compile(APP, "site_app.py", "exec"), names)
    app: Hammerflow = names["app"]  # type: ignore[assignment]
    yield app
    app.close()


#: The command line; a shell may have started the tests in the background, where SIGINT is ignored.
INTERRUPTIBLE = """
import signal
from hammerflow.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def worker() -> Iterator[Start]:
    """Start a worker in the project's folder."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = [*HAMMERFLOW, "worker", *options]
        process = subprocess.Popen(command, text=True, stderr=subprocess.PIPE, env=environment())
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def test_a_burst_runs_what_is_there(run: Run, site: Hammerflow, worker: Start) -> None:
    ids = [run("job", "enqueue", "site_app.add", "--args", f"[1, {n}]").out for n in range(5)]

    process = worker("--burst", "-c", "2", "-Q", "default:2,other")
    _, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    results = [site.result(text.strip()).get(timeout=0) for text in ids]
    assert results == [1, 2, 3, 4, 5]


def test_enqueue_can_wait_for_the_result(run: Run, site: Hammerflow, worker: Start) -> None:
    process = worker("-c", "1")

    ended = run("job", "enqueue", "site_app.add", "--args", "[2, 3]", "--wait", "60")
    args = ("job", "enqueue", "site_app.add", "--args", "[2, 4]", "--wait", "60", "--json")
    as_json = run(*args).json
    checked = run("doctor", "--json")

    assert as_json["result"] == 6
    assert as_json == run("job", "show", as_json["id"], "--json").json
    assert (ended.code, ended.out) == (0, "5\n")
    assert site.result(ended.err.strip()).state is JobState.COMPLETED
    workers = [check for check in checked.json["checks"] if check["name"] == "workers"]
    assert [check["status"] for check in workers] == ["ok"]
    assert end(process)[0] == 0


def test_a_wait_that_is_interrupted_names_the_job(
    site: Hammerflow, worker: Start, tmp_path: Path
) -> None:
    worker("-c", "1")
    args = ("job", "enqueue", "site_app.endless", "--args", json.dumps([str(tmp_path / "began")]))
    command = [sys.executable, "-c", INTERRUPTIBLE, *args, "--wait", "60", "--json"]
    process = subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=environment())
    until("the job runs, so the command waits", (tmp_path / "began").exists)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    [job] = site.jobs()
    says = f"interrupted; the job goes on: hammerflow job show {job.id}"
    assert (process.returncode, out, json.loads(err)) == (130, "", {"error": says})


def test_a_watch_ends_with_its_reader(site: Hammerflow) -> None:
    workflow = site.enqueue(Workflow("slow").add(site.signature("site_app.add", [2, 3])))
    args = ("workflow", "status", str(workflow.id), "--watch", "--interval", "60")
    with subprocess.Popen([*HAMMERFLOW, *args], stdout=-1, stderr=-1, env=environment()) as watch:
        assert watch.stdout is not None and watch.stderr is not None
        assert watch.stdout.readline().startswith(b"slow  running")
        watch.stdout.close()

        assert watch.wait(timeout=20) == 1
        assert watch.stderr.read() == b""


def test_what_failed_is_shown_and_runs_again(
    run: Run, site: Hammerflow, worker: Start, tmp_path: Path
) -> None:
    path = tmp_path / "there"
    process = worker("-c", "1")
    result = site.tasks["site_app.once_broken"].delay(str(path))

    result.wait(timeout=60)
    (listed,) = run("job", "list", "--state", "failed", "--json").json
    shown = run("job", "show", result.id, "--json").json
    path.touch()
    retried = run("job", "retry", result.id)

    assert listed["id"] == shown["id"] == str(result.id)
    errors = [(error["attempt"], error["type"]) for error in shown["errors"]]
    assert errors == [(1, "builtins.FileNotFoundError"), (2, "builtins.FileNotFoundError")]
    assert retried.code == 0
    assert result.get(timeout=60) == "mended"
    assert end(process)[0] == 0


def test_cancel_stops_a_running_job(
    run: Run, site: Hammerflow, worker: Start, tmp_path: Path
) -> None:
    path = tmp_path / "begun"
    process = worker("-c", "1", "--log-format", "json")
    result = site.tasks["site_app.endless"].delay(str(path))
    while result.state is not JobState.RUNNING:
        assert process.poll() is None

    cancelled = run("job", "cancel", result.id, "--reason", "enough")

    assert "its worker was told" in cancelled.out
    assert result.wait(timeout=60) is JobState.CANCELLED
    assert result.job().reason == "enough"
    code, err = end(process)
    assert code == 0
    assert all("message" in json.loads(line) for line in err.splitlines())


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["-A", "nothing:app"], 1, "there is no module nothing"),
        (["-A", "broken:app"], 1, "ZeroDivisionError: division by zero"),
        (["-Q", "high:many"], 2, "name:weight"),
    ],
)
def test_a_worker_that_cannot_start_says_why(
    folder: Path,
    worker: Start,
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    code: int,
    words: str,
) -> None:
    (folder / "broken.py").write_text("1 / 0")
    monkeypatch.setenv("HAMMERFLOW_APP", "shop:app")

    process = worker(*args)
    _, err = process.communicate(timeout=60)

    assert process.returncode == code
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("kind", ["unmigrated", "unreachable"])
def test_a_worker_without_a_database_says_why(
    folder: Path, worker: Start, postgres_url: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    url = postgres_url if kind == "unmigrated" else "postgresql://nobody@127.0.0.1:1/x"
    monkeypatch.setenv("HAMMERFLOW_DATABASE_URL", url)
    monkeypatch.setenv("HAMMERFLOW_APP", "shop:app")

    process = worker("--wait-for-database", "0")
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert ("run hammerflow migrate" if kind == "unmigrated" else "cannot be used") in err
    assert "Traceback" not in err
