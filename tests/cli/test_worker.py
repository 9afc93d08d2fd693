"""``hammerflow worker`` and the commands around it, end to end with real processes."""

from __future__ import annotations

import json
import os
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
    assert "the queue other is new" in err and "queue default is new" not in err
    assert site.store.queues.names() == {"default"}
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


LATER = """
import pathlib, time
from hammerflow import Hammerflow, constant

app = Hammerflow("site", database="sqlite:///nowhere/else.db")

@app.task(max_attempts=3, backoff=constant(3))
def late(path: str) -> str:
    if not pathlib.Path(path).exists():
        pathlib.Path(path).touch()
        raise FileNotFoundError(path)
    return "mended"
"""


@pytest.fixture
def late(site: Hammerflow, folder: Path, tmp_path: Path) -> str:
    """The id of a job that succeeds at its second attempt, some seconds after the first; its app
    names another database in code."""
    (folder / "site_app.py").write_text(LATER)
    return str(site.enqueue(site.signature("site_app.late", (str(tmp_path / "tried"),))).id)


def test_a_burst_says_what_is_left(
    late: str, site: Hammerflow, worker: Start, folder: Path
) -> None:
    site.tasks["site_app.add"].delay(1, 2)  # this version of the app has no such task
    (folder / "site_app.py").write_text(LATER.replace("constant(3)", "constant(600)"))
    process = worker("--burst", "-c", "1", "--database", site.settings.database)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert site.result(late).state is JobState.SCHEDULED
    (line,) = [line for line in err.splitlines() if "left in the queues" in line]
    assert "1 scheduled (the next in" in line
    assert "1 ready" in line or "1 parked" in line  # without its task
    started = next(line for line in err.splitlines() if "worker started" in line)
    assert "database_from=--database" in started and started.endswith(" queues=all")


def test_a_burst_can_wait_until_nothing_is_left(
    late: str, site: Hammerflow, worker: Start, tmp_path: Path
) -> None:
    first = site.signature("site_app.late", (str(tmp_path / "other"),))
    after = (first | site.signature("site_app.late", (__file__,), immutable=True)).delay()
    site.signature("site_app.late", (__file__,), queue="paused").delay()
    site.store.queues.pause("paused")

    process = worker("--burst", "--until-empty", "-c", "1", "--database", site.settings.database)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert site.result(late).get(timeout=0) == after.get(timeout=0) == "mended"
    assert "waiting for what is left" in err and " scheduled (the next in" in err
    assert "left in the queues: 1 paused" in err


def test_each_source_of_the_database_is_named(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag wins over the app's code, that over the environment, the file and the default."""
    url = f"sqlite:///{tmp_path}/{{}}.db".format
    (folder / "plain_app.py").write_text("from hammerflow import Hammerflow\napp = Hammerflow('p')")
    code = f"from hammerflow import Hammerflow\napp = Hammerflow('c', database={url('code')!r})"
    (folder / "code_app.py").write_text(code)

    def source(*options: str) -> str:
        found = run("doctor", "--json", *options).json
        return f"{found['database'].rpartition('/')[2]} {found['database_from']}"

    assert source() == source("-A", "plain_app:app") == "hammerflow.db default"
    (folder / "hammerflow.toml").write_text(f"database = {url('file')!r}")
    sys.modules.pop("plain_app")
    assert source() == source("-A", "plain_app:app") == "file.db hammerflow.toml"
    monkeypatch.setenv("HAMMERFLOW_DATABASE_URL", url("env"))
    sys.modules.pop("plain_app")
    assert source() == source("-A", "plain_app") == "env.db $HAMMERFLOW_DATABASE_URL"
    assert source("-A", "code_app") == "code.db Hammerflow(database=...)"
    assert source("--database", url("flag")) == "flag.db --database"
    assert source("-A", "code_app", "--database", url("flag")) == "flag.db --database"
    monkeypatch.setenv("HAMMERFLOW_APP", "code_app")
    assert source("--database", url("flag")) == "flag.db --database"


@pytest.mark.parametrize("app", [[], ["-A", "bare_app"]])
def test_settings_are_checked_against_the_database_of_the_command(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str,
    app: list[str],
) -> None:  # fmt: skip
    (folder / "bare_app.py").write_text("from hammerflow import Hammerflow\napp = Hammerflow('b')")
    monkeypatch.setenv("HAMMERFLOW_DOORBELL", "postgres")
    monkeypatch.setenv("HAMMERFLOW_DATABASE", f"sqlite:///{tmp_path}/other.db")
    before = dict(os.environ)

    found = run("--database", postgres_url, *app, "doctor", "--json").json

    assert found["database_from"] == "--database"
    assert {"LISTEN: heard" in c["says"] for c in found["checks"] if c["name"] == "doorbell"} == {
        True
    }
    assert dict(os.environ) == before


def test_a_probe_fails_without_a_worker(run: Run, embedded_shop: Hammerflow) -> None:
    served = run("doctor", "--probe", "--json")
    embedded_shop.store.workers.leave(7)

    plain, probe = run("doctor", "--json"), run("doctor", "--probe", "--json")
    text = run("doctor", "--probe")

    assert (plain.code, plain.json["ok"], plain.json["is_served"]) == (0, True, False)
    assert (probe.code, probe.json["ok"], text.code) == (1, False, 1)
    assert "no worker is alive, and --probe was given" in text.out
    assert (served.code, served.json["is_served"]) == (0, True)


RELEASE = """
from shared_tasks import VERSION
from hammerflow import Hammerflow
app = Hammerflow("site")

@app.task
def version() -> str:
    return f"{VERSION} {NAME}"
"""


def test_a_reload_follows_the_link_and_the_files(
    site: Hammerflow, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Releases behind a link, and a module of the app on PYTHONPATH, outside of the folder."""
    path, current = tmp_path / "library", tmp_path / "current"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "release.py").write_text(f"NAME = {name!r}\n{RELEASE}")
    path.mkdir()
    (path / "shared_tasks.py").write_text("VERSION = 1")
    current.symlink_to("one")
    env = environment() | {"PWD": str(current)}
    env |= {"PYTHONPATH": f"{path}:{env['PYTHONPATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*HAMMERFLOW, "-A", "release:app", "worker", "-c", "1", "--reload"]
    log = tmp_path / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(command, cwd=current, env=env, stderr=stderr)

    def answers(wanted: str) -> None:
        def answer() -> bool:
            return bool(site.signature("release.version").delay().get(timeout=60) == wanted)

        until(f"the worker answers {wanted}", answer, 60)

    try:
        answers("1 one")
        (path / "shared_tasks.py").write_text("VERSION = 2")
        answers("2 one")
        current.unlink()
        process.send_signal(signal.SIGHUP)  # in the middle of a deploy
        says = "the app cannot be loaded: the working directory"
        until("the reload fails", lambda: says in log.read_text(), 60)
        answers("2 one")
        current.symlink_to("two")
        process.send_signal(signal.SIGHUP)
        answers("2 two")
    finally:
        process.terminate()
        assert process.wait(60) == 0
