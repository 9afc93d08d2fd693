"""Every error is one sentence and an exit code; help is quick and complete."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from hammerflow.cli import COMMANDS
from hammerflow.cli.exit import exit_code_of
from hammerflow.cli.options import Checked
from tests.cli.conftest import HAMMERFLOW, Run, environment


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["-A", "nothing:app", "job", "enqueue", "x"], 1, "there is no module nothing"),
        (["-A", "shop:nothing", "job", "enqueue", "x"], 1, "cannot find nothing"),
        (["-A", "shop.py", "job", "enqueue", "x"], 1, "there is no module shop.py"),
        (["-A", "broken:app", "job", "list"], 1, "ZeroDivisionError: division by zero"),
        (["-A", "lacking:app", "job", "list"], 1, "No module named 'numpy_of_old'"),
        (["job", "enqueue", "x"], 2, "which app?"),
        (["worker"], 2, "which app?"),
        (["worker", "--database", "sqlite:///x.db"], 2, "which app?"),
        (["-A", "shop:app", "worker", "--until-empty"], 2, "--until-empty goes with --burst"),
        (["job", "list", "--database", "oracle://x"], 2, "--database: a database URL begins with"),
        (["job", "list"], 1, "/project/hammerflow.db yet: run hammerflow migrate"),
        (["jbo"], 2, "No such command 'jbo'"),
        (["job", "list", "--stat", "x"], 2, "No such option"),
        (["job", "list", "--state", "lost"], 2, "'lost' is not one of 'waiting'"),
        (["job", "show"], 2, "Missing argument 'ID'"),
        (["job", "list", "--database", "postgresql://u:secret@127.0.0.1:1/x"], 1, "refused"),
        (["job", "list", "--database", "mysql://u:secret@127.0.0.1:1/x"], 1, "refused"),
    ],
)
def test_an_error_is_a_sentence_and_a_code(
    run: Run, folder: Path, args: list[str], code: int, words: str
) -> None:
    (folder / "broken.py").write_text("1 / 0")
    (folder / "lacking.py").write_text("import numpy_of_old")

    plain, as_json = run(*args), run(*args, "--json")

    assert (plain.code, plain.out, as_json.code, as_json.out) == (code, "", code, "")
    assert words in plain.err
    assert plain.err.startswith("error: ")
    assert plain.err.count("\n") == 1
    assert words in json.loads(as_json.err)["error"]
    assert "secret" not in plain.err


def test_looking_makes_no_database(run: Run, folder: Path) -> None:
    for command in (["job", "list"], ["queue", "list"], ["doctor"], ["migrate", "--plan"]):
        run(*command)

    assert not list(folder.glob("*.db*"))


def test_debug_shows_where(folder: Path) -> None:
    (folder / "broken.py").write_text("1 / 0")

    ended = _process("-A", "broken:app", "job", "list", "--debug")

    assert ended.returncode == 1
    assert 'broken.py", line 1' in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("error: ")


def test_the_app_named_in_the_environment_is_found(
    run: Run, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAMMERFLOW_APP", "shop:app")
    monkeypatch.setenv("HAMMERFLOW_DATABASE_URL", sqlite_url)

    enqueued = run("job", "enqueue", "shop.add", "--args", "[1, 2]")
    listed = run("job", "list", "--json")

    assert enqueued.code == 0
    assert [job["id"] for job in listed.json] == [enqueued.out.strip()]


def test_an_apps_own_database_is_meant_where_it_is_named(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    text = f"""from hammerflow import Hammerflow
app = Hammerflow("own", database="sqlite:///{tmp_path}/own.db", prefix="own_")
"""
    (folder / "own.py").write_text(text)

    migrated = run("-A", "own:app", "migrate")
    listed = run("-A", "own:app", "job", "list")
    elsewhere = run("-A", "own:app", "--database", f"sqlite:///{tmp_path}/x.db", "job", "list")

    assert (migrated.code, listed.code) == (0, 0)
    assert (tmp_path / "own.db").exists()
    assert "x.db yet" in elsewhere.err


def test_with_a_database_alone_no_app_is_imported(
    run: Run, folder: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "broken.py").write_text("1 / 0")
    monkeypatch.setenv("HAMMERFLOW_APP", "broken:app")

    assert run("--database", sqlite_url, "migrate").code == 0
    assert run("job", "list", "--database", sqlite_url).code == 0
    assert run("job", "list").code == 1


def test_options_stand_before_or_after_the_command(run: Run, sqlite_url: str) -> None:
    assert run("migrate", "--database", sqlite_url).code == 0

    for args in (
        ["--database", sqlite_url, "--json", "job", "list"],
        ["job", "list", "--json", "--database", sqlite_url],
        ["--json", "job", "list", "--database", sqlite_url],
    ):
        assert run(*args).json == []


def leaves_of(command: click.Command) -> list[tuple[str, click.Command]]:
    """The commands that do something, by their names within the first one."""
    if not isinstance(command, click.Group):
        return [("", command)]
    own: list[tuple[str, click.Command]] = [("", command)] if command.invoke_without_command else []
    for name, inner in command.commands.items():
        own += [(f"{name} {words}".strip(), leaf) for words, leaf in leaves_of(inner)]
    return own


def test_every_command_has_help_and_json(run: Run) -> None:
    for name, words in COMMANDS.items():
        command = importlib.import_module(f"hammerflow.cli.{name}").command
        assert command.get_short_help_str(limit=200).rstrip(".") == words.rstrip("."), name
        for _, leaf in leaves_of(command):
            assert {"--json", "--debug", "--database"} <= {
                option for parameter in leaf.params for option in parameter.opts
            }, leaf.name
            assert leaf.get_short_help_str(), leaf.name
            assert all(p.help for p in leaf.params if isinstance(p, click.Option)), leaf.name
        assert words.split()[0] in run("--help").out
        assert run(name, "--help").code == 0


def test_help_shows_the_range_of_each_number(run: Run) -> None:
    count = 0
    for name in COMMANDS:
        command = importlib.import_module(f"hammerflow.cli.{name}").command
        for leaf, each in leaves_of(command):
            shown = " ".join(run(name, *leaf.split(), "--help").out.split())
            for option in each.params:
                assert not isinstance(option.type, click.types.IntParamType), option.name
                assert not isinstance(option.type, click.types.FloatParamType), option.name
                check = option.type.check if isinstance(option.type, Checked) else None
                if check is not None and {"int", "float"} & {*check.type.split(" | ")}:
                    bounds = check.bounds
                    assert not bounds or f"[{bounds}]" in shown, (name, leaf, option.name)
                    count += bool(bounds)
    assert count > 15


def test_help_imports_no_command_no_driver_and_no_terminal() -> None:
    script = (
        "import sys; from hammerflow.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'rich', 'sqlite3', 'psycopg', 'pymysql', 'redis', 'hammerflow.cli.job'}\n"
        "sys.exit(str(heavy & sys.modules.keys() or ''))"
    )

    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment())

    assert ended.stderr.strip() == ""


def test_a_reader_that_leaves_is_forgiven(run: Run, folder: Path, sqlite_url: str) -> None:
    assert run("migrate", "--database", sqlite_url).code == 0
    command = [*HAMMERFLOW, "job", "list", "--database", sqlite_url]
    reader, writer = os.pipe()
    os.close(reader)

    ended = subprocess.run(
        command, check=False, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment()
    )
    os.close(writer)

    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("redirected", "code", "words"),
    [
        (">/dev/full", 1, "error: reading or writing failed: No space left on device"),
        (">/dev/full 2>/dev/full", 1, ""),
        (">&-", 0, ""),
        ("2>&- >&-", 0, ""),
    ],
)
def test_output_that_cannot_be_written_is_a_sentence(
    folder: Path, sqlite_url: str, redirected: str, code: int, words: str
) -> None:
    command = shlex.join([*HAMMERFLOW, "migrate", "--database", sqlite_url])

    ended = subprocess.run(
        f"{command} {redirected}", check=False, shell=True, capture_output=True, text=True,
        env=environment(),
    )  # fmt: skip

    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr.startswith(words) and ended.stderr.count("\n") == bool(words)


def test_a_folder_that_is_gone_is_a_sentence(run: Run, folder: Path) -> None:
    gone = folder / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()

    ended = run("-A", "shop:app", "job", "list")

    assert (ended.code, ended.err) == (
        1, "error: the working directory is gone: go to the project's folder\n"
    )  # fmt: skip


def test_a_warning_is_a_sentence_or_json(
    folder: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAMMERFLOW_POLLS", "1")
    migrate = ("migrate", "--database", sqlite_url)

    plain, as_json = _process(*migrate), _process(*migrate, "--json")

    assert (plain.returncode, as_json.returncode) == (0, 0)
    words = "$HAMMERFLOW_POLLS is not a setting of hammerflow: did you mean $HAMMERFLOW_POLL?"
    assert plain.stderr == f"warning: {words}\n"
    assert json.loads(as_json.stderr) == {"warning": words}


PLACE = "127.0.0.1:1/x"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://{PLACE}?foo=1", f"postgresql://{PLACE}?connect_timeout=abc",
        f"postgresql://{PLACE}?sslmode=bogus", f"postgresql://{PLACE}?options=%zz",
        "postgresql://a..b/x", "postgresql://127.0.0.1:0/x", "postgresql:///x?host=/nowhere",
        f"mysql://{PLACE}?ssl_ca=/nowhere", f"mysql://{PLACE}?charset=bogus",
        f"mysql://{PLACE}?read_default_file=/nowhere", f"mysql://{PLACE}?ssl_disabled=maybe",
        f"mysql://{'x' * 300}/x", "mysql://a..b/x",
        "sqlite:////proc/x.db", "sqlite:////dev/null", "sqlite:////", f"sqlite:///{'x' * 300}",
        "sqlite:////etc/passwd",
    ],
)  # fmt: skip
def test_a_url_that_leads_nowhere_is_a_sentence(run: Run, url: str) -> None:
    for command in (["migrate"], ["doctor"], ["job", "list"]):
        ended = run(*command, "--database", url)

        text = ended.err if command != ["doctor"] else ended.out
        assert ended.code in (1, 2), text
        assert "unexpected" not in text and ended.err.count("\n") <= 1, text


@pytest.mark.parametrize("code", ["import os; os._exit(3)", "import sys; sys.exit(3)"])
def test_an_app_that_ends_the_process_is_a_sentence(folder: Path, code: str) -> None:
    (folder / "broken.py").write_text(code)

    for command in (["job", "list"], ["worker"]):
        ended = _process("-A", "broken:app", *command)

        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("error: broken:app: ") and ended.stderr.count("\n") == 1


def test_what_an_encoding_lacks_is_escaped(
    folder: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAMMERFLOW_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    add = ("-A", "shop:app", "job", "enqueue", "shop.add", "--args", "[1, 2]")
    _process(*add, "--queue", "grün", "--new-queue")

    ended = _process("queue", "list")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "gr\\xfcn" in ended.stdout


def test_an_interrupt_ends_with_130() -> None:
    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert exit_code_of(interrupted, []) == 130


def _process(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HAMMERFLOW, *args], check=False, capture_output=True, text=True, env=environment()
    )
