"""Jobs, outcomes and errors as words: states, codes, texts, copies."""

from __future__ import annotations

import copy
import inspect
import pickle
from datetime import timedelta

import pytest

from hammerflow import errors
from hammerflow.errors import HammerflowError, JobFailed, MissingExtra, NotDecodable, NotEncodable
from hammerflow.jobs import outcome
from hammerflow.jobs.job import FINAL_CODES, FINAL_STATES, JobState, Priority
from hammerflow.jobs.outcome import Cancel, Retry, Snooze

FINAL = {"completed", "failed", "cancelled", "skipped"}


def test_the_states_are_those_of_the_promise() -> None:
    assert {str(state) for state in JobState} == {
        *FINAL, "waiting", "scheduled", "ready", "running", "parked",
    }  # fmt: skip


@pytest.mark.parametrize("state", JobState)
def test_final_states_and_only_they_have_a_code(state: JobState) -> None:
    assert state.is_final == (state.value in FINAL)
    assert (state in FINAL_CODES) == state.is_final
    if state.is_final:
        assert FINAL_STATES[FINAL_CODES[state]] is state


def test_priorities_are_ordered_numbers() -> None:
    assert [int(priority) for priority in Priority] == [0, 1, 2, 3, 4]
    assert Priority.BACKGROUND < Priority.LOW < Priority.NORMAL < Priority.HIGH < Priority.CRITICAL


def test_all_errors_stand_in_one_tree_and_in_its_drawing() -> None:
    classes = [
        cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if cls.__module__ == errors.__name__
    ]
    assert sorted(errors.__all__) == sorted(cls.__name__ for cls in classes)
    assert all(issubclass(cls, HammerflowError) for cls in classes)
    assert all(cls.__name__ in str(errors.__doc__) for cls in classes)
    assert issubclass(NotEncodable, TypeError)
    assert issubclass(NotDecodable, ValueError)


def test_a_remote_error_reads_as_it_was_raised_and_can_be_pickled() -> None:
    error = JobFailed("builtins.ValueError", "no such file", "Traceback ...")
    for same in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(same) == "builtins.ValueError: no such file"
        assert (same.error_type, same.message) == ("builtins.ValueError", "no such file")
        assert same.traceback == "Traceback ..."
    assert str(JobFailed("builtins.KeyError", "")) == "builtins.KeyError"


def test_a_missing_package_is_named_with_its_extra() -> None:
    error = MissingExtra(package="redis", extra="redis", what="the Redis doorbell")
    assert "pip install 'hammerflow[redis]'" in str(error)


def test_what_a_body_raises_keeps_its_time_and_reason() -> None:
    assert (Retry("busy", after=30).after, str(Retry("busy"))) == (30, "busy")
    assert (Retry().after, str(Retry())) == (None, "retry requested")
    assert Snooze(timedelta(minutes=1)).after == timedelta(minutes=1)
    assert str(Cancel("customer is gone")) == "customer is gone"
    assert {"Retry", "Cancel", "Snooze"} <= set(outcome.__all__)
