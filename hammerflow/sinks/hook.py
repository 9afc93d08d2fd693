"""HookSink: each event becomes a job of one task, the function that ``@app.on`` has declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hammerflow.codec.codec import Codec
from hammerflow.errors import NotEncodable
from hammerflow.events.event import Event
from hammerflow.events.kinds import EventKind
from hammerflow.jobs.job import NewJob
from hammerflow.options.checks import JSON
from hammerflow.options.option import Option, OptionTable
from hammerflow.schedules.call_template import CallTemplate
from hammerflow.sinks.base import Message, Refused, Report, SinkError
from hammerflow.sinks.jobs import job_id, report_of

__all__ = ["EVENT_NAME", "HookSink"]

#: Under which the codec knows events: the relay encodes them, the worker's children decode them.
EVENT_NAME = "hammerflow.Event"


class HookSink:
    """Makes a job of each event, in the transaction that moves the cursor."""

    OPTIONS = OptionTable((
        Option(
            "call", JSON, "(required)",
            "The job without its event, as `@app.on` writes it: declare hooks in code.",
        ),
    ))  # fmt: skip
    SECRETS: frozenset[str] = frozenset()

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self._name = name
        self._call = options.get("call")
        self._job: NewJob | None = None
        self._codec = Codec()
        self._codec.register(Event, EVENT_NAME)

    def open(self) -> None:
        """Read the job of the declaration.

        Raises:
            SinkError: another version of hammerflow has written it.
        """
        try:
            self._job = CallTemplate.from_json(self._call or {}).job
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SinkError(f"the call of the hook cannot be read: {error}") from error

    def send(self, messages: Sequence[Message]) -> Report:
        """The jobs of a batch."""
        return report_of(messages, self._jobs)

    def close(self) -> None:
        """Nothing to close."""

    def _jobs(self, message: Message) -> Iterator[NewJob]:
        assert self._job is not None
        event = message.event
        if event.kind == EventKind.LOG_GAP.label:  # the relay's log and the list of sinks tell it
            return
        try:
            args = self._codec.encode_call([event], {})
        except NotEncodable as error:
            raise Refused(str(error)) from error
        yield self._job._replace(id=job_id(event, self._name, "hook"), args=args)
