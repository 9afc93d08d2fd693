"""An app whose children export spans to an OTLP endpoint, and errors to Sentry."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from typing import Any

from hammerflow import Cancel, Hammerflow, Retry, Snooze, constant, current_job
from hammerflow.canvas.signature import Signature

app = Hammerflow("traced")
log = logging.getLogger(__name__)


@app.hooks.child_started
def report() -> None:
    if "TRACED_DSN" not in os.environ:
        return
    import sentry_sdk

    from hammerflow.integrations.sentry import HammerflowIntegration

    sentry_sdk.init(
        os.environ["TRACED_DSN"], traces_sample_rate=1.0, default_integrations=False,
        integrations=[HammerflowIntegration(monitor_schedules=True)],
    )  # fmt: skip


@app.hooks.child_started
def export() -> None:
    if "TRACED_ENDPOINT" not in os.environ:
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(os.environ["TRACED_ENDPOINT"])
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=60_000))
    trace.set_tracer_provider(provider)


def inner(name: str) -> None:
    """A span of the user's own."""
    from opentelemetry import trace

    with trace.get_tracer("traced").start_as_current_span(name):
        log.warning("inside %s", name)


@app.task
def plain(number: int = 0) -> int:
    inner("inside plain")
    return number


app.schedule("nightly", "0 2 29 2 *", plain.s())


@app.task
async def coroutine() -> None:
    inner("inside coroutine")


@app.task(max_attempts=2)
def again() -> None:
    raise Retry("once more", after=0)


@app.task(max_attempts=2)
def once_more() -> None:
    if current_job().attempt == 1:
        raise Retry("not yet", after=0)


@app.task(max_attempts=2, backoff=constant(0))
def second_time_lucky() -> None:
    if current_job().attempt == 1:
        raise OSError("try again")


@app.task(max_attempts=1)
def broken(secret: str) -> None:
    raise ValueError("broken")


@app.task(max_attempts=1)
async def broken_coroutine() -> None:
    raise KeyError("broken, too")


@app.task(max_attempts=1, soft_timeout=0.05)
def slow() -> None:
    while True:
        time.sleep(0.01)


@app.task
def leaves(how: str) -> None:
    raise Cancel("left") if how == "cancel" else Snooze(3_600)


@app.task
def total(numbers: Any) -> int:
    return sum(numbers)


@app.spawner(then=total.s())
def spawner() -> Iterator[Signature[int]]:
    yield plain.s(1)
    yield plain.s(2)
