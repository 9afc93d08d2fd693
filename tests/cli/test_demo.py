"""``hammerflow demo``: it counts right, on each database, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import httpx
import pytest

from hammerflow import HammerflowError
from hammerflow.cli.demo import compare
from hammerflow.cli.demo.dashboard import open_in_browser
from hammerflow.cli.demo.line_count import LineCount
from tests.cli.conftest import HAMMERFLOW, Run, environment
from tests.cli.test_line_count import library
from tests.cli.test_migrate import tables


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the demo puts its temporary folder."""
    place = tmp_path / "temporary"
    place.mkdir()
    return place


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """The demo over a few files."""
    root = tmp_path / "library"
    root.mkdir()
    library(root)
    (root / "more").mkdir()
    for number in range(30):
        (root / "more" / f"module_{number}.py").write_text("import os\n" * number)
    return [*HAMMERFLOW, "demo", "--folder", str(root)]


def start(command: list[str], temporary: Path) -> subprocess.Popen[str]:
    """The demo as a process, in a project whose settings must not matter to it."""
    (temporary.parent / "hammerflow.toml").write_text('schema = "elsewhere"\n')
    env = {
        **environment(),
        "TMPDIR": str(temporary),
        "HAMMERFLOW_DATABASE_URL": "mysql://nobody@127.0.0.1:1/nothing",
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        command, cwd=temporary.parent, env=env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.fixture
def interrupted(command: list[str], temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo that has begun to count."""
    process = start(command, temporary)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_it_counts_and_measures(command: list[str], temporary: Path) -> None:
    process = start(command, temporary)
    out, err = process.communicate(timeout=100)

    assert (process.returncode, err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert rows["many"] == ["3", "12", "2", "1", "4"]
    assert rows["all"][0] == "34"
    assert "one process counted the same directly" in out
    assert re.search(r"2,000 empty jobs in [0-9.]+ s \([0-9,]+ jobs/s\)", out)
    assert re.search(r"start latency +p50 [0-9.]+ ms, p99 [0-9.]+ ms over 50 calls", out)
    assert list(temporary.iterdir()) == []


def test_it_leaves_a_servers_own_tables_alone(
    command: list[str], temporary: Path, migrated_url: str, redis_url: str
) -> None:
    before = tables(migrated_url)
    doorbell = ["--redis", redis_url] if migrated_url.startswith("postgres") else []

    process = start(
        [*command, "--database", migrated_url, *doorbell, "--children", "1", "--json"], temporary
    )
    out, err = process.communicate(timeout=100)

    assert (process.returncode, err) == (0, "")
    found = json.loads(out)
    assert found["ok"] is True
    assert found["counted"]["lines"]["packages"]["one"] == [1, 11, 2, 1, 4]
    assert len(found["measured"]["latencies"]) == 50
    assert median(found["measured"]["latencies"]) < 0.5, "without a doorbell it is a second"
    assert tables(migrated_url) == before
    assert list(temporary.iterdir()) == []


def test_a_sqlite_file_that_was_not_there_goes_away(
    command: list[str], temporary: Path, sqlite_url: str
) -> None:
    process = start([*command, "--database", sqlite_url], temporary)
    out, err = process.communicate(timeout=100)

    assert (process.returncode, err) == (0, "")
    assert sqlite_url in out
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    assert list(path.parent.glob(f"{path.name}*")) == []


@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]],
)
def test_interrupted_it_cleans_up(
    interrupted: subprocess.Popen[str], temporary: Path, numbers: list[signal.Signals]
) -> None:
    worker = _worker_pid(interrupted)

    for number in numbers:
        interrupted.send_signal(number)
    _, err = interrupted.communicate(timeout=60)

    assert interrupted.returncode == 130
    assert err.strip() == "error: interrupted"
    assert list(temporary.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(worker, 0)


def test_it_shows_the_dashboard_until_ctrl_c(command: list[str], temporary: Path) -> None:
    process = start([*command, "--web", "--children", "1"], temporary)
    assert process.stdout is not None
    found = re.match(
        r"open (http://127\.0\.0\.1:[0-9]+)(/login\?code=\S+)", process.stdout.readline()
    )
    assert found is not None
    with httpx.Client(base_url=found[1], timeout=30) as browser:
        assert browser.get(found[2]).status_code == 303
        assert browser.get("/api/overview").json()["workers"]["alive"] <= 1
        assert browser.get("/").headers["content-type"].startswith("text/html")
        assert any(line.startswith("the dashboard stays open") for line in process.stdout)
        while not browser.get("/api/workflows?kind=workflow&status=completed").json()["items"]:
            assert process.poll() is None

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (0, "")
    assert list(temporary.iterdir()) == []
    assert left_over(temporary) == []


def test_while_it_counts_sigterm_ends_the_dashboard_too(
    command: list[str], temporary: Path
) -> None:
    process = start([*command, "--web"], temporary)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("open http://127.0.0.1:")

    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)

    assert (process.returncode, err.strip()) == (130, "error: interrupted")
    assert list(temporary.iterdir()) == []
    assert left_over(temporary) == []


def test_without_its_extra_the_dashboard_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "hammerflow.web.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    ended = run("demo", "--web")

    assert ended.code == 1
    assert "needs the package uvicorn" in ended.err
    assert "pip install 'hammerflow[web]'" in ended.err


def test_a_browser_is_opened_only_where_a_person_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda link: opened.append(link) is None)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("CI", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    assert not open_in_browser("http://127.0.0.1/none")
    monkeypatch.setenv("DISPLAY", ":0")
    assert open_in_browser("http://127.0.0.1/shown")
    monkeypatch.setenv("CI", "true")
    assert not open_in_browser("http://127.0.0.1/ci")
    assert opened == ["http://127.0.0.1/shown"]


def left_over(temporary: Path) -> list[str]:
    """Processes whose temporary files are in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(temporary).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
    return found


def test_a_worker_that_dies_ends_it(interrupted: subprocess.Popen[str], temporary: Path) -> None:
    os.kill(_worker_pid(interrupted), signal.SIGKILL)

    _, err = interrupted.communicate(timeout=60)

    assert interrupted.returncode == 1
    assert err.startswith("error: the worker ended with exit code -9; its log ends:")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--database", "postgresql://nobody@127.0.0.1:1/x"], 1, "cannot be used"),
        (["--database", "foo://x"], 2, "--database: a database URL begins with"),
        (["--redis", "http://x"], 2, "a URL that begins with redis://"),
    ],
)
def test_a_wrong_url_is_one_sentence(
    command: list[str], temporary: Path, args: list[str], code: int, words: str
) -> None:
    process = start([*command, *args], temporary)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (code, "")
    assert words in err
    assert err.count("\n") == 1
    assert list(temporary.iterdir()) == []


def test_counts_that_differ_are_an_error() -> None:
    one: LineCount = {"packages": {"a": [1, 2, 3, 4, 5], "b": [1, 1, 1, 1, 1]}, "imported": {}}
    other: LineCount = {"packages": {"a": [1, 2, 3, 4, 6], "b": [1, 1, 1, 1, 1]}, "imported": {}}

    compare(one, one)
    with pytest.raises(HammerflowError, match="counts differ from those of one process in a:"):
        compare(one, other)


@pytest.mark.slow
def test_it_counts_the_standard_library(temporary: Path) -> None:
    process = start([*HAMMERFLOW, "demo"], temporary)
    out, err = process.communicate(timeout=110)

    assert (process.returncode, err) == (0, "")
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in out
    assert "asyncio" in out
    assert list(temporary.iterdir()) == []


def _worker_pid(process: subprocess.Popen[str]) -> int:
    """Read on until the demo counts; the pid of its supervisor."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"supervisor \(pid ([0-9]+)\)", line):
            return int(found[1])
    raise AssertionError("it did not start")
