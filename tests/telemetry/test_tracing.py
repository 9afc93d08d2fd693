"""Spans of OpenTelemetry: who is whose parent, what is linked, and that a worker exports them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from hammerflow import Hammerflow, Retry, Snooze, Workflow
from hammerflow.admin.job_filter import JobFilter, filter_page
from hammerflow.telemetry.trace_context import TraceContext
from hammerflow.testing import drain

_EXPORTER = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def provider() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_EXPORTER))
    trace.set_tracer_provider(provider)


@pytest.fixture
def app(migrated_url: str) -> Iterator[Hammerflow]:
    _EXPORTER.clear()
    app = Hammerflow("traced", database=migrated_url, doorbell="none", tracing=True)
    yield app
    app.close()


def _spans(task: str, kind: str = "process") -> list[ReadableSpan]:
    return [
        span
        for span in _EXPORTER.get_finished_spans()
        if span.name == f"{kind} default"
        and str((span.attributes or {})["hammerflow.task"]).endswith(f".{task}")
    ]


def _links(span: ReadableSpan) -> set[int]:
    return {link.context.span_id for link in span.links}


def _id(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def _parent(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def test_a_call_is_the_parent_of_its_run_in_which_the_spans_of_the_body_nest(
    app: Hammerflow,
) -> None:
    tracer = trace.get_tracer("test")
    seen: list[Any] = []

    @app.task
    def plain() -> None:
        seen.append(baggage.get_baggage("tenant"))
        tracer.start_span("in plain").end()

    @app.task
    async def coroutine() -> None:
        await asyncio.sleep(0)
        tracer.start_span("in coroutine").end()

    async def send() -> None:
        await coroutine.adelay()
        async with app.transaction():
            await coroutine.adelay()

    token = context.attach(baggage.set_baggage("tenant", "acme"))
    with tracer.start_as_current_span("request") as request:
        with app.transaction():
            plain.delay()
        asyncio.run(send())
    context.detach(token)
    drain(app)

    assert seen == ["acme"]
    for task, count in (("plain", 1), ("coroutine", 2)):
        sent, ran = _spans(task, "send"), _spans(task)
        assert len(sent) == len(ran) == count
        assert {_parent(span) for span in sent} == {request.get_span_context().span_id}
        assert {_parent(span) for span in ran} == {_id(span) for span in sent}
        assert {span.kind for span in sent + ran} == {SpanKind.PRODUCER, SpanKind.CONSUMER}
        inner = [s for s in _EXPORTER.get_finished_spans() if s.name == f"in {task}"]
        assert {_parent(span) for span in inner} == {_id(span) for span in ran}


def test_retries_and_fan_ins_and_late_jobs_have_links(app: Hammerflow) -> None:
    attempts: list[int] = []

    @app.task(max_attempts=3)
    def again() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise Retry(after=0)
        if len(attempts) == 2:
            raise Snooze(0)
        raise ValueError("broken")

    @app.task
    def leaf(number: int) -> int:
        return number

    @app.task
    def total(numbers: Any) -> int:
        return sum(numbers)

    @app.spawner(then=total.s())
    def spawner() -> Any:
        yield leaf.s(1)
        yield leaf.s(2)

    again.options(max_attempts=2).delay()
    spawner.delay()
    late = leaf.options(delay=timedelta(hours=2)).delay(3)
    drain(app)

    first, second, third = _spans("again")
    assert [s.status.status_code for s in (first, second, third)] == [
        StatusCode.UNSET, StatusCode.UNSET, StatusCode.ERROR,
    ]  # fmt: skip
    assert (third.attributes or {})["error.type"] == "builtins.ValueError"
    assert [event.name for event in third.events] == ["exception"]
    assert _links(second) == {_id(first)}
    (run,), leaves, (sum_,) = _spans("spawner"), _spans("leaf"), _spans("total")
    assert [_parent(span) for span in (*leaves, sum_)] == [_id(run)] * 3
    assert _links(sum_) == {_id(span) for span in leaves}
    (text,) = app.store.dependencies.traces_of([late.id.bytes]).values()
    assert TraceContext.read(text).is_link


def test_a_workflow_is_one_trace_and_bulk_is_one_span(app: Hammerflow) -> None:
    @app.task
    def step(number: int) -> int:
        return number

    @app.task
    def more() -> None: ...

    flow = Workflow("flow", trace_id="order-7", correlation_id="customer-1")
    flow.add(step.s(1), name="first")
    flow.add(step.si(2), name="second", after="first")
    app.enqueue(flow)
    app.enqueue_many(more.s() for _ in range(20))
    drain(app)

    (sent,) = _spans("step", "send")
    before, after = _spans("step")
    assert _parent(before) == _parent(after) == _id(sent)
    assert _links(after) == {_id(before)}
    more.options(headers={"correlation_id": "customer-1"}).delay()
    for wanted, tasks in (
        (JobFilter(trace_id=format(sent.context.trace_id, "032x")), "step step"),
        (JobFilter(trace_id="order-7"), "step step"),
        (JobFilter(correlation_id="customer-1"), "more step step"),
        (JobFilter(trace_id="order-8"), ""),
    ):
        chosen = {"state": None, "queue": None, "task": None}
        found = filter_page(app.store, app.codec, wanted, chosen, 100, None).rows
        assert " ".join(job.task.rpartition(".")[2] for job in found) == tasks
    (bulk, _) = _spans("more", "send")
    assert (bulk.attributes or {})["messaging.batch.message_count"] == 20
    assert {_parent(span) for span in _spans("more")} == {_id(bulk)}


def test_children_beyond_the_hundredth_begin_traces_of_their_own(sqlite_url: str) -> None:
    _EXPORTER.clear()
    app = Hammerflow("traced", database=sqlite_url, doorbell="none", tracing=True)

    @app.task
    def leaf() -> None: ...

    @app.spawner
    def spawner() -> Any:
        for _ in range(102):
            yield leaf.s()

    spawner.delay()
    drain(app)
    app.close()
    (run,), leaves = _spans("spawner"), _spans("leaf")
    roots = [span for span in leaves if span.parent is None]
    assert (len(leaves), len(roots)) == (102, 2)
    assert [_links(span) for span in roots] == [{_id(run)}] * 2


def test_a_worker_exports_by_otlp_and_logs_the_ids(
    migrated_url: str, endpoint: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, bodies = endpoint
    monkeypatch.setenv("TRACED_ENDPOINT", f"http://127.0.0.1:{port}/v1/traces")
    monkeypatch.setenv("HAMMERFLOW_DATABASE_URL", migrated_url)
    monkeypatch.setenv("HAMMERFLOW_TRACING", "1")
    sender = Hammerflow("traced", database=migrated_url, doorbell="none", tracing=True)
    _EXPORTER.clear()
    from tests.telemetry import traced

    for task in (traced.plain, traced.coroutine, traced.again, traced.spawner):
        sender.enqueue(task.s())  # type: ignore[attr-defined]
    sender.close()
    ran = subprocess.run(
        [sys.executable, "-m", "hammerflow", "-A", "tests.telemetry.traced:app", "worker", "-c",
         "1", "--burst", "--log-format", "json"],
        env=dict(os.environ), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    spans = []
    for body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            spans += [span for scope in resource.scope_spans for span in scope.spans]
    names = sorted(span.name for span in spans)
    assert names.count("process default") == 8
    assert names.count("inside plain") == 3
    sent = {_id(span) for span in _EXPORTER.get_finished_spans()}
    roots = [span for span in spans if int.from_bytes(span.parent_span_id) in sent]
    assert len(roots) == 5, "four first attempts and a second"
    lines = [json.loads(line) for line in ran.stderr.splitlines() if "inside" in line]
    by_id = {span.span_id.hex(): span for span in spans}
    assert len(lines) == 4
    for line in lines:
        assert by_id[line["span_id"]].trace_id.hex() == line["trace_id"]


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("", {"messaging.operation"}),
        ("http, messaging", {"messaging.operation.name", "messaging.operation.type"}),
        (
            "messaging/dup",
            {"messaging.operation", "messaging.operation.name", "messaging.operation.type"},
        ),
    ],
)
def test_newer_names_of_the_conventions_are_asked_for(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, chosen: str, names: set[str]
) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", chosen)
    _EXPORTER.clear()
    app = Hammerflow("traced", database=sqlite_url, doorbell="none", tracing=True)
    app.task(name="noop")(_noop).delay()
    app.close()
    (span,) = _EXPORTER.get_finished_spans()
    assert {name for name in span.attributes or {} if ".operation" in name} == names


def _noop() -> None: ...
