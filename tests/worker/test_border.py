"""The border around a body: whatever the user's code does there becomes an outcome."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import datetime
import decimal
from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn

import pytest

from hammerflow import (
    Hammerflow,
    JobFailed,
    Retry,
    Signature,
    SoftTimeout,
    SpawnContext,
    constant,
    current_job,
)
from hammerflow.codec.codec import Codec
from hammerflow.jobs.outcome import (
    Completed,
    Failed,
    Failure,
    Outcome,
    Parked,
    Retrying,
)
from hammerflow.testing import drain
from hammerflow.worker.child.executor import Executor
from hammerflow.worker.protocol import pack_outcome
from tests.worker import nasty
from tests.worker.kit import claimed


@pytest.fixture
def app(sqlite_url: str) -> Iterator[Hammerflow]:
    app = Hammerflow("border", database=sqlite_url, doorbell="none")
    yield app
    app.close()


def run(app: Hammerflow, job: Any) -> Outcome:
    """The outcome of a job, after a trip through the pipe of a child."""
    executor = Executor(app, lambda *note: None)
    if app.tasks[names(app)[job.task_id]].defaults.is_async:
        outcome = asyncio.run(executor.execute_async(job))
    else:
        outcome = executor.execute(job)
    assert pack_outcome(outcome, job.id)
    return outcome


def names(app: Hammerflow) -> dict[int, str]:
    return {claimed(name).task_id: name for name in app.tasks}


def failure(outcome: Outcome) -> Failure:
    assert isinstance(outcome, Failed | Retrying | Parked)
    return outcome.failure


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("name", nasty.RAISED)
def test_whatever_a_body_raises_is_an_outcome_that_names_its_class(
    app: Hammerflow, name: str, is_async: bool
) -> None:
    make, kind, named = nasty.RAISED[name]

    def body() -> None:
        raise make()

    async def async_body() -> None:
        raise make()

    app.task(name="body", backoff=constant(0))(async_body if is_async else body)

    outcome = run(app, claimed("body"))

    assert type(outcome) is kind
    if named:
        assert failure(outcome).type.rpartition(".")[2] == named
        assert type(failure(outcome).message) is str
        assert "test_border.py" in failure(outcome).traceback


def test_a_class_that_cannot_be_asked_whether_it_is_retried_fails_the_job(app: Hammerflow) -> None:
    class Picky(type):
        def __instancecheck__(cls, instance: object) -> bool:
            if isinstance(instance, ValueError):
                raise SystemExit
            return False

    class Never(Exception, metaclass=Picky): ...

    @app.task(name="body", retry_on=(Never,))
    def body() -> None:
        raise ValueError("the body's own")

    outcome = run(app, claimed("body"))

    assert isinstance(outcome, Failed)
    assert outcome.failure.type == "builtins.ValueError"
    assert "the body's own" in outcome.failure.message
    assert "SystemExit" in outcome.failure.message, "what asking has raised"


def test_a_retry_after_the_last_attempt_names_its_cause(app: Hammerflow) -> None:
    @app.task(name="explicit", max_attempts=1)
    def explicit(reason: str) -> None:
        try:
            raise ValueError("the cause")
        except ValueError as error:
            raise Retry(reason, after=1) from error

    @app.task(name="implied", max_attempts=1)
    async def implied(reason: str) -> None:
        try:
            raise ValueError("the cause")
        except ValueError:
            raise Retry(reason)  # noqa: B904 - that is what is tested

    @app.task(name="hidden", max_attempts=1)
    def hidden() -> None:
        try:
            raise ValueError("the cause")
        except ValueError:
            raise Retry from None

    ends = [explicit.delay(""), explicit.delay("busy"), implied.delay(""), implied.delay("busy")]
    ends.append(hidden.delay())
    drain(app)

    found = []
    for result in ends:
        with pytest.raises(JobFailed) as raised:
            result.get(timeout=0)
        found.append((raised.value.error_type.rpartition(".")[2], raised.value.message))
        assert ("the cause" in raised.value.traceback) is (result is not ends[-1])
    assert found == [
        ("ValueError", "the cause"),
        ("ValueError", "the cause (busy)"),
        ("ValueError", "the cause"),
        ("Retry", "busy"),
        ("Retry", "retry requested"),
    ]


def test_a_spawner_that_breaks_its_limits_fails_at_once(app: Hammerflow) -> None:
    closed = []

    @app.task
    def leaf() -> None: ...

    @app.spawner(max_spawn_count=2, backoff=constant(0))
    def wide() -> Iterator[Signature]:
        try:
            for _ in range(3):
                yield leaf.s()
        finally:
            closed.append("plain")
            raise RuntimeError("must not hide why")

    @app.spawner(max_spawn_count=2, backoff=constant(0))
    async def wide_async() -> AsyncIterator[Signature]:
        try:
            for _ in range(3):
                yield leaf.s()
        finally:
            closed.append("async")
            raise RuntimeError("must not hide why")

    @app.task(backoff=constant(0))
    def by_the_way() -> None:
        for _ in range(1_001):
            current_job().spawn(leaf.s())

    results = [wide.delay(), wide_async.delay(), by_the_way.delay()]
    drain(app)

    for result in results:
        with pytest.raises(JobFailed, match="max_spawn_count"):
            result.get(timeout=0)
        assert result.job().attempt == 1
        assert result.children() == []
    assert closed == ["plain", "async"], "within the body, and once"


@dataclasses.dataclass
class Trap:
    """Raises what a test has put into ``TROUBLE`` when it is encoded."""

    never_set: int = dataclasses.field(init=False)

    def __getattr__(self, name: str) -> NoReturn:
        raise TROUBLE[0]("trapped")


TROUBLE: list[type[BaseException]] = [ValueError]


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt, ValueError])
def test_what_users_types_raise_in_the_codec_is_an_outcome(
    app: Hammerflow, is_async: bool, error: type[BaseException]
) -> None:
    def fail() -> NoReturn:
        raise error("made")

    before = dataclasses.make_dataclass("Point", ["x"])
    after = dataclasses.make_dataclass(
        "Point", ["x", ("y", int, dataclasses.field(default_factory=fail))]
    )
    older = Codec()
    older.register(before, name="Point")
    app.codec.register(after, name="Point")
    app.codec.register(Trap)
    TROUBLE[0] = error

    def body(*given: Any) -> Trap:
        current_job().spawn(app.tasks["leaf"].s())  # its children are completed in a thread
        return Trap()

    async def async_body(*given: Any) -> Trap:
        return body()

    @app.task(name="leaf")
    def leaf() -> None: ...

    app.task(name="body")(async_body if is_async else body)

    encoded = run(app, claimed("body"))
    decoded = run(app, claimed("body", args=older.encode_call((before(1),), {})))

    assert isinstance(encoded, Failed | Retrying)
    assert isinstance(decoded, Parked)
    for outcome in (encoded, decoded):
        assert error.__name__ in failure(outcome).type + failure(outcome).traceback


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_spawn_metadata_of_a_payload_that_json_cannot_hold_fails_the_job(
    app: Hammerflow, is_async: bool
) -> None:
    def body(payload: dict[str, Any]) -> None: ...

    async def async_body(payload: dict[str, Any]) -> None: ...

    app.task(name="body")(async_body if is_async else body)
    config = {"metadata": {"when": datetime.date(2025, 1, 1)}}

    outcome = run(app, claimed("body", {"_spawn_config": config}))

    assert isinstance(outcome, Failed)


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_hooks_may_raise_anything(app: Hammerflow, is_async: bool) -> None:
    def leave(context: SpawnContext) -> None:
        raise SystemExit("in a hook")

    @app.task
    def leaf() -> None: ...

    def yields() -> Iterator[Signature]:
        yield leaf.s()

    async def yields_async() -> AsyncIterator[Signature]:
        yield leaf.s()

    fn: Any = yields_async if is_async else yields
    told = app.spawner(name="told", on_spawn_complete=leave)(fn).delay()
    asked = app.spawner(name="asked", validate=leave, max_attempts=1)(fn).delay()
    drain(app)

    assert told.get(timeout=0) is None, "it had completed before its hook was called"
    with pytest.raises(JobFailed, match="in a hook"):
        asked.get(timeout=0)


@pytest.mark.parametrize("is_set", [False, True], ids=["", "decimals set by the app"])
def test_each_plain_body_runs_in_a_context_of_its_own(app: Hammerflow, is_set: bool) -> None:
    contextvars.copy_context().run(_visit_each, app, is_set)


def _visit_each(app: Hammerflow, is_set: bool) -> None:
    if is_set:
        decimal.getcontext()
    name = contextvars.ContextVar("name", default="nobody")

    @app.task
    def visit(own: str) -> list[Any]:
        seen = [name.get(), decimal.getcontext().prec]
        name.set(own)
        decimal.getcontext().prec = 3
        return seen

    @app.task(in_transaction=True)
    def visit_in_transaction() -> list[Any]:
        assert current_job().connection is not None
        return visit("in transaction")  # type: ignore[no-any-return]

    results = [visit.delay("a"), visit_in_transaction.delay(), visit.delay("b")]
    drain(app)

    assert [result.get(timeout=0) for result in results] == [["nobody", 28]] * 3
    assert (name.get(), decimal.getcontext().prec) == ("nobody", 28)


def test_a_soft_timeout_that_a_body_raises_itself_is_one(app: Hammerflow) -> None:
    @app.task(name="body", max_attempts=1)
    def body() -> None:
        raise SoftTimeout("by hand")

    outcome = run(app, claimed("body"))

    assert isinstance(outcome, Failed)
    assert outcome.failure.kind == "timeout"


def test_a_plain_result_is_still_only_its_bytes(app: Hammerflow) -> None:
    @app.task(name="body")
    def body() -> int:
        return 1

    assert isinstance(run(app, claimed("body")), Completed)
