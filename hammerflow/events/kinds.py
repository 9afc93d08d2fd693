"""The kinds of events: their names, and the numbers by which the database knows them."""

from __future__ import annotations

import difflib
import enum
import fnmatch
import functools
from collections.abc import Iterable, Mapping
from typing import Final

from hammerflow.errors import ConfigError
from hammerflow.text import safe_repr

__all__ = ["DEFAULT_KINDS", "DESCRIPTIONS", "EventKind", "kinds_of", "mask_of", "names_of"]


class EventKind(enum.IntEnum):
    """What an event tells. The numbers are written in the database, so they never change; a new
    kind takes the next free one, up to 62."""

    JOB_ENQUEUED = 1
    JOB_STARTED = 2
    JOB_COMPLETED = 3
    JOB_FAILED = 4
    JOB_RETRYING = 5
    JOB_SNOOZED = 6
    JOB_CANCELLED = 7
    JOB_SKIPPED = 8
    JOB_PARKED = 9
    JOB_LOST = 10
    JOB_REPLAYED = 11
    JOB_UNBLOCKED = 12
    JOB_REPLACED = 13
    JOB_EDITED = 14
    JOB_PURGED = 15
    JOB_ARCHIVED = 16
    JOB_RESTORED = 17
    WORKFLOW_STARTED = 20
    WORKFLOW_PAUSED = 21
    WORKFLOW_RESUMED = 22
    WORKFLOW_COMPLETED = 23
    WORKFLOW_FAILED = 24
    WORKFLOW_CANCELLED = 25
    SPAWN_COMPLETED = 28
    QUEUE_PAUSED = 30
    QUEUE_RESUMED = 31
    TASK_PAUSED = 32
    TASK_RESUMED = 33
    APP_PAUSED = 34
    APP_RESUMED = 35
    WORKER_STARTED = 38
    WORKER_STOPPED = 39
    WORKER_LOST = 40
    SCHEDULE_TICKED = 44
    SCHEDULE_MISSED = 45
    SCHEDULE_CHANGED = 46
    ALERT_FIRED = 50
    ALERT_RESOLVED = 51
    WEBHOOK_DISABLED = 52
    WEBHOOK_ENABLED = 53
    LOG_GAP = 62

    @functools.cached_property
    def label(self) -> str:
        """``job.completed``."""
        return self.name.lower().replace("_", ".", 1)

    @functools.cached_property
    def noun(self) -> str:
        """What it is about: job, workflow, spawn, queue, task, app, worker, schedule ..."""
        return self.label.partition(".")[0]

    @functools.cached_property
    def is_of_job(self) -> bool:
        """Whether its id is that of a job."""
        return self.noun in ("job", "spawn")


#: What each kind tells; the reference has these sentences.
DESCRIPTIONS: Final[Mapping[EventKind, str]] = {
    EventKind.JOB_ENQUEUED: "a job was written, ready, scheduled or waiting for others",
    EventKind.JOB_STARTED: "a worker has claimed a job and is about to run it",
    EventKind.JOB_COMPLETED: "its body returned",
    EventKind.JOB_FAILED: "it failed, and no attempt is left",
    EventKind.JOB_RETRYING: "an attempt failed or timed out, and another one follows",
    EventKind.JOB_SNOOZED: "its body asked to run later; no attempt was used up",
    EventKind.JOB_CANCELLED: "it was cancelled, and runs no more",
    EventKind.JOB_SKIPPED: "it never ran: a condition or a rule said no, or a job before it failed",
    EventKind.JOB_PARKED: "it cannot be run here and now, and waits for a person or a worker",
    EventKind.JOB_LOST: "the process that ran it died, or its worker went silent",
    EventKind.JOB_REPLAYED: "a person or a rerun put it back, to run again",
    EventKind.JOB_UNBLOCKED: "everything that it waited for has ended, so that it may run",
    EventKind.JOB_REPLACED: "its body has replaced it by another call, under the same id",
    EventKind.JOB_EDITED: "a person has changed its arguments, queue or priority",
    EventKind.JOB_PURGED: "its rows were removed: its time was over, or a person removed it",
    EventKind.JOB_ARCHIVED: "its rows were moved to the archive",
    EventKind.JOB_RESTORED: "its rows were brought back from the archive",
    EventKind.WORKFLOW_STARTED: "a workflow, batch, chain or group was written",
    EventKind.WORKFLOW_PAUSED: "a node failed, and its policy waits for a person",
    EventKind.WORKFLOW_RESUMED: "it goes on after a pause, or runs again after its end",
    EventKind.WORKFLOW_COMPLETED: "all of it has ended well",
    EventKind.WORKFLOW_FAILED: "all of it has ended, and something has failed",
    EventKind.WORKFLOW_CANCELLED: "all of it has ended after a cancel",
    EventKind.SPAWN_COMPLETED: "a spawner has ended, and its children were written",
    EventKind.QUEUE_PAUSED: "a queue was paused",
    EventKind.QUEUE_RESUMED: "a queue was resumed",
    EventKind.TASK_PAUSED: "a task was paused",
    EventKind.TASK_RESUMED: "a task was resumed",
    EventKind.APP_PAUSED: "the whole app was paused",
    EventKind.APP_RESUMED: "the whole app was resumed",
    EventKind.WORKER_STARTED: "a worker has registered",
    EventKind.WORKER_STOPPED: "a worker has left in order",
    EventKind.WORKER_LOST: "a worker was silent for a whole lease; its jobs were taken over",
    EventKind.SCHEDULE_TICKED: "a tick was made: a run, or why there was none",
    EventKind.SCHEDULE_MISSED: "ticks were due while no worker lived",
    EventKind.SCHEDULE_CHANGED: "a schedule was created, updated, paused, resumed or deleted",
    EventKind.ALERT_FIRED: "an alert has begun",
    EventKind.ALERT_RESOLVED: "an alert has ended",
    EventKind.WEBHOOK_DISABLED: "an endpoint was disabled after failures, or by its answer",
    EventKind.WEBHOOK_ENABLED: "an endpoint was enabled again",
    EventKind.LOG_GAP: "events were removed before this sink had read them; never stored",
}

#: What a sink gets that names no kinds: all but the two that come for every job and cost most.
DEFAULT_KINDS: Final = frozenset(EventKind) - {EventKind.JOB_ENQUEUED, EventKind.JOB_STARTED}

_BY_LABEL = {kind.label: kind for kind in EventKind}


def kinds_of(names: Iterable[str]) -> frozenset[EventKind]:
    """The kinds of these names; ``job.*`` is all of a noun, and ``*`` is every kind.

    Raises:
        ConfigError: a name is of no kind.
    """
    found: set[EventKind] = set()
    for name in names:
        matching = fnmatch.filter(_BY_LABEL, name)
        if not matching:
            near = difflib.get_close_matches(name, _BY_LABEL, n=1)
            hint = "the reference of events lists all kinds, and job.* is all of jobs"
            hint = f"did you mean {near[0]}?" if near else hint
            raise ConfigError(f"there is no kind of event {safe_repr(name)}: {hint}")
        found.update(_BY_LABEL[label] for label in matching)
    return frozenset(found)


def names_of(kinds: Iterable[EventKind]) -> list[str]:
    """The names of kinds, in the order of their numbers."""
    return [kind.label for kind in sorted(kinds)]


def mask_of(kinds: Iterable[EventKind]) -> int:
    """Kinds as the bits of a number."""
    mask = 0
    for kind in kinds:
        mask |= 1 << kind
    return mask
