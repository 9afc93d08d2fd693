"""The options of workflows, their nodes and batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hammerflow.canvas.options import ATTEMPTS, CALL_OPTIONS, TIMEOUT
from hammerflow.canvas.signature import Signature, plain
from hammerflow.errors import ConfigError
from hammerflow.introspection.kinds import is_a
from hammerflow.jobs.backoff import BACKOFF, Backoff
from hammerflow.jobs.job import PRIORITY
from hammerflow.jobs.limit import RATE
from hammerflow.jobs.status import FailurePolicy
from hammerflow.options.checks import (
    FLAG,
    JSON,
    NAME_CHECK,
    Unfit,
    ValueCheck,
    choice,
    duration,
    text,
)
from hammerflow.options.option import Option, OptionTable, checked
from hammerflow.text import plain_text

__all__ = ["BATCH_OPTIONS", "NODE_OPTIONS", "WORKFLOW_OPTIONS", "then_check"]

_RETRY = OptionTable(CALL_OPTIONS.by_name[name] for name in ("max_attempts", "backoff"))
_TEXT = text(1_000)


def _retry(value: Any) -> dict[str, Any]:
    if is_a(value, Backoff):
        return {"backoff": BACKOFF.read(value)}
    if is_a(value, Mapping):  # type: ignore[type-abstract]
        return checked(_RETRY, value, "its mapping", unknown=ConfigError)
    return {"max_attempts": ATTEMPTS.read(value)}


def _after(value: Any) -> list[Any]:
    is_one = plain_text(value) is not None or hasattr(value, "given_after")  # a WorkflowNode
    if not is_one and not is_a(value, list | tuple | set | frozenset):
        raise Unfit
    found = []
    for one in [value] if is_one else value:
        name = plain_text(one)
        if name is None and not hasattr(one, "given_after"):
            raise Unfit(value=one)
        found.append(one if name is None else name)
    return found


def then_check(what: str) -> ValueCheck:
    """One plain signature; ``what`` names it where it has links."""

    def read(value: Any) -> Signature:
        if not is_a(value, Signature):
            raise Unfit
        return plain(value, what)

    return ValueCheck("Signature", "a signature (task.s(...))", read)


#: What ``Workflow(name, ...)`` takes.
WORKFLOW_OPTIONS = OptionTable((
    Option(
        "failure_policy", choice(*FailurePolicy, type="FailurePolicy"), '"fail_fast"',
        "What happens to the rest when a node fails.",
    ),
    Option("description", text(10_000), "None", "Free text, shown by ``workflow show``."),
    Option(
        "timeout", TIMEOUT, "None",
        "Time from its enqueue after which it fails and its jobs are cancelled.",
    ),
    Option("priority", PRIORITY, "None", "Default for nodes without a priority."),
    Option(
        "retry",
        ValueCheck(
            "Backoff | int | Mapping",
            f"a backoff, {ATTEMPTS.wanted}, or a mapping with max_attempts and backoff", _retry,
        ),
        "None", "Default for nodes without such options.",
    ),
    Option(
        "health_check_interval", duration(zero=False), "None",
        "Time between two checks of its jobs by a worker.",
    ),
    Option("trace_id", _TEXT, "None", "Carried by all its jobs."),
    Option("correlation_id", _TEXT, "None", "Free text for other systems."),
    Option("metadata", JSON, "{}", "Values recorded with it."),
))  # fmt: skip

#: What ``Workflow.add(...)`` and ``then(...)`` take.
NODE_OPTIONS = OptionTable((
    Option(
        "after", ValueCheck("str | list", "the name of a node, or a list of names", _after), "()",
        "What must have ended before; it may be added later.",
    ),
    Option("name", NAME_CHECK, "the function's name", "The node's name, unique in the workflow."),
    Option("when", text(10_000, least=1), "None", "A condition on the results it waits for."),
    Option(
        "after_skipped", choice("skip", "run"), '"skip"',
        "What happens to it when a condition has skipped one that it waits for.",
    ),
    Option("wait_for_children", FLAG, "False", "Whether later nodes wait for its children, too."),
))  # fmt: skip

#: What ``app.batch(signatures, ...)`` takes.
BATCH_OPTIONS = OptionTable((
    Option(
        "on_failure", choice("continue", "fail_fast", "collect"), '"continue"',
        "What the failure of a call means for the others.",
    ),
    Option(
        "then", then_check("then of a batch"), "None",
        "A call that runs after all of them with the list of their results.",
    ),
    Option("name", NAME_CHECK, '"batch"', "Shown in lists."),
    Option(
        "rate_limit", RATE, "None",
        "How often its calls may start, over all workers, such as 100/m or 100/m burst 10.",
    ),
))  # fmt: skip
