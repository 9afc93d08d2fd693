"""TraceContext: where a job belongs in a trace, as its row carries it in one text.

The text is a W3C ``traceparent``, which JSON with the rest may follow; or, of a job that no tracer
has seen, the trace id that its workflow was given.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hammerflow.jobs.job import NewJob

__all__ = ["MOST_LINKS", "TraceContext", "inherited_trace", "row_trace", "traceparent_of"]

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
#: A trace shows at most this many children of a spawner; the others begin traces of their own.
_MOST_CHILDREN = 100
#: A job due later than this many seconds begins a trace of its own.
_LATE = 3_600.0
#: The most jobs to which the span of a fan-in has links.
MOST_LINKS = 128
#: Characters of baggage that are carried; as the W3C asks for at least.
_MOST_BAGGAGE = 8_192


class TraceContext(NamedTuple):
    """The context of a job.

    Attributes:
        traceparent: of the W3C; None if only an id is known.
        id: the trace id that the user has given to its workflow.
        state, baggage: the headers ``tracestate`` and ``baggage``.
        is_link: its span has a link to ``traceparent`` instead of being a child of it.
        waits: it waits for other jobs, to whose spans its own has links.
        last: the traceparent of its last attempt.
    """

    traceparent: str | None = None
    id: str | None = None
    state: str | None = None
    baggage: str | None = None
    is_link: bool = False
    waits: bool = False
    last: str | None = None

    @classmethod
    def read(cls, text: str | None) -> TraceContext:
        """The context of a row; an empty one of what cannot be read."""
        if not text:
            return cls()
        head, _, rest = text.partition(" ")
        if _TRACEPARENT.fullmatch(head) is None:
            return cls(id=text)
        try:
            fields: dict[str, Any] = json.loads(rest) if rest else {}
            return cls(traceparent=head, **fields)
        except (ValueError, TypeError):
            return cls(traceparent=head)

    @property
    def trace_ids(self) -> tuple[str, ...]:
        """By which the job can be found."""
        found = _TRACEPARENT.fullmatch(self.traceparent or "")
        return tuple(id_ for id_ in (self.id, found and found[1]) if id_)

    def text(self) -> str | None:
        """What the row carries."""
        if self.traceparent is None:
            return self.id
        fields = {name: value for name, value in self._asdict().items() if value}
        del fields["traceparent"]
        if len(fields.get("baggage", "")) > _MOST_BAGGAGE:
            del fields["baggage"]
        rest = json.dumps(fields, separators=(",", ":")) if fields else ""
        return f"{self.traceparent} {rest}".rstrip()


def traceparent_of(text: str | None) -> str | None:
    """The W3C traceparent in the text of a row, or the id that was given instead of one."""
    context = TraceContext.read(text)
    return context.traceparent or context.id


def row_trace(job: NewJob) -> str | None:
    """The text for the row of a job that has a context: whether its span may be a child, and
    whether it waits for others, is known here."""
    context = TraceContext.read(job.trace)
    if context.traceparent is None:
        return job.trace
    return context._replace(
        waits=job.pending is not None or bool(job.depends),
        is_link=context.is_link or _is_late(job),
    ).text()


def _is_late(job: NewJob) -> bool:
    if job.eta is not None:
        return (job.eta - datetime.now(UTC)).total_seconds() > _LATE
    return (job.delay or 0.0) > _LATE


def inherited_trace(trace: str | None, spawn_index: int | None) -> str | None:
    """What the child of a job with this context inherits."""
    if trace is None or spawn_index is None or spawn_index < _MOST_CHILDREN:
        return trace
    context = TraceContext.read(trace)
    return trace if context.traceparent is None else context._replace(is_link=True).text()
