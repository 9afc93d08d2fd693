"""Sinks whose consumer is a job: what events cause is enqueued by the transaction that moves the
cursor, so each event causes its jobs once.

``send`` of such a sink returns :func:`report_of`: it delivers nothing itself. The ids of the jobs
follow from the event (:func:`job_id`), so an event that is read again after a rewind causes none
twice while they are kept. Events of such jobs are never written: no job of a sink causes another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

from hammerflow.events.event import Event
from hammerflow.ids import event_job_id
from hammerflow.jobs.job import NewJob
from hammerflow.sinks.base import Message, Refused, Report
from hammerflow.stores.store import Store

__all__ = ["StoreReader", "job_id", "report_of"]


@runtime_checkable
class StoreReader(Protocol):
    """A sink that reads the database of the events."""

    def use_store(self, store: Store, source: str) -> None:
        """Called once, before ``open()``.

        Args:
            source: the app's namespace.
        """


def job_id(event: Event, *parts: str | int) -> bytes:
    """The id of a job that an event causes, the same whenever it is asked for.

    Args:
        parts: what tells it from other jobs of the event: the name of the sink, at least.
    """
    return event_job_id(event.at.timestamp(), *parts, event.position)


def report_of(messages: Sequence[Message], make: Callable[[Message], Iterable[NewJob]]) -> Report:
    """The jobs of these messages.

    Args:
        make: the jobs that one of them causes, with ids of :func:`job_id`; it may be none. If it
            raises Refused, the event is parked.
    """
    jobs: dict[int, Sequence[NewJob]] = {}
    refused: dict[int, str] = {}
    for message in messages:
        try:
            jobs[message.position] = list(make(message))
        except Refused as error:
            refused[message.position] = str(error)
    return Report(frozenset(jobs), refused, jobs=jobs)
