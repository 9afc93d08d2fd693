"""Tracing: spans of OpenTelemetry for calls and runs of jobs. It needs the API only; without an SDK
that the user sets up, nothing is recorded."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.jobs.job import NewJob
from hammerflow.jobs.outcome import Completed, Failed, Failure, Outcome, Retry, Retrying, Settled
from hammerflow.telemetry.trace_context import MOST_LINKS, TraceContext
from hammerflow.telemetry.watchers import Stamp, WatchedRun

try:
    from opentelemetry import context as contexts
    from opentelemetry import trace
    from opentelemetry.baggage.propagation import W3CBaggagePropagator
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    raise ConfigError(
        "tracing is on, but OpenTelemetry is not installed: run pip install "
        "'hammerflow[opentelemetry]', or turn the setting tracing off"
    ) from error

__all__ = ["Tracing", "current_ids"]

_MOST_TEXT = 500  # characters of an error in a status
_TRACE, _BAGGAGE = TraceContextTextMapPropagator(), W3CBaggagePropagator()


class Tracing:
    """Makes a span for each call that enqueues and for each run of a body."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("hammerflow")
        self._names = _conventions()

    @contextmanager
    def sending(self, job: NewJob, count: int | None) -> Iterator[Stamp]:
        """A span around the insert, whose context the rows carry."""
        attributes = self._attributes("send", job.queue, job.task)
        if count == 1:
            attributes["messaging.message.id"] = str(uuid.UUID(bytes=job.id))
        elif count is not None:
            attributes["messaging.batch.message_count"] = count
        with self._tracer.start_as_current_span(
            f"send {job.queue}", kind=SpanKind.PRODUCER, attributes=attributes
        ):
            carrier = _carrier(contexts.get_current())

            def stamp(row: NewJob) -> NewJob:
                if carrier.traceparent is None:
                    return row
                return row._replace(trace=carrier._replace(id=row.trace).text())

            yield stamp

    def began(self, run: WatchedRun) -> _RunSpan:
        """Begin the span of a run, in which those of its body nest."""
        job, own = run.job, TraceContext.read(run.job.trace)
        base, links = _parent(own)
        others = [own.last, *(TraceContext.read(text).last for text in run.parents)]
        links += [Link(found) for text in others[: MOST_LINKS + 1] if (found := _span_of(text))]
        attributes = self._attributes("process", run.queue, run.task.name) | {
            "messaging.message.id": str(uuid.UUID(bytes=job.id)),
            "hammerflow.attempt": job.attempt,
            "hammerflow.root_id": str(uuid.UUID(bytes=job.root_id or job.id)),
        }
        if job.workflow_id is not None:
            attributes["hammerflow.workflow_id"] = str(uuid.UUID(bytes=job.workflow_id))
        span = self._tracer.start_span(
            f"process {run.queue}", base, SpanKind.CONSUMER, attributes, links
        )
        inner = trace.set_span_in_context(span, base)
        carrier = _carrier(inner)
        if carrier.traceparent is not None:
            run.job = job._replace(trace=carrier._replace(id=own.id).text())
            mine = own if own.traceparent else carrier._replace(id=own.id, is_link=True)
            run.span_trace = mine._replace(last=carrier.traceparent).text()
        return _RunSpan(run, span, contexts.attach(inner))

    def flush(self, seconds: float) -> None:
        """Have the provider export what waits, where it can."""
        flush = getattr(trace.get_tracer_provider(), "force_flush", None)
        if flush is not None:
            flush(round(seconds * 1000))

    def _attributes(self, operation: str, queue: str, task: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "messaging.system": "hammerflow", "messaging.destination.name": queue,
            "hammerflow.task": task,
        }  # fmt: skip
        if "old" in self._names:
            found["messaging.operation"] = "publish" if operation == "send" else operation
        if "new" in self._names:
            found["messaging.operation.name"] = found["messaging.operation.type"] = operation
        return found


class _RunSpan:
    """The span of one run."""

    def __init__(self, run: WatchedRun, span: Span, token: Any) -> None:
        self._run, self._span, self._token = run, span, token

    def end(self, outcome: Outcome) -> None:
        """End the span. An end that its body asked for does not count as an error."""
        span, kind = self._span, type(outcome)
        contexts.detach(self._token)
        name = "completed" if kind in (Completed, Settled) else kind.__name__.lower()
        span.set_attribute("hammerflow.outcome", name)
        if isinstance(outcome, Failed | Retrying):
            is_asked = kind is Retrying and isinstance(self._run.error, Retry)
            if not is_asked:
                _record(span, outcome.failure)
        span.end()


def _record(span: Span, failure: Failure) -> None:
    """As Span.record_exception does, but without the frames of the worker."""
    span.add_event(
        "exception",
        {
            "exception.type": failure.type,
            "exception.message": failure.message,
            "exception.stacktrace": failure.traceback,
        },
    )
    span.set_attribute("error.type", "timeout" if failure.kind == "timeout" else failure.type)
    span.set_status(Status(StatusCode.ERROR, failure.message[:_MOST_TEXT]))


def _carrier(context: Context) -> TraceContext:
    found: dict[str, str] = {}
    _TRACE.inject(found, context)
    _BAGGAGE.inject(found, context)
    return TraceContext(
        traceparent=found.get("traceparent"), state=found.get("tracestate"),
        baggage=found.get("baggage"),
    )  # fmt: skip


def _parent(own: TraceContext) -> tuple[Context, list[Link]]:
    """The context in which the span of a run begins, and its links."""
    carrier = {"traceparent": own.traceparent, "tracestate": own.state, "baggage": own.baggage}
    headers = {name: value for name, value in carrier.items() if value}
    base = _BAGGAGE.extract(headers, Context())
    if not own.is_link:
        return _TRACE.extract(headers, base), []
    found = _span_of(own.traceparent)
    return base, [Link(found)] if found else []


def _span_of(traceparent: str | None) -> SpanContext | None:
    if traceparent is None:
        return None
    span = trace.get_current_span(_TRACE.extract({"traceparent": traceparent}, Context()))
    found = span.get_span_context()
    return found if found.is_valid else None


def _conventions() -> frozenset[str]:
    """Which names of the semantic conventions are asked for; those for messaging are in
    development, so the older ones are the default."""
    chosen = os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").replace(" ", "").split(",")
    if "messaging/dup" in chosen:
        return frozenset({"old", "new"})
    return frozenset({"new"} if "messaging" in chosen else {"old"})


def current_ids() -> dict[str, str]:
    """The ids of the current span, as fields of a log line; empty without one."""
    found = trace.get_current_span().get_span_context()
    if not found.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(found.trace_id),
        "span_id": trace.format_span_id(found.span_id),
    }
