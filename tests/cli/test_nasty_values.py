"""Every flag and argument of every command meets values that nobody should give.

On SQLite each flag meets a sixth of them; on a server those that only a server may refuse. With
`--whole` each meets all.
"""

from __future__ import annotations

import io
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import click
import pytest

from hammerflow import Hammerflow
from hammerflow.cli import hammerflow
from hammerflow.cli.exit import exit_code_of
from hammerflow.jobs.outcome import Failed, Failure
from hammerflow.settings import SETTINGS
from tests.cli.conftest import Run, claim, settle, spawn_album

NASTY = (
    "", " ", "nan", "inf", "-inf", "-1", "0", "1e400", "1e-400", "0x10", "1.5", "10" * 20,
    "9" * 5_000, "x" * 20_000, "\0", "a\0b", "\ud800", "\x1b[2J\x07\u202e",
    "a\nb", "\u2603", "\u0663",
    "null", "[]", "{}", "[" * 200, '{"a":1,"a":2}', '[{"$object":["X",{}]}]', "true", "--", "%s%n",
    "../..", "/dev/null", "-", "*", "'; DROP TABLE jobs", "00000000-0000-0000-0000-000000000000",
    "ffff", ":", "a:b:c", "a.b:", "http://x", "redis://h/abc", "redis://:99999", "sqlite:///~/x.db",
    "\U0001f980" * 255, "k" * 256, "order ", "9223372036854775808", "9999-12-31", "P1D",
    "sqlite:///x.db?foo=1", "sqlite://", "sqlite:///", "postgresql://[", "mysql://h:port/d",
    "postgresql://u:s3cret@127.0.0.1:1/x", "mysql://u:s3cret@127.0.0.1:1/x", "1h", "high:5,high:5",
)  # fmt: skip
FOR_SERVERS = (
    "10" * 20, "9" * 5_000, "a\0b", "\ud800", "\U0001f980" * 255, "k" * 256,
    "9223372036854775808", "00000000-0000-0000-0000-000000000000",
)  # fmt: skip
#: Valid values for which a command would wait that long.
LONG = {(flag, value) for flag in ("--wait", "--for") for value in ("1h", "1.5", "\u0663")}
#: Nobody listens there: each takes a connection, so one command has to do.
SERVERS = tuple(value for value in NASTY if "127.0.0.1" in value)
#: Added to calls that would start processes or go on for ever: the first two are refused.
BOUNDS = {
    ("worker",): ("--until-empty",),
    ("demo",): ("--children", "0"),
    ("spawn", "monitor"): ("--count", "1"),
    ("monitor",): ("--count", "1"),
    ("event", "tail"): ("--count", "1", "--interval", "0.1"),
    ("job", "logs"): ("--count", "1"),
    ("relay",): ("--for", "0"),
    ("web",): ("--for", "0", "--port", "0"),
}
APP = {("job", "enqueue"): ("-A", "shop:app"), ("workflow", "create"): ("-A", "shop:app")}
SHARED = ("-A", "--database")
Call = tuple[str, ...]


def leaves(group: click.Group, *path: str) -> Iterator[tuple[Call, click.Command]]:
    """Every command with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield (*path, name), command


def calls(
    needed: dict[str, str], values: Sequence[str] = NASTY, *, share: int = 1
) -> Iterator[Call]:
    """Every parameter of every command with one in ``share`` of the values, the others as in
    ``needed``; each command meets other ones.

    Of those that all commands share, each command meets another twentieth of the values.
    """
    for number, (words, command) in enumerate(leaves(hammerflow)):
        for parameter, (index, value) in itertools.product(command.params, enumerate(values)):
            name = parameter.opts[0]
            if name not in SHARED and (index + number) % share:
                continue
            is_listed = (*words, name) == ("job", "list", "--database")
            is_left_out = value in SERVERS or (name in SHARED and (index - number) % 20)
            if getattr(parameter, "is_flag", False) or (name, value) in LONG:
                continue
            if is_left_out and not is_listed:
                continue
            options: list[str] = [*APP.get(words, ()), *BOUNDS.get(words, ())]
            positional: list[str] = []
            for other in command.params:
                given = value if other is parameter else needed.get(other.name or "")
                if isinstance(other, click.Argument):
                    positional.append(given or "")
                elif given is not None and (other is parameter or other.required):
                    options += [other.opts[0], given]
            yield (*words, *options, "--", *positional)


@pytest.fixture
def needed(shop: Hammerflow) -> dict[str, str]:
    """A database with jobs in several states; what the commands cannot do without."""
    app, add = shop, shop.tasks["shop.add"]
    root = spawn_album(app, 2)
    failure = Failure("failed", "builtins.ValueError", "odd", "")
    chain = app.enqueue(add.s(1, 2) | add.s(3))  # type: ignore[operator]
    settle(app, claim(app, "shop.add"), Failed(failure))
    add.apply_async(args=(1, 2), countdown=3_600)
    ids = {"job_id": root, "job_ids": root, "workflow_id": str(chain.job().workflow_id)}
    return {**ids, "name": "mail", "node": "first", "task": "shop.add", "path": "missing.yaml"}


@pytest.fixture
def tried(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Call], None]:
    """Run a command line and check that it ends as every command has to."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))

    def tried(call: Call) -> None:
        begun = time.monotonic()
        code = exit_code_of(hammerflow, call)
        out, err = capsys.readouterr()

        shown = (tuple(part[:60] for part in call), code, out[:500], err[:500])
        assert code in (0, 1, 2), shown
        assert "Traceback" not in err and "unexpected" not in err, shown
        text = json.loads(err)["error"] if err.startswith('{"error"') else err
        assert err.count("\n") <= 2 and len(text) < 1_500, shown
        if code and "doctor" not in call:
            assert json.loads(err)["error"] if call[0] == "--json" else err.startswith("error: ")
        assert all(sign.isprintable() or sign == "\n" for sign in out + err), shown
        assert "s3cret" not in out + err, shown
        assert time.monotonic() - begun < 10, shown

    return tried


def test_each_flag_and_argument_meets_each_value(
    needed: dict[str, str], tried: Callable[[Call], None], capsys: pytest.CaptureFixture[str],
    database_kind: str, pytestconfig: pytest.Config,
) -> None:  # fmt: skip
    is_whole = pytestconfig.getoption("--whole")
    values = NASTY if is_whole or database_kind == "sqlite" else FOR_SERVERS
    share = 1 if is_whole or database_kind != "sqlite" else 6
    for count, call in enumerate(calls(needed, values, share=share), start=1):
        tried(call if count % 5 else ("--json", *call))
    with capsys.disabled():
        sys.stderr.write(f"{count:,} command lines ")


@pytest.mark.usefixtures("embedded_shop")
def test_each_setting_meets_each_value(
    tried: Callable[[Call], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [v for v in NASTY if v.isprintable() and len(v) < 10_000 and v not in SERVERS]
    names = {"DATABASE": "DATABASE_URL", "REDIS": "REDIS_URL"}
    for option, value in itertools.product(SETTINGS, values):
        name = option.name.upper()
        with monkeypatch.context() as patch:
            patch.setenv(f"HAMMERFLOW_{names.get(name, name)}", value)
            tried(("queue", "resume", "mail"))
