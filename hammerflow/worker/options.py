"""Options: how one worker runs, as the command line gives it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from hammerflow.errors import ConfigError
from hammerflow.jobs.priority_rule import PriorityRule
from hammerflow.options.checks import (
    FLAG,
    NAME_CHECK,
    Unfit,
    ValueCheck,
    choice,
    duration,
    number,
    text,
    whole,
)
from hammerflow.options.option import Option, OptionTable, documented
from hammerflow.settings import AGING, PRIORITIES, Settings
from hammerflow.text import safe_repr
from hammerflow.urls.listen import LISTEN
from hammerflow.worker.cpus import usable_cpus

__all__ = ["WORKER_OPTIONS", "ChildRange", "WorkerOptions", "read_queues"]

_WEIGHT = whole(1, 1_000)
_RANGE = range(1, 1_001)


def _queues(value: Any, noun: str = "weight") -> dict[str, int]:
    if isinstance(value, str):
        return read_queues(value, noun)
    named = {NAME_CHECK(name, "a queue's name"): number for name, number in dict(value).items()}
    return {name: _WEIGHT(number, f"the {noun} of {name}") for name, number in named.items()}


_COUNT = whole(1, 1_024)


class ChildRange(NamedTuple):
    """How many children of a kind a worker has, at least and at most."""

    least: int
    most: int

    @classmethod
    def of(cls, plain: int | str) -> ChildRange:
        """The inverse of :meth:`to_plain`."""
        least, _, most = str(plain).partition(":")
        return cls(int(least), int(most or least))

    @property
    def is_fixed(self) -> bool:
        """Whether the load changes nothing."""
        return self.least == self.most

    def to_plain(self) -> int | str:
        """As it is given: 4 or "2:16"."""
        return self.least if self.is_fixed else f"{self.least}:{self.most}"


def _children(value: Any) -> int | str:
    if not isinstance(value, str):
        return _COUNT.read(value)  # type: ignore[no-any-return]
    limits = [_COUNT.read(_COUNT.parse(part)) for part in value.split(":")]
    if len(limits) > 2 or limits[0] > limits[-1]:
        raise Unfit
    return ChildRange(limits[0], limits[-1]).to_plain()


#: How one worker runs: the arguments of WorkerOptions, and the flags of ``hammerflow worker``.
WORKER_OPTIONS = OptionTable((
    Option("app", text(1_000, least=1), "required", "The app, as package.module:app."),
    Option(
        "database", text(10_000), "the app's", "URL of the database, instead of the app's."
    ),
    Option(
        "children",
        ValueCheck(
            "int | str", "a whole number from 1 to 1024, or two as in 2:16", _children,
            bounds="1 to 1024, or a range such as 2:16",
        ),
        "one per CPU",
        "Child processes for each kind of task: sync, async, and async with limits; the default "
        "counts the CPUs that "
        "affinity and quota allow. With a range such as 2:16, as many as there is work for.",
    ),
    Option(
        "child_cooldown", duration(most=1_000_000), "30",
        "With a range of children: how long a child may be idle before it ends.",
    ),
    Option(
        "queues",
        ValueCheck("dict[str, int] | str", "queues with weights, like high:5,default:1", _queues),
        "all queues",
        "The queues to serve, with weights from 1 to 1000: with high:5,default:1, five of six "
        "jobs that start are from high.",
    ),
    Option(
        "queue_caps",
        ValueCheck(
            "dict[str, int] | str", "queues with caps, like mail:2", partial(_queues, noun="cap")
        ),
        "none",
        "Maximum number of jobs of a queue that this worker holds at a time, 1 to 1000: mail:2.",
    ),
    Option("async_slots", whole(1, 100_000), "100", "Async jobs that each child runs at once."),
    Option(
        "max_jobs_per_child", whole(1, 10**9), "never", "Replace a child after this many jobs."
    ),
    Option(
        "max_memory_per_child", whole(1, 10**8, "MiB"), "never",
        "Replace a child that uses more than this many MiB after a job.",
    ),
    Option(
        "grace", duration(most=1_000_000), "30",
        "Time that running jobs get to end after SIGTERM; after it they go back to the queue.",
    ),
    Option(
        "poll", number(0.01, 3_600), "the setting poll",
        "Seconds between two polls when the doorbell is silent.",
    ),
    Option(
        "priorities", PRIORITIES, "the setting priorities",
        "strict: the highest priority first. weighted: from critical to background, 20, 10, 5, 2 "
        "and 1 of 38 starts.",
    ),
    Option(
        "aging", AGING, "the setting aging",
        "With strict priorities: each time a ready job has waited this long, it counts as one "
        "priority higher.",
    ),
    Option(
        "import_timeout", duration(zero=False, most=86_400), "120",
        "Time that importing the app may take.",
    ),
    Option(
        "wait_for_database", duration(most=1_000_000), "no limit; 0 for a SQLite file",
        "Time to wait at startup for a database that does not answer, before the worker ends.",
    ),
    Option(
        "health", LISTEN, "none",
        "Answer probes over HTTP on HOST:PORT: /livez and /readyz. Port 0 takes a free one.",
    ),
    Option(
        "metrics", LISTEN, "none",
        "Answer Prometheus on HOST:PORT: /metrics. It may be the address of --health.",
    ),
    Option("burst", FLAG, "False", "End when no job is ready and none runs."),
    Option("reload", FLAG, "False", "Replace the children when a source file changes."),
    Option(
        "until_empty", FLAG, "False",
        "With burst: also wait for jobs that are scheduled, run elsewhere or wait for others.",
    ),
    Option(
        "log_format", choice("text", "json"), '"text"',
        "Write the log as text or as one JSON object per line.",
    ),
    Option(
        "log_level", choice("debug", "info", "warning", "error"), '"info"',
        "Log this level and the more severe ones.",
    ),
    Option(
        "configure_logging", FLAG, "True",
        "Replace the handlers of the root logger, or keep those that the app has set.",
    ),
    Option("log_jobs", FLAG, "False", "Log the end of every job, not only failures."),
))  # fmt: skip


@documented(*WORKER_OPTIONS)
@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How one worker runs; durations in seconds.

    The settings ``configure_logging`` and ``log_jobs`` also count: the worker owns the root logger
    if both option and setting say so, and logs each job if either does. See
    :mod:`hammerflow.worker.logs`.

    Raises:
        ConfigError: a value is of another type or out of range.
    """

    app: str
    database: str = ""
    children: int | str | None = None
    child_cooldown: float = 30.0
    queues: Mapping[str, int] | str | None = None
    queue_caps: Mapping[str, int] | str | None = None
    async_slots: int = 100
    max_jobs_per_child: int | None = None
    max_memory_per_child: int | None = None
    grace: float = 30.0
    poll: float | None = None
    priorities: str | None = None
    aging: float | None = None
    import_timeout: float = 120.0
    wait_for_database: float | None = None
    health: str | None = None
    metrics: str | None = None
    burst: bool = False
    reload: bool = False
    until_empty: bool = False
    log_format: str = "text"
    log_level: str = "info"
    configure_logging: bool = True
    log_jobs: bool = False

    def priority_rule(self, settings: Settings) -> PriorityRule:
        """How priorities count, by what is given here or else in the settings."""
        priorities = self.priorities or settings.priorities
        return PriorityRule.of(priorities, self.aging or settings.aging)

    @property
    def child_range(self) -> ChildRange:
        """How many children of a kind to run."""
        return ChildRange.of(self.children or usable_cpus())

    @property
    def processes(self) -> int:
        """How many children of a kind to run at most."""
        return self.child_range.most

    @property
    def weights(self) -> dict[str, int] | None:
        """The queues to serve, name to weight; None for all."""
        return None if self.queues is None else dict(self.queues)  # type: ignore[arg-type]

    @property
    def caps(self) -> dict[str, int]:
        """The caps of queues, by name."""
        return dict(self.queue_caps or {})  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        for option in WORKER_OPTIONS:
            value = getattr(self, option.name)
            if value is not None or option.name not in _OPTIONAL:
                object.__setattr__(self, option.name, option.check(value, option.name))
        if self.until_empty and not self.burst:
            raise ConfigError("until_empty goes with burst: give both")
        weights = self.weights
        for name in self.caps if weights is not None else ():
            if name not in (weights or ()):
                raise ConfigError(f"queue_caps: the worker does not serve the queue {name!r}")


_OPTIONAL = {
    "children",
    "health",
    "metrics",
    "queue_caps",
    "queues",
    "max_jobs_per_child",
    "max_memory_per_child",
    "poll",
    "priorities",
    "aging",
    "wait_for_database",
}


def read_queues(text: str, noun: str = "weight") -> dict[str, int]:
    """Read ``high:5,default:1`` as name to weight; a name alone weighs 1.

    Args:
        noun: what the numbers are, for the message.

    Raises:
        ConfigError: the text has another form, names a queue twice, or a weight is not from 1 to
            1000.
    """
    weights: dict[str, int] = {}
    for part in text.split(","):
        name, colon, weight = part.strip().rpartition(":")
        if not colon:
            name, weight = weight, "1"
        if (
            not name
            or not re.fullmatch("[0-9]{1,4}", weight, re.ASCII)
            or int(weight) not in _RANGE
        ):
            raise ConfigError(
                f"write queues as name:{noun},name:{noun} with {noun}s from 1 to 1000, "
                f"not {safe_repr(part.strip())}"
            )
        if NAME_CHECK(name, "a queue's name") in weights:
            raise ConfigError(f"the queue {safe_repr(name)} is given twice")
        weights[name] = int(weight)
    return weights
