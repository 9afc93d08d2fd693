"""How values are written: instants and ids in one way, JSON always valid, tables that fit."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerflow import Hammerflow, Workflow
from hammerflow.cli.output import fitted, json_text, local_time, show_facts, show_json, show_table
from tests.cli.conftest import Run, environment, spawn_album

INSTANT = datetime(2026, 11, 26, 1, 8, 3, 123456, tzinfo=UTC)
ID = uuid.UUID("01a1fc00-8365-7009-a220-101660e9df48")


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A reader an hour east of UTC."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_json_has_utc_and_ids_with_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"at": INSTANT, "id": ID, "key": ID.bytes, "none": None})

    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-11-26T01:08:03.123+00:00", "id": str(ID), "key": str(ID), "none": None,
    }  # fmt: skip


def test_people_get_local_time_with_its_offset(capsys: pytest.CaptureFixture[str]) -> None:
    show_facts({"at": INSTANT, "id": ID.bytes, "none": None, "empty": {}, "map": {"a": 1}})
    show_table(("at", "id"), [(INSTANT, ID.bytes)], empty="")

    assert local_time(INSTANT) == "2026-11-26T02:08:03.123+01:00"
    assert capsys.readouterr().out.splitlines() == [
        "at   2026-11-26T02:08:03.123+01:00",
        f"id   {ID}",
        'map  {"a": 1}',
        "AT                             ID",
        f"2026-11-26T02:08:03.123+01:00  {ID}",
    ]


def test_commands_write_times_like_that(run: Run, embedded_shop: Hammerflow) -> None:
    job = embedded_shop.tasks["shop.add"].delay(1, 2).job()

    shown = run("job", "show", job.id)
    found = run("job", "show", job.id, "--json").json

    assert f"created   {local_time(job.created_at)}" in shown.out
    written = datetime.fromisoformat(found["created_at"])
    assert found["created_at"].endswith("+00:00")
    assert 0 <= (job.created_at - written).total_seconds() < 0.001


BROKEN = r"\u2039_Broken: repr failed\u203a"


class _Broken:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([float("nan"), float("inf"), -float("inf"), 1.5], '["NaN", "Infinity", "-Infinity", 1.5]'),
        ({1: "a", None: "b", ID.bytes: "c", float("nan"): "d"},
         f'{{"1": "a", "null": "b", "{ID}": "c", "NaN": "d"}}'),
        ({"deep": [{INSTANT: {ID}}]},
         f'{{"deep": [{{"2026-11-26T01:08:03.123+00:00": ["{ID}"]}}]}}'),
        ([_Broken(), {"x": (1, _Broken())}], f'["{BROKEN}", {{"x": [1, "{BROKEN}"]}}]'),
        (["\x1b[2J", "\x9b", "\u202e", "\ud800", "\x7f"],
         r'["\u001b[2J", "\u009b", "\u202e", "\ud800", "\u007f"]'),
        ([2**53 + 1, 10**40], f"[{2**53 + 1}, {10**40}]"),
    ],
)  # fmt: skip
def test_json_is_always_json(value: Any, text: str) -> None:
    assert json_text(value) == text


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None))
    | st.binary(min_size=16, max_size=16) | st.datetimes(timezones=st.just(UTC)),
    lambda parts: st.lists(parts) | st.dictionaries(st.integers() | st.text() | st.floats(), parts)
    | st.frozensets(st.integers()),
)  # fmt: skip


@given(JSON_LIKE)
def test_any_value_is_json_in_ascii(value: Any) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    text = json_text(value)

    assert text.isascii() and text.isprintable()
    json.loads(text, parse_constant=refuse)


JOB_HEADS = ("id", "state", "task", "queue", "age", "note")


@pytest.mark.parametrize(
    ("heads", "natural", "room", "widths"),
    [
        (JOB_HEADS, (36, 9, 11, 7, 3, 70), 200, [36, 9, 11, 7, 3, 70]),
        (JOB_HEADS, (36, 9, 11, 7, 3, 70), 120, [36, 9, 11, 7, 3, 44]),
        (JOB_HEADS, (36, 9, 11, 7, 3, 70), 100, [36, 9, 11, 7, 3, 24]),
        (JOB_HEADS, (36, 9, 11, 7, 3, 70), 80, [36, 9, 11, 0, 0, 18]),
        (JOB_HEADS, (36, 9, 60, 7, 3, 4), 80, [36, 9, 20, 0, 3, 4]),
        (JOB_HEADS, (36, 9, 11, 7, 3, 70), 60, [36, 9, 11, 0, 0, 0]),
        (JOB_HEADS, (36, 9, 11, 7, 3, 70), 20, [36, 0, 0, 0, 0, 0]),
        (("name", "id", "task", "state", "note"), (8, 36, 9, 9, 90), 60, [8, 36, 0, 9, 0]),
        (("queue", "ready", "running", "paused"), (90, 5, 7, 60), 40, [90, 0, 0, 0]),
    ],
)
def test_a_narrow_table_loses_notes_and_columns_but_no_id(
    heads: tuple[str, ...], natural: tuple[int, ...], room: int, widths: list[int]
) -> None:
    assert fitted(heads, natural, room) == widths


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_a_terminal_of_any_width_shows_one_line_for_a_job(
    embedded_shop: Hammerflow, columns: int
) -> None:
    jobs = [embedded_shop.tasks["shop.add"].delay(n, n) for n in range(3)]
    for job in jobs:
        job.cancel("because \x1b[2J of " + "a long story " * 9)

    shown = _in_terminal(columns, "job", "list")

    assert all(len(line) <= columns for line in shown), shown
    assert [line.split()[0] for line in shown[1:]] == [str(job.id) for job in jobs][::-1]
    if columns > 60:
        assert all(r"because \x1b" in line for line in shown[1:])


def test_every_command_fits_into_a_narrow_terminal(embedded_shop: Hammerflow) -> None:
    app, add = embedded_shop, embedded_shop.tasks["shop.add"]
    job = add.apply_async((1, 2), headers={"who": "a person " * 20})
    workflow = app.enqueue(Workflow("w", description="of many words " * 9).add(add.s(1, 2)))
    name, key = str(job.id), str(workflow.id)
    commands = [
        ("doctor",), ("migrate",), ("queue", "list"), ("queue", "pause", "default"),
        ("job", "list"), ("job", "show", name), ("job", "cancel", name), ("workflow", "list"),
        ("workflow", "show", key), ("workflow", "status", key), ("workflow", "graph", key),
        ("workflow", "dependencies", name), ("spawn", "list"), ("spawn", "stats"),
        ("job", "retry", name), ("--help",),
    ]  # fmt: skip

    for command in commands:
        for line in map(click.unstyle, _in_terminal(60, *command)):
            assert len(line) <= 60 or max(map(len, line.split())) > 40, (command, line)


def test_ids_and_paths_are_whole_in_the_narrowest_terminal(embedded_shop: Hammerflow) -> None:
    app, add = embedded_shop, embedded_shop.tasks["shop.add"]
    parts = Workflow("w").add(add.s(1, 2), name="a").add(add.s(1, 2), name="b", after=["a"])
    flow = app.enqueue(parts)
    first, last = (str(flow.result(node).id) for node in "ab")
    key, root = str(flow.id), spawn_album(app, 1)
    child = str(next(job.id for job in app.jobs() if job.task == "shop.resize"))
    shown = {
        ("doctor",): [app.settings.database],
        ("job", "list"): [first, last, root, child],
        ("workflow", "show", key): [key, first, last],
        ("workflow", "dependencies", last): [first],
        ("spawn", "tree", root): [root, child],
        ("spawn", "lineage", child): [root, child],
    }

    for command, words in shown.items():
        lines = [click.unstyle(line) for line in _in_terminal(30, *command)]
        for word in words:
            assert any(word in line for line in lines), (command, word, lines)


def _in_terminal(columns: int, *args: str) -> list[str]:
    """The lines that a command writes to a terminal without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {**environment(), "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
    for name in ("COLUMNS", "LINES"):  # count more than the terminal; parallel pytest sets them
        environ.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-m", "hammerflow", *args], stdout=theirs, stderr=theirs, env=environ
    )
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65536):
            written += part
    except OSError:  # Linux: the other side is closed
        pass
    os.close(ours)
    assert process.wait() == 0, written
    return written.decode().splitlines()
