"""HammerflowIntegration: errors, traces and check-ins of jobs for Sentry."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from hammerflow.errors import ConfigError, SoftTimeout
from hammerflow.jobs.job import NewJob
from hammerflow.jobs.outcome import (
    Cancelled,
    Completed,
    Failed,
    Outcome,
    Released,
    Retry,
    Retrying,
    Settled,
    Snoozed,
)
from hammerflow.telemetry.watchers import INTEGRATIONS, Stamp, WatchedRun
from hammerflow.worker.failures import traceback_in_body

try:
    import sentry_sdk
    from sentry_sdk.consts import OP, SPANDATA
    from sentry_sdk.crons import capture_checkin
    from sentry_sdk.integrations import Integration
    from sentry_sdk.integrations.logging import ignore_logger
    from sentry_sdk.scope import should_send_default_pii
    from sentry_sdk.tracing import TransactionSource
    from sentry_sdk.utils import (
        capture_internal_exceptions,
        event_from_exception,
    )
except ImportError as error:
    raise ConfigError(
        "hammerflow.integrations.sentry needs sentry-sdk: run pip install 'hammerflow[sentry]'"
    ) from error

__all__ = ["HammerflowIntegration"]

#: What sentry_sdk shows instead of what it does not send.
_FILTERED = "[Filtered]"
#: When a call was made, as sentry_sdk's integration of Celery names it.
_ENQUEUED = "sentry-task-enqueued-time"
_ASKED = (Released, Snoozed, Cancelled, Retrying)


class HammerflowIntegration(Integration):
    """For ``sentry_sdk.init(integrations=[HammerflowIntegration()])``, where jobs are enqueued and,
    in an ``app.hooks.child_started``, in workers.

    Args:
        propagate_traces: whether a job goes on with the trace of its call.
        report_retries: whether to report errors that another attempt follows, too.
        monitor_schedules: whether jobs of schedules send check-ins; the monitor's slug is the name
            of the schedule.
    """

    identifier = "hammerflow"
    origin = f"auto.queue.{identifier}"

    def __init__(
        self, *, propagate_traces: bool = True, report_retries: bool = False,
        monitor_schedules: bool = False,
    ) -> None:  # fmt: skip
        self.propagate_traces = propagate_traces
        self.report_retries = report_retries
        self.monitor_schedules = monitor_schedules

    @staticmethod
    def setup_once() -> None:
        """Watch the jobs of all apps of this process."""
        INTEGRATIONS.append(_Sentry())
        ignore_logger("hammerflow.jobs")  # it logs each failure, which is reported already


def _integration() -> HammerflowIntegration | None:
    return sentry_sdk.get_client().get_integration(HammerflowIntegration)


class _Sentry:
    """Watches calls and runs for Sentry."""

    @contextmanager
    def sending(self, job: NewJob, count: int | None) -> Iterator[Stamp]:
        """A span around the insert; the headers of the rows carry its trace."""
        integration = _integration()
        if integration is None or not integration.propagate_traces:
            yield lambda row: row
            return
        with sentry_sdk.start_span(
            op=OP.QUEUE_PUBLISH, name=job.task, origin=HammerflowIntegration.origin
        ) as span:
            span.set_data(SPANDATA.MESSAGING_SYSTEM, "hammerflow")
            span.set_data(SPANDATA.MESSAGING_DESTINATION_NAME, job.queue)
            if count == 1:
                span.set_data(SPANDATA.MESSAGING_MESSAGE_ID, str(uuid.UUID(bytes=job.id)))
                span.set_data("messaging.message.body.size", len(job.args))
            yield self.stamp

    def stamp(self, row: NewJob) -> NewJob:
        """The row with the current trace in its headers."""
        integration = _integration()
        if integration is None or not integration.propagate_traces:
            return row
        headers = dict(
            sentry_sdk.get_current_scope().iter_trace_propagation_headers(
                span=sentry_sdk.get_current_span()
            )
        )
        known = json.loads(row.headers) if row.headers else {}
        return row._replace(headers=json.dumps(known | headers | {_ENQUEUED: time.time()}))

    def began(self, run: WatchedRun) -> _SentryRun:
        """Begin the scope and the transaction of a run."""
        return _SentryRun(run, _integration())

    def flush(self, seconds: float) -> None:
        """Send the events that wait."""
        sentry_sdk.flush(timeout=seconds)


class _SentryRun:
    """The scope and transaction of one run."""

    def __init__(self, run: WatchedRun, integration: HammerflowIntegration | None) -> None:
        self._run, self._integration = run, integration
        self._stack = ExitStack()
        self._began = time.monotonic()
        self._slug: str | None = None
        if integration is not None:
            with capture_internal_exceptions():
                self._begin(integration)

    def _begin(self, integration: HammerflowIntegration) -> None:
        run, job = self._run, self._run.job
        headers = json.loads(job.headers) if job.headers else {}
        scope = self._stack.enter_context(sentry_sdk.isolation_scope())
        scope.clear_breadcrumbs()
        scope.add_event_processor(self._describe)
        transaction = sentry_sdk.continue_trace(
            headers if integration.propagate_traces else {}, op=OP.QUEUE_PROCESS,
            name=run.task.name, source=TransactionSource.TASK, origin=HammerflowIntegration.origin,
        )  # fmt: skip
        span = self._stack.enter_context(sentry_sdk.start_transaction(transaction))
        span.set_data(SPANDATA.MESSAGING_SYSTEM, "hammerflow")
        span.set_data(SPANDATA.MESSAGING_DESTINATION_NAME, run.queue)
        span.set_data(SPANDATA.MESSAGING_MESSAGE_ID, str(uuid.UUID(bytes=job.id)))
        span.set_data(SPANDATA.MESSAGING_MESSAGE_RETRY_COUNT, job.attempt - 1)
        span.set_data("messaging.message.body.size", len(job.args))
        if _ENQUEUED in headers:
            latency = (time.time() - headers[_ENQUEUED]) * 1000
            span.set_data(SPANDATA.MESSAGING_MESSAGE_RECEIVE_LATENCY, latency)
        self._span = span
        if integration.monitor_schedules and "tick" in headers:
            self._slug = headers.get("schedule")
            self._check_in("in_progress")

    def end(self, outcome: Outcome) -> None:
        """Report what went wrong; an end that the body asked for does not count as an error."""
        if self._integration is None:
            return
        with capture_internal_exceptions():
            self._report(outcome, self._integration)
        self._stack.close()

    def _report(self, outcome: Outcome, integration: HammerflowIntegration) -> None:
        kind = type(outcome)
        is_failed = kind is Failed
        self._span.set_status(
            "ok" if kind in (Completed, Settled)
            else "internal_error" if is_failed
            else "aborted"
        )  # fmt: skip
        is_asked = isinstance(self._run.error, Retry)
        if is_failed or (kind is Retrying and integration.report_retries and not is_asked):
            self._capture(outcome)
        if kind not in _ASKED:
            self._check_in("error" if is_failed else "ok")

    def _capture(self, outcome: Any) -> None:
        error, failure = self._run.error, outcome.failure
        mechanism = {"type": "hammerflow", "handled": False}
        if isinstance(error, Exception):
            options = sentry_sdk.get_client().options
            raised = type(error), error, traceback_in_body(error)
            event, hint = event_from_exception(raised, client_options=options, mechanism=mechanism)
            sentry_sdk.capture_event(event, hint=hint)
            return
        # A hard timeout, whose exception only says that the body was cancelled.
        value = {"type": failure.type, "value": failure.message, "mechanism": mechanism}
        sentry_sdk.capture_event({"level": "error", "exception": {"values": [value]}})

    def _check_in(self, status: str) -> None:
        if self._slug is None:
            return
        capture_checkin(
            monitor_slug=self._slug, check_in_id=self._run.job.id.hex(), status=status,
            monitor_config=_monitor(self._run, self._slug) if status == "in_progress" else None,
            duration=None if status == "in_progress" else time.monotonic() - self._began,
        )  # fmt: skip

    def _describe(self, event: Any, hint: dict[str, Any]) -> Any:
        with capture_internal_exceptions():
            run, job = self._run, self._run.job
            event.setdefault("tags", {})["hammerflow_job_id"] = str(uuid.UUID(bytes=job.id))
            args: Any = _FILTERED
            kwargs: Any = _FILTERED
            if should_send_default_pii():
                args, kwargs = run.args, run.kwargs
            event.setdefault("extra", {})["hammerflow-job"] = {
                "task_name": run.task.name, "queue": run.queue, "attempt": job.attempt,
                "args": args, "kwargs": kwargs,
            }  # fmt: skip
            if issubclass(hint.get("exc_info", (object,))[0], SoftTimeout):
                event["fingerprint"] = ["hammerflow", "SoftTimeout", run.task.name]
        return event


def _monitor(run: WatchedRun, schedule: str) -> Any:
    """The monitor of a schedule that code defines, for Sentry to create or change; None of one that
    only the database has, or that Sentry cannot express."""
    with capture_internal_exceptions():
        definition = json.loads(run.app.schedules.definitions().get(schedule, "{}"))
        cron, minutes = definition.get("cron"), (definition.get("every") or 0) / 60
        known: dict[str, Any] = {"timezone": definition.get("tz", "UTC")}
        if cron is not None and len(cron.split()) == 5:
            return known | {"schedule": {"type": "crontab", "value": cron}}
        if minutes >= 1 and minutes == int(minutes):
            found = {"type": "interval", "value": int(minutes), "unit": "minute"}
            return known | {"schedule": found}
    return None
