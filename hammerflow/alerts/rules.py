"""Rules: what alerts watch, with the thresholds that are shipped and their options."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from hammerflow.errors import ConfigError
from hammerflow.options.checks import FLAG, Unfit, ValueCheck, duration, number, whole
from hammerflow.options.option import Option, OptionTable, checked
from hammerflow.text import plain_text, safe_repr

__all__ = ["KINDS", "RULE_OPTIONS", "AlertKind", "AlertRule", "Measure", "check_rule", "rules_of"]


class AlertKind(NamedTuple):
    """What can be watched.

    Attributes:
        subject: what one alert is about: a queue, a task ...
        unit: of the value and the threshold.
        threshold: a value of this or above is a warning ...
        critical: ... and this or above is critical; None: twice the threshold.
        hold: seconds that it must last before the alert fires.
        meaning: one sentence for the reference.
    """

    name: str
    subject: str
    unit: str
    threshold: float
    hold: float
    meaning: str
    critical: float | None = None
    window: float = 0.0
    least: int = 0


#: Every kind of rule by its name. One rule of each kind, with these values, is there by default.
KINDS: Final[Mapping[str, AlertKind]] = {
    kind.name: kind
    for kind in (
        AlertKind(
            "failure_ratio", "task", "share of ended jobs", 0.2, 60.0,
            "Of the jobs that completed or failed within `window`, the share that failed; only if "
            "they are `least` or more.", window=600.0, least=20,
        ),
        AlertKind(
            "queue_depth", "queue", "ready jobs", 10_000, 60.0,
            "Jobs of a queue that are ready, if it is not paused.",
        ),
        AlertKind(
            "queue_age", "queue", "seconds", 900, 60.0,
            "Time since the oldest ready job of a queue was enqueued, if it is not paused.",
        ),
        AlertKind(
            "queue_starving", "queue", "seconds", 180, 0.0,
            "The same, of a queue that is not paused, has ready jobs and a live worker, and of "
            "which nothing runs and nothing has ended for `window`.", window=180.0,
        ),
        AlertKind(
            "queue_unserved", "queue", "seconds", 60, 0.0,
            "The same, of a queue with ready jobs that no live worker serves.",
        ),
        AlertKind(
            "worker_silent", "host", "workers", 1, 0.0,
            "Workers of a host that went silent within `window` without leaving.", window=600.0,
        ),
        AlertKind(
            "jobs_parked", "queue", "parked jobs", 1, 0.0,
            "Jobs of a queue that are parked: they have killed their process too often, no worker "
            "knows their task, or their arguments cannot be read.", critical=100,
        ),
        AlertKind(
            "schedule_late", "schedule", "seconds", 120, 0.0,
            "Time by which the next tick of a schedule is overdue.",
        ),
        AlertKind(
            "sink_lag", "sink", "seconds", 300, 60.0,
            "Age of the oldest event that a sink has not got, if nobody has paused it.",
        ),
        AlertKind(
            "endpoint_disabled", "webhook", "endpoints", 1, 0.0,
            "A webhook whose endpoint was disabled after failures, or by its answer; not by a "
            "person.",
        ),
        AlertKind(
            "unsafe_settings", "database", "1 or 2", 1, 0.0,
            "Settings of the database by which a power cut or a crash loses committed jobs, or a "
            "disk that is nearly full: 1 if `hammerflow doctor` warns, 2 if it calls that a "
            "failure.",
        ),
        AlertKind(
            "anomaly", "task", "spreads", 5, 0.0,
            "How far the jobs of a task that ended in the last whole hour are from the median of "
            "the same hour of the 7 days before, in spreads (1.4826 times the median deviation, "
            "and 5 % of the median or one job at least); only if either is `least` or more.",
            least=50,
        ),
    )
}  # fmt: skip


def _patterns(value: Any) -> list[str]:
    one = plain_text(value)
    parts = one.split(",") if one is not None else [plain_text(part) for part in value]
    found = [part.strip() for part in parts if part is not None]
    if len(found) < len(parts) or not all(found) or len(found) > 100:
        raise Unfit
    if max(map(len, found), default=0) > 300:
        raise Unfit
    return found


_PATTERNS = ValueCheck("list[str]", "names, which may hold *", _patterns, bounds="1 to 100 names")

#: Options of every rule.
RULE_OPTIONS: Final = OptionTable((
    Option("enabled", FLAG, "True", "Whether it is evaluated."),
    Option(
        "threshold", number(1e-9, 1e15), "that of the kind",
        "A value of this or above is a warning.",
    ),
    Option(
        "critical", number(1e-9, 1e15), "twice the threshold",
        "A value of this or above is critical.",
    ),
    Option(
        "hold", duration(most=86_400), "that of the kind",
        "Seconds for which a value must be too high before the alert fires.",
    ),
    Option(
        "clear", duration(most=86_400), "60",
        "Seconds for which a value must be below the threshold before the alert resolves.",
    ),
    Option(
        "cooldown", duration(most=7 * 86_400), "300",
        "Seconds from one message that an alert has fired to the next one, at least.",
    ),
    Option(
        "window", duration(zero=False, most=86_400), "that of the kind",
        "Seconds before now that are looked at, where the kind has a window.",
    ),
    Option(
        "least", whole(1, 10**9), "that of the kind",
        "Jobs that must have ended before a ratio or an anomaly counts.",
    ),
    Option(
        "subjects", _PATTERNS, "all",
        "Only queues, tasks, schedules ... of these names, which may hold `*`.",
    ),
))  # fmt: skip


class Measure(NamedTuple):
    """What was found of one subject."""

    subject: str
    value: float
    text: str  # a sentence that says it


class AlertRule(NamedTuple):
    """A rule with all its options.

    Attributes:
        app: whose code has set it; empty: an operator, or the shipped default.
    """

    name: str
    kind: AlertKind
    enabled: bool
    threshold: float
    critical: float
    hold: float
    clear: float
    cooldown: float
    window: float
    least: int
    subjects: Sequence[str]
    app: str = ""
    changed_by: str = ""

    @classmethod
    def of(
        cls, name: str, kind: str, options: Mapping[str, Any], *, app: str = "", by: str = ""
    ) -> AlertRule:
        """A rule of stored options; what they lack is that of the kind."""
        found, given = KINDS[kind], options
        threshold = float(given.get("threshold", found.threshold))
        shipped = found.critical if "threshold" not in given else None
        return cls(
            name, found, given.get("enabled", True), threshold,
            float(given.get("critical", shipped or 2 * threshold)),
            float(given.get("hold", found.hold)), float(given.get("clear", 60.0)),
            float(given.get("cooldown", 300.0)), float(given.get("window", found.window)),
            int(given.get("least", found.least)), given.get("subjects", ()), app, by,
        )  # fmt: skip

    def covers(self, subject: str) -> bool:
        """Whether it watches this one."""
        return not self.subjects or any(
            fnmatch.fnmatchcase(subject, pattern) for pattern in self.subjects
        )

    def severity(self, value: float) -> str:
        """``critical``, ``warning``, or nothing."""
        if value < self.threshold:
            return ""
        return "critical" if value >= self.critical else "warning"


def check_rule(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a rule, checked, as JSON takes them.

    Raises:
        ConfigError: there is no such kind, or an option is unknown or wrong.
    """
    if kind not in KINDS:
        raise ConfigError(
            f"unknown kind of alert rule {safe_repr(kind)}: use one of {', '.join(KINDS)}"
        )
    found = checked(RULE_OPTIONS, given, f"the alert rule of kind {kind}", unknown=ConfigError)
    rule = AlertRule.of(kind, kind, found)
    if rule.critical < rule.threshold:
        raise ConfigError(
            f"the alert rule of kind {kind}: critical ({rule.critical:g}) must not be below the "
            f"threshold ({rule.threshold:g})"
        )
    return found


def rules_of(stored: Mapping[str, AlertRule]) -> Mapping[str, AlertRule]:
    """All rules by name: the shipped ones, and those that are stored, which replace them."""
    shipped = {name: AlertRule.of(name, name, {}) for name in KINDS}
    return {**shipped, **stored}
