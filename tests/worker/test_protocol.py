"""What goes through pipes comes out as it went in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerflow.jobs.job import Claimed, NewJob, NewWorkflow
from hammerflow.jobs.outcome import (
    Cancelled,
    Completed,
    Failed,
    Failure,
    Lost,
    Operation,
    Outcome,
    Parked,
    Released,
    Replaced,
    Retrying,
    Settled,
    Snoozed,
    Spawned,
)
from hammerflow.worker.protocol import JOBS, Unpacker, pack, pack_outcome, unpack_outcome
from tests.worker.kit import claimed

_FAILURE = Failure("failed", "builtins.ValueError", "nö", "Traceback")
_CHILD = NewJob(
    bytes(16), "task", "queue", 2, b"M", eta=datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
)
_FLOW = NewWorkflow(bytes(16), "chain", "a | b", 1, 1)
_OPERATION = Operation("handler", None, '{"a":1}', 3, 0.25)


@pytest.mark.parametrize(
    "outcome",
    [
        Completed(b"Mx", None, 3.5),
        Completed(b"Mx", Spawned([_CHILD, _CHILD], _OPERATION, 2, [_FLOW], 2, True)),
        Failed(_FAILURE),
        Failed(_FAILURE, _OPERATION),
        Retrying(0.5, _FAILURE, _OPERATION),
        Replaced(_CHILD, [_CHILD], [_FLOW]),
        Retrying(1.5, _FAILURE),
        Snoozed(2.0),
        Cancelled("why"),
        Released(),
        Parked("undecodable", _FAILURE),
        Lost(_FAILURE, None),
        Settled(True),
    ],
)
def test_an_outcome_comes_back(outcome: Outcome) -> None:
    (frame,) = Unpacker().frames(pack_outcome(outcome, b"id"))

    _, code, fields, job_id = frame
    assert unpack_outcome(code, fields) == outcome
    assert job_id == b"id"


@given(st.lists(st.binary(max_size=50) | st.none(), min_size=1), st.integers(1, 40))
def test_frames_survive_being_cut_anywhere(results: list[bytes | None], size: int) -> None:
    data = b"".join(pack_outcome(Completed(result)) for result in results)
    unpacker = Unpacker()

    found = [f for at in range(0, len(data), size) for f in unpacker.frames(data[at : at + size])]

    assert found == results


def test_a_claimed_job_goes_to_the_child_as_it_is() -> None:
    job = claimed("task", "ä", [1], options='{"timeout":3}', parent_id=bytes(16), spawn_index=7)

    (frame,) = Unpacker().frames(pack([JOBS, 1, 2**62, [job], {2**62: "queue"}]))

    assert Claimed._make(frame[3][0]) == job
    assert frame[2] == 2**62
    assert frame[4] == {2**62: "queue"}
