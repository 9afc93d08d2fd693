"""Refusals: whether the database refuses one job's outcome, or all outcomes of its kind."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from hammerflow.jobs.job import Claimed, NewJob
from hammerflow.jobs.outcome import Cancelled, Completed, Outcome, Replaced
from hammerflow.stores.jobs import Jobs
from hammerflow.worker.failures import message_of

__all__ = ["Kind", "Refusals", "kind_of", "without_data"]

log = logging.getLogger("hammerflow.settler")
#: What decides which rows an outcome writes: its type, and what hangs on it and on its job.
Kind: TypeAlias = tuple[type, bool, bool, bool, bool]


def kind_of(job: Claimed, outcome: Outcome) -> Kind:
    """The kind of an outcome: those of one kind write the same tables."""
    has_children = type(outcome) is Completed and outcome.spawned is not None
    links = job.workflow_id is not None, job.dependent_id is not None, job.unique_key is not None
    return type(outcome), has_children, *links


def without_data(outcome: Outcome) -> Outcome:
    """An outcome of the same kind, without what came from the job's body."""
    if isinstance(outcome, Completed):
        spawned = outcome.spawned
        if spawned is not None:
            operation = spawned.operation._replace(operation_id=None, metadata=None)
            spawned = spawned._replace(operation=operation, children=_bare(spawned.children))
        return Completed(None, spawned)
    if isinstance(outcome, Replaced):
        [call] = _bare([outcome.call])
        return outcome._replace(call=call, children=_bare(outcome.children))
    if isinstance(outcome, Cancelled):
        return Cancelled("")
    failure = getattr(outcome, "failure", None)
    if failure is None:
        return outcome  # it holds no such data
    bare = failure._replace(type="", message="", traceback="")
    return outcome._replace(failure=bare)  # type: ignore[call-arg]


def _bare(jobs: Sequence[NewJob]) -> list[NewJob]:
    return [job._replace(args=b"", options=None, headers=None, trace=None) for job in jobs]


@dataclass(eq=False)
class Refusals:
    """What the database has refused and taken, by the kinds of outcomes.

    A trigger, constraint or column that an operator has changed makes each outcome of a kind a data
    error. That is a state of the database and no job's fault: nothing must end for it.
    """

    jobs: Jobs
    _taken: Counter[Kind] = field(default_factory=Counter)
    _refused: set[Kind] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self._refused)

    def __contains__(self, kind: Kind) -> bool:
        return kind in self._refused

    def taken(self, kind: Kind) -> int:
        """How many transactions wrote outcomes of a kind while others were under suspicion."""
        return self._taken[kind]

    def judge(
        self, worker_id: int, job: Claimed, outcome: Outcome, error: Exception, taken: int
    ) -> bool:
        """Whether the fault is the job's: the database would take this end of it without the data
        of its body, or has taken others of this kind since. If not, log that the kind is refused.

        Args:
            error: what the database said to the outcome, alone.
            taken: what :meth:`taken` gave when it refused this outcome for the first time.

        Raises:
            LockedOut, StoreUnavailable: that cannot be found out now.
        """
        kind = kind_of(job, outcome)
        if self._taken[kind] > taken:
            return True
        if self.jobs.would_settle(worker_id, job, without_data(outcome)):
            return True
        self._refused.add(kind)
        log.error(
            "the database takes no outcome of the kind %s from any job, so these jobs wait until "
            "it does; look for a trigger, constraint or column that was changed: %s",
            type(outcome).__name__, message_of(error),
        )  # fmt: skip
        return False

    def note(self, pairs: Iterable[tuple[Claimed, Outcome]]) -> bool:
        """Note outcomes that were written; whether they are of a kind that was refused."""
        written = {kind_of(*pair) for pair in pairs}
        self._taken.update(written)
        if not (back := self._refused & written):
            return False
        self._refused -= back
        names = ", ".join(sorted({kind[0].__name__ for kind in back}))
        log.info("the database takes outcomes of this kind again: %s", names)
        return True
