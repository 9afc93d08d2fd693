"""A call becomes a row: arguments checked and encoded, options resolved, or nothing is written."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hammerflow import (
    ConfigError,
    Hammerflow,
    JobFailed,
    JobState,
    NotEncodable,
    Priority,
    Task,
    chord,
    exponential,
    group,
)
from hammerflow.testing import drain


@pytest.fixture
def add(app: Hammerflow) -> Task[[int, int], int]:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    return add


def test_a_task_is_still_its_function(add: Task[[int, int], int]) -> None:
    assert add(2, 3) == 5
    assert add.name == f"{__name__}.add"


def test_delay_writes_a_ready_job(app: Hammerflow, add: Task[[int, int], int]) -> None:
    result = add.delay(2, y=3)

    job = app.job(result.id)
    assert (job.state, job.task, job.queue, job.attempt) == ("ready", add.name, "default", 0)
    assert result.id.version == 7
    stored = app.store.jobs.args(result.id.bytes)
    assert stored is not None and app.codec.decode_call(stored) == ((2,), {"y": 3})


@pytest.mark.parametrize(
    "call",
    [
        lambda add: add.delay(1),
        lambda add: add.delay(1, 2, 3),
        lambda add: add.delay(1, z=2),
        lambda add: add.apply_async((1,)),
        lambda add: add.options(queue="q").delay(1),
    ],
)
def test_wrong_arguments_raise_at_the_call_and_write_nothing(
    app: Hammerflow, add: Any, call: Any
) -> None:
    with pytest.raises(TypeError, match=r"add\(\)"):
        call(add)
    assert app.jobs() == []


def test_what_cannot_be_encoded_raises_with_its_path(app: Hammerflow, add: Any) -> None:
    with pytest.raises(NotEncodable, match=r"args\[1\]\['when'\].*object"):
        add.delay(1, {"when": object()})
    assert app.jobs() == []


def test_options_of_one_call_are_stored_with_the_job(app: Hammerflow, add: Any) -> None:
    result = add.options(
        queue="fast",
        priority=Priority.CRITICAL,
        max_attempts=7,
        backoff=exponential(2, max=9),
        timeout=timedelta(seconds=4),
        headers={"tenant": "acme"},
    ).delay(1, 2)

    job = result.job()
    assert (job.queue, job.priority) == ("fast", Priority.CRITICAL)
    assert job.headers == {"tenant": "acme"}
    assert job.options["max_attempts"] == 7
    assert job.options["timeout"] == 4.0
    assert job.options["backoff"]["max"] == 9


def test_countdown_and_eta_schedule(app: Hammerflow, add: Any) -> None:
    later = add.apply_async((1, 2), countdown=60)
    eta = datetime.now(UTC) + timedelta(hours=2)
    at = add.apply_async((1, 2), eta=eta)

    assert later.state is JobState.SCHEDULED
    due = later.job().run_at
    assert due is not None and 50 < due.timestamp() - app.store.clock() < 61
    stored = at.job().run_at
    assert stored is not None and abs(stored - eta) < timedelta(milliseconds=2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"countdown": -1}, "delay must be a duration"),
        ({"eta": datetime(2030, 1, 1)}, "aware"),  # noqa: DTZ001 - that is the point
        ({"countdown": 1, "eta": datetime.now(UTC)}, "either"),
        ({"priority": 9}, "0 \\(BACKGROUND\\) to 4"),
        ({"queue": ""}, "1 to 255"),
        ({"queue": "a\nb"}, "printable"),
        ({"max_attempts": 0}, "a whole number from 1 to 1000000, not 0"),
        ({"timeout": float("nan")}, "timeout"),
        ({"job_id": "x"}, "uuid.UUID"),
        ({"unique_key": "k" * 300}, "1 to 255"),
    ],
)
def test_a_wrong_option_is_refused_in_one_sentence(
    app: Hammerflow, add: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        add.apply_async((1, 2), **options)
    assert app.jobs() == []


def test_a_job_id_that_exists_is_left_as_it_is(app: Hammerflow, add: Any) -> None:
    key = uuid.uuid4()
    first = add.apply_async((1, 2), job_id=key)
    again = add.apply_async((3, 4), job_id=key)

    assert first.id == again.id == key
    assert len(app.jobs()) == 1


def test_a_unique_key_gives_the_job_that_holds_it(app: Hammerflow, add: Any) -> None:
    first = add.apply_async((1, 2), unique_key="order-1")
    again = add.apply_async((1, 2), unique_key="order-1")
    other = add.apply_async((1, 2), unique_key="Order-1")
    first.cancel()
    fresh = add.apply_async((1, 2), unique_key="order-1")

    assert again.id == first.id
    assert other.id != first.id
    assert fresh.id != first.id


def test_a_bulk_is_written_in_chunks_from_a_generator(app: Hammerflow, add: Any) -> None:
    results = app.enqueue_many(add.s(i, 1) for i in range(12_000))

    assert len(results) == 12_000
    assert sum(q.ready for q in app.store.queues.list()) == 12_000
    stored = app.store.jobs.args(results[7_777].id.bytes)
    assert stored is not None and app.codec.decode_call(stored)[0] == (7_777, 1)


def test_two_functions_cannot_share_a_name(app: Hammerflow) -> None:
    @app.task(name="mail.send")
    def one() -> None: ...

    with pytest.raises(ConfigError, match=r"mail\.send"):

        @app.task(name="mail.send")
        def two() -> None: ...


def test_an_unknown_option_of_a_decorator_is_a_type_error(app: Hammerflow) -> None:
    with pytest.raises(TypeError, match="max_attempt"):
        app.task(max_attempt=3)(lambda: None)  # type: ignore[call-overload]


def test_a_task_may_be_called_by_name_from_a_process_without_its_code(app: Hammerflow) -> None:
    result = app.enqueue(app.signature("elsewhere.resize", (1,), {"size": 2}, queue="img"))

    assert (result.job().task, result.job().queue) == ("elsewhere.resize", "img")


def test_adelay_does_not_block_the_loop(app: Hammerflow, add: Any) -> None:
    async def main() -> list[Any]:
        return await asyncio.gather(*(add.adelay(i, i) for i in range(5)))

    assert len({result.id for result in asyncio.run(main())}) == 5


def test_a_forked_child_opens_connections_of_its_own(app: Hammerflow, add: Any) -> None:
    add.delay(1, 2)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            add.delay(3, 4)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    add.delay(5, 6)
    assert len(app.jobs()) == 3


def test_listen_and_notify_as_the_doorbell(postgres_url: str) -> None:
    app = Hammerflow("shop", database=postgres_url, doorbell="postgres")
    app.migrate()

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    assert add.delay(1, 2).state is JobState.READY
    app.close()


def test_an_unknown_option_of_a_call_is_a_type_error(app: Hammerflow, add: Any) -> None:
    with pytest.raises(TypeError, match="'countdown': use delay"):
        add.options(countdown=3)
    with pytest.raises(TypeError, match="'max_attempt'"):
        add.s(1, 2).set(max_attempt=1)
    with pytest.raises(TypeError, match="'quee'"):
        app.signature("shop.add", (1, 2), quee="q")  # type: ignore[call-arg]


def test_what_is_no_signature_is_refused(app: Hammerflow, add: Any) -> None:
    with pytest.raises(TypeError, match="got object"):
        app.enqueue_many([object()])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"use enqueue\(\) for one"):
        app.enqueue_many(add.s(1, 2))
    assert app.jobs() == []


def test_a_time_out_says_where_the_job_stands(app: Hammerflow, add: Any) -> None:
    later = add.apply_async((1, 2), countdown=600)
    with pytest.raises(TimeoutError, match="it is scheduled for .* after 0 attempts"):
        later.get(timeout=0)
    unknown = app.enqueue(app.signature("elsewhere.resize"))
    assert app.store.workers.park_unserved(["default"]) == 1
    with pytest.raises(TimeoutError, match="it is parked .*job retry"):
        unknown.get(timeout=0)


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        (lambda add: add.s(1, object()), NotEncodable, r"args\[1\]: type object cannot be"),
        (lambda add: add.s(1, 2, 3), TypeError, r"add\(\) takes 2 positional arguments but 3"),
    ],
)
def test_the_error_of_one_call_among_many_says_which_one(
    app: Hammerflow, add: Any, wrong: Any, kind: type[Exception], said: str
) -> None:
    good, bad, linked = add.s(1, 2), wrong(add), add.s(1, 2)
    linked.link(add.s(3))
    for place, send in {
        r"signatures\[2\]": lambda: app.enqueue_many([good, good, bad, good]),
        r"signatures\[1\]": lambda: app.enqueue_many([linked, bad]),
        r"group\[1\]": lambda: group([good, bad]).delay(),
        r"chain\[0\]": lambda: app.enqueue(bad | add.si(1, 2)),
        r"chord\[1\]": lambda: chord([good, bad], add.si(1, 2)).delay(),
        r"imports\[2\]": lambda: app.batch([good, good, bad], name="imports").enqueue(),
    }.items():
        with pytest.raises(kind, match=f"^{place}: {said}"):
            send()
    assert app.jobs() == []

    @app.spawner(max_attempts=1)
    def children() -> Iterator[Any]:
        yield good
        yield bad

    result = children.delay()
    drain(app)
    with pytest.raises(JobFailed, match=f"child 1: {said}"):
        result.get(timeout=0)
    assert len(app.jobs()) == 1


def test_calls_with_and_without_links_are_checked_alike(app: Hammerflow, add: Any) -> None:
    plain, linked = add.s(1, 2), add.s(1, 2)
    linked.link(add.s(3))
    for first in (plain, linked):
        for wrong in (5, None, add, group([add.s(1, 2)])):
            with pytest.raises(TypeError, match=r"^signatures\[1\]: expected a signature"):
                app.enqueue_many([first, wrong])
    assert app.jobs() == []
