"""Errors as text that every database can hold."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from hammerflow.worker.failures import failure_of, lost_child


class Mute(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_error_keeps_its_type_message_and_the_users_part_of_the_trace() -> None:
    try:
        raise KeyError("missing") from ValueError("cause")
    except KeyError as error:
        failure = failure_of(error)

    assert failure.type == "builtins.KeyError"
    assert failure.message == "'missing'"
    assert "cause" in failure.traceback
    assert "test_failures.py" in failure.traceback


def test_an_error_whose_text_cannot_be_had_is_still_a_failure() -> None:
    assert "RuntimeError" in failure_of(Mute()).message


def test_how_a_child_ended_is_said() -> None:
    assert "SIGKILL" in lost_child(7, -signal.SIGKILL).message
    assert "exit code 3" in lost_child(7, 3).message
    assert "is gone" in lost_child(7, None).message
    assert "signal 250" in lost_child(7, -250).message


@pytest.mark.parametrize("linked", ["raised", "cause", "context", "group"])
@pytest.mark.parametrize("source", ["pipe", "relative pipe", "/dev"])
def test_source_files_that_never_end_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, linked: str
) -> None:
    pipe = tmp_path / f"{linked}.py"
    os.mkfifo(pipe)
    monkeypatch.syspath_prepend(tmp_path)
    name = {"pipe": str(pipe), "relative pipe": pipe.name}.get(source, source)
    scope: dict[str, Any] = {}
    exec(compile("def fail():\n    raise KeyError('lost')", name, "exec"), scope)
    found: list[str] = []

    def formatted() -> None:
        try:
            try:
                scope["fail"]()
            except KeyError as error:
                if linked == "raised":
                    raise
                if linked == "group":
                    raise ExceptionGroup("several", [error]) from None
                raise ValueError("later") from (error if linked == "cause" else None)
        except Exception as error:  # noqa: BLE001
            if linked == "context":
                error.__suppress_context__ = False
            found.append(failure_of(error).traceback)

    thread = threading.Thread(target=formatted, daemon=True)
    thread.start()
    thread.join(20)

    assert found, "formatting the traceback does not end"
    assert f'File "{name}", line 2, in fail' in found[0]
    assert "lost" in found[0]
