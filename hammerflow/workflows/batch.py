"""Batch: many calls that are sent, followed and finished as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final

from hammerflow.canvas.signature import Signature, plain
from hammerflow.errors import ConfigError, WorkflowInvalid
from hammerflow.introspection.kinds import is_a
from hammerflow.jobs.limit import Rate
from hammerflow.jobs.status import FailurePolicy
from hammerflow.options.checks import are_items, items_of
from hammerflow.options.option import checked
from hammerflow.text import safe_repr
from hammerflow.workflows.options import BATCH_OPTIONS

__all__ = ["Batch", "submit_work"]

_WANTED: Final = "a batch takes an iterable of signatures (task.s(...))"


@dataclass(eq=False, repr=False, slots=True)
class Batch:
    """Many calls as one unit: sent alone or as a node of a workflow.

    Made by ``app.batch(...)``.

    Args:
        signatures: any number of calls; a list is copied, a generator is read once, when the batch
            is sent.
        on_failure: what happens when a call fails. ``continue`` (default): the others run,
            ``then`` is skipped and the batch fails. ``fail_fast``: calls that have not started are
            cancelled and the batch fails. ``collect``: the others run, then ``then`` runs with
            None in place of the missing results, and the batch completes.
        then: runs after all calls, with the list of their results as first argument.
        name: shown in lists.
        rate_limit: how often its calls may start, across all workers: ``100/m``,
            ``100/m burst 10`` (s, m, h or d). Not for calls of tasks that have a limit or
            fair_by of their own: the limit of a queue holds besides those.
        submit: sends it; the ``enqueue`` of its app.

    Raises:
        ConfigError: ``on_failure`` or ``rate_limit`` is invalid, or ``then`` has links.
        TypeError: ``then`` is not a signature.
    """

    signatures: Iterable[Signature]
    _: KW_ONLY
    on_failure: str = "continue"
    then: Signature | None = None
    name: str = "batch"
    rate_limit: str | None = None
    submit: Callable[[Any], Any] | None = None
    _was_read: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if not are_items(self.signatures):
            raise TypeError(f"{_WANTED}, not {safe_repr(self.signatures)}")
        if is_a(self.signatures, list | tuple):
            self.signatures = tuple(items_of(self.signatures, _WANTED))  # callers change their list
        given = {"on_failure": self.on_failure, "then": self.then, "name": self.name}
        found = checked(BATCH_OPTIONS, {**given, "rate_limit": self.rate_limit}, "a batch")
        self.on_failure = found.get("on_failure", "continue")
        self.name = found.get("name", "batch")
        rate: Rate | None = found.get("rate_limit")
        self.rate_limit = None if rate is None else rate.text

    def enqueue(self) -> Any:
        """Write all calls in one transaction.

        Returns:
            The BatchResult.

        Raises:
            ConfigError: the batch has no app.
        """
        return submit_work(self, self.submit)

    delay = enqueue

    def calls(self) -> Iterator[Signature]:
        """Its calls, one by one; a generator of calls can be read only once."""
        signatures = items_of(self.signatures, _WANTED)
        if self._was_read and signatures is self.signatures:
            raise WorkflowInvalid(
                f"batch {self.name} was sent before and its generator of calls is used up: "
                "make a new batch"
            )
        self._was_read = True
        for index, signature in enumerate(signatures):
            if type(signature) is Signature and not (signature.links or signature.errbacks):
                yield signature
            else:
                yield plain(signature, f"signatures[{index}] of a batch")

    @property
    def collects(self) -> int:
        """0: a failed call fails the batch. 1: only a failed ``then`` does. 2: nothing does."""
        return 0 if self.on_failure != "collect" else 1 if self.then is not None else 2

    @property
    def policy(self) -> FailurePolicy:
        """The failure policy of ``on_failure``."""
        is_fast = self.on_failure == "fail_fast"
        return FailurePolicy.FAIL_FAST if is_fast else FailurePolicy.CONTINUE_ON_FAILURE


def submit_work(work: Any, submit: Callable[[Any], Any] | None) -> Any:
    """Send a batch or workflow; without ``submit``, no task has made its signatures."""
    if submit is None:
        raise ConfigError(f"this {type(work).__name__.lower()} has no app: use app.enqueue(...)")
    return submit(work)
