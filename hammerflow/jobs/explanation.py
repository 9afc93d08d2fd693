"""Explanations: why a job does not run, as a kind with facts, and the sentence of each kind.

To add a reason, add its sentence here, and the probe that finds it to
``stores/diagnosis/explain.py``.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from hammerflow.text import counted, timestamp

__all__ = ["Explanation"]

_ALONE = "[; it runs alone, as {alone}]"
_TURN = (
    "[by its age it counts as {counts_as}; ]workers that serve the queue run {running:job}"
    "[; {silent}]" + _ALONE
)
_AHEAD = "in the future ({until}), as the database's clock was set back"
_STUCK = (
    "[, of which {silent} are on workers that are silent or gone, and give their places back once "
    "a live worker has taken them over]"
)
_ONCE = "[, once job {holder}, which holds its unique key, has ended]: hammerflow job retry {id}"
_SILENT = (
    "its worker on {host} (pid {pid}) has been silent since {since}[, after it was told to stop it "
    "({stop})]"
)
_LOST = "its worker[ on {host}][ (pid {pid})] [has been silent since {since}][{silence}]"
_SEE_HOST = "see whether its host or process hangs: hammerflow worker show {worker}"
#: By kind: what is so, and what would change it. A part in brackets is left out where a fact in it
#: is empty; a number may bring its noun.
_TEXTS: Mapping[str, tuple[str, str]] = {
    "workflow_paused": (
        "its workflow {workflow} is paused[ ({reason})]",
        "run: hammerflow workflow retry, skip or resume {workflow_id}",
    ),
    "dependencies": (
        "it waits for {pending} of {total} dependencies[: {unfinished}][ and {others} others]",
        "see hammerflow workflow dependencies {id}",
    ),
    "due_later": (
        "it is due at {run_at}", "wait, or cancel it and enqueue it again with another time"
    ),
    "retry_later": (
        "attempt {next_attempt} is due at {run_at}, as attempt {attempt} has failed[: {error}]",
        "fix the cause before then, or run: hammerflow job cancel {id}",
    ),
    "snoozed": (
        "it is due at {run_at}, as its body has raised Snooze",
        "wait, or run: hammerflow job cancel {id}",
    ),
    "due": (
        "it has been due since {run_at}, and the next round of a worker makes it ready",
        "wait some seconds",
    ),
    "moving": ("what it waited for has just ended", "ask again"),
    "app_paused": (
        "the app has been paused since {since}[ by {by}][ ({reason})]",
        "run: hammerflow app resume",
    ),
    "task_paused": (
        "its task {task} has been paused since {since}[ by {by}][ ({reason})]",
        "run: hammerflow task resume {task}",
    ),
    "queue_paused": (
        "its queue {queue} has been paused since {since}[ by {by}][ ({reason})]",
        "run: hammerflow queue resume {queue}",
    ),
    "no_worker": (
        "no worker is alive[: {last}]", "start one: hammerflow -A package.module:app worker"
    ),
    "clock_set_back": (
        f"the last heartbeats of all workers lie {_AHEAD}",
        "wait some seconds for the next heartbeats; if none comes, start a worker",
    ),
    "queue_unserved": (
        "no live worker serves its queue {queue}",
        "add it to the queues of a worker: -Q ...,{queue}",
    ),
    "task_unknown": (
        "no live worker has registered its task {task}",
        "start a worker of the app that defines the task",
    ),
    "no_worker_for_both": (
        "the live workers that have registered its task do not serve its queue {queue}",
        "add it to the queues of a worker: -Q ...,{queue}",
    ),
    "workers_draining": (
        "every live worker that could run it is draining, and takes no more jobs",
        "start another one: hammerflow -A package.module:app worker",
    ),
    "no_child": (
        "no live worker that could run it has a child process[: {complaint}]",
        "see why in the log of the worker on {host} (pid {pid}), and restart it",
    ),
    "queue_capped": (
        "live workers that could run it hold {held} of {cap} jobs of {queue}, as their caps say",
        "wait until one ends, or restart a worker with a higher --queue-caps {queue}:N",
    ),
    "limit_full": (
        "{running} of {most} jobs of its limit {target}[ (key {key})] run[: {holders}]" + _STUCK,
        "wait until one ends, or run: hammerflow limit set {target} --max N",
    ),
    "limit_zero": (
        "its limit {target} allows no job to run", "run: hammerflow limit set {target} --max N"
    ),
    "limit_rate": (
        "the rate of its limit {target}[ (key {key})] allows the next start at {next_at}",
        "wait, or run: hammerflow limit set {target} --rate N/m",
    ),
    "expired_ready": (
        "it expired at {expires_at}, and the next worker that claims it cancels it",
        "enqueue it again with a later expires=",
    ),
    "queued": (
        "[{bound} ]{ahead:job is|jobs are} ahead of it in its queue {queue}; " + _TURN,
        "wait, or start another worker",
    ),
    "next": (
        "it is the next of its queue {queue}; " + _TURN, "wait, or start another worker"
    ),
    "worker_silent": (
        _SILENT + ", so it may have stopped; if it stays silent, the job is taken over "
        "{rescued}",
        _SEE_HOST,
    ),
    "worker_silent_alone": (
        _SILENT + ", so it may have stopped, and no other worker is alive to take it over",
        _SEE_HOST + ", and start another one: hammerflow -A package.module:app worker",
    ),
    "worker_lost": (
        _LOST + ", and a live worker takes the job over at its next sweep", "wait some seconds"
    ),
    "worker_lost_alone": (
        _LOST + ", and no other worker is alive to take the job over",
        "start one: hammerflow -A package.module:app worker",
    ),
    "worker_ahead": (
        "the last heartbeat of its worker on {host} (pid {pid}) lies " + _AHEAD + "; if no other "
        "comes, a live worker takes the job over after {lease} s",
        "wait some seconds for the next heartbeat",
    ),
    "stopping": (
        "its worker was told to stop it ({reason})",
        "wait for the grace of the worker, which then kills its child",
    ),
    "held": (
        "its worker on {host} (pid {pid}) claimed it at {since}, and has no child for it yet"
        "[: {complaint}]" + _ALONE,
        "wait, or see hammerflow worker show {worker}",
    ),
    "running": (
        "it has been running on {host} (pid {pid}[, child {child}]) since {since}" + _ALONE,
        "to see where its body is, run: hammerflow worker stack {id}",
    ),
    "parked": (
        "it is parked as {reason}", "fix the cause, then run" + _ONCE
    ),
    "completed": ("it completed at {at}", ""),
    "failed": (
        "it failed for good at {at} in attempt {attempt}[: {error}]",
        "fix the cause, then run" + _ONCE,
    ),
    "expired": (
        "it expired before it could start, and was cancelled at {at}",
        "enqueue it again with a later expires=",
    ),
    "cancelled": (
        "it was cancelled at {at}[: {reason}]", "to run it again" + _ONCE
    ),
    "skipped": (
        "it was skipped at {at}[: {reason}]",
        "to run it all the same" + _ONCE,
    ),
}  # fmt: skip
_PART = re.compile(r"\[([^\]]*)\]")
_NAME = re.compile(r"\{(\w+)")


class Explanation(NamedTuple):
    """One reason why a job does not run, or that it runs or has ended.

    Attributes:
        kind: for programs; the reference lists the kinds.
        facts: what the sentence names: ids, times, numbers, names.
    """

    kind: str
    facts: Mapping[str, Any]

    @property
    def says(self) -> str:
        """What is so; the subject is "it", the job."""
        return self._filled(_TEXTS[self.kind][0])

    @property
    def advice(self) -> str:
        """What would change it; empty for a job that has completed."""
        return self._filled(_TEXTS[self.kind][1])

    def sentence(self, job_id: uuid.UUID, state: str) -> str:
        """The whole as one sentence."""
        advice = f" -> {self.advice}" if self.advice else ""
        says = f"is {state}: {self.says}"
        if self.says.startswith(f"it is {state} "):  # "it is parked as poison: ..."
            says = self.says.removeprefix("it ")
        return f"job {job_id} {says}{advice}"

    def _filled(self, text: str) -> str:
        def part(match: re.Match[str]) -> str:
            names = _NAME.findall(match[1])
            return match[1] if all(self.facts.get(name) for name in names) else ""

        facts = {name: _shown(value) for name, value in self.facts.items()}
        return _PART.sub(part, text).format_map(facts)


class _Number(int):
    """A number that is written with its noun, singular or plural: ``{count:job is|jobs are}``."""

    def __format__(self, nouns: str) -> str:
        return counted(int(self), *nouns.split("|")) if nouns else str(int(self))


def _shown(value: Any) -> Any:
    match value:
        case int():
            return _Number(value)
        case datetime():
            return timestamp(value.astimezone())
        case list() | tuple():
            return ", ".join(map(_shown, value))
        case _:
            return " ".join(str(value).split())  # an error's message may have several lines
