"""Errors as text that every database can hold."""

from __future__ import annotations

import signal

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
