"""Burst: what is left in the queues when a worker that runs in a burst finds nothing to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from hammerflow.stores.store import Store

__all__ = ["Left", "what_is_left"]

_STATES = ("ready", "running", "scheduled", "waiting", "parked")


class Left(NamedTuple):
    """Jobs that have not ended, in the queues that a worker serves.

    Attributes:
        counts: state to number of jobs; "paused" are those of paused queues in any state,
            and those of paused tasks that have not started.
        next_due: seconds until the first of the scheduled ones is due.
        goes_on: some of them will run without anybody's help.
    """

    counts: Mapping[str, int]
    next_due: float | None
    goes_on: bool

    def __str__(self) -> str:
        """``2 scheduled (the next in 0.9 s), 1 parked``."""
        due = "" if self.next_due is None else f" (the next in {max(0.0, self.next_due):.1f} s)"
        return ", ".join(
            f"{count} {state}{due if state == 'scheduled' else ''}"
            for state, count in self.counts.items()
        )


def what_is_left(store: Store, served: Collection[str]) -> Left:
    """Count what is left in these queues.

    Jobs that wait for others go on only while some job of the database may still run: their
    dependencies may be in queues of other workers. Parked jobs and pauses need a person.
    """
    pauses = store.pauses.list()
    app_paused = any(pause.kind == "app" for pause in pauses)
    held = store.pauses.held_jobs() if any(pause.kind == "task" for pause in pauses) else {}
    counts: Counter[str] = Counter()
    dues: list[float] = []
    active, elsewhere = 0, 0
    for queue in store.queues.list():
        jobs = {state: getattr(queue, state) for state in _STATES}
        is_paused = app_paused or queue.paused_at is not None
        at_rest: Mapping[str, int] = {} if is_paused else held.get(queue.name, {})
        jobs = {state: count - at_rest.get(state, 0) for state, count in jobs.items()}
        may_run = 0 if is_paused else jobs["ready"] + jobs["running"] + jobs["scheduled"]
        if queue.name not in served:
            elsewhere += may_run
        elif is_paused:
            counts["paused"] += sum(jobs.values())
        else:
            counts["paused"] += sum(at_rest.values())
            counts.update(jobs)
            active += may_run
            if jobs["scheduled"] and (due := store.jobs.next_due(queue.name)) is not None:
                dues.append(due)
    goes_on = active > 0 or (counts["waiting"] > 0 and elsewhere > 0)
    return Left({state: n for state, n in counts.items() if n}, min(dues, default=None), goes_on)
