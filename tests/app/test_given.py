"""What users give is checked where they give it: one sentence with the owner, option and value."""

from __future__ import annotations

import enum
import json
import logging
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hammerflow import (
    ConfigError,
    Hammerflow,
    HammerflowError,
    JobFailed,
    JobState,
    SoftTimeout,
    SpawnConfig,
    Workflow,
    WorkflowInvalid,
    chain,
    chord,
    constant,
    current_job,
    exponential,
    group,
    linear,
)
from hammerflow.enqueue.files import workflow_from_text
from hammerflow.jobs.backoff import FunctionBackoff
from hammerflow.testing import drain


class Name(enum.StrEnum):
    """Text that is a member of an enum."""

    KEY = "key"


@pytest.fixture
def offline(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """An app that connects to nothing, with a task."""
    app = Hammerflow("shop", database=f"sqlite:///{tmp_path}/never.db")
    add = app.task(name="shop.add")(_add)
    yield SimpleNamespace(app=app, add=add)
    app.close()
    assert not (tmp_path / "never.db").exists()  # nothing reached the database


def _add(x: int = 0, y: int = 0, **more: Any) -> int:
    return x + y + len(more)


ATTEMPTS = "a whole number from 1 to 1000000"
POSITIVE = "a duration of more than 0 and at most 100000000 seconds"


# -- the options of tasks and spawners


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"backoff": 5}, "backoff must be a backoff such as exponential(1), or a function that"),
        ({"backoff": 5}, "not 5: write constant(...) to wait that long before each attempt"),
        ({"backoff": exponential}, "call it, as in exponential(1)"),
        ({"backoff": lambda: 1}, "it must take one argument, the number of the attempt"),
        ({"retry_on": "ValueError"}, "retry_on must be an exception class, or a tuple or list of"),
        ({"retry_on": (SoftTimeout, "X")}, "exception classes, not 'X'"),
        ({"retry_on": [ValueError, int]}, "not <class 'int'>"),
        ({"no_retry_on": ValueError("x")}, "not ValueError('x')"),
        ({"max_attempts": "3"}, f"max_attempts must be {ATTEMPTS}, not '3'"),
        ({"max_attempts": 2.0}, f"{ATTEMPTS}, not 2.0"),
        ({"max_attempts": 10**30}, ATTEMPTS),
        ({"max_attempts": True}, f"{ATTEMPTS}, not True"),
        ({"priority": True}, "priority must be 0 (BACKGROUND) to 4 (CRITICAL), not True"),
        ({"priority": "high"}, "not 'high'"),
        ({"store_result": "no"}, "store_result must be true or false, not 'no'"),
        ({"in_transaction": 1}, "in_transaction must be true or false, not 1"),
        ({"serializer": "pickle"}, "serializer must be one of msgpack, json, not 'pickle'"),
        ({"queue": b"mail"}, "queue must be a text of 1 to 255 printable characters, not b'mail'"),
        ({"timeout": 0}, f"timeout must be {POSITIVE}, not 0"),
        ({"soft_timeout": 0.0}, f"soft_timeout must be {POSITIVE}, not 0.0"),
        ({"soft_timeout": timedelta(0)}, f"{POSITIVE}, not datetime.timedelta(0)"),
        ({"timeout": float("nan")}, "not nan"),
        ({"expires": datetime(2030, 1, 1, tzinfo=UTC)}, "expires must be a duration from 0 to"),
        ({"result_ttl": timedelta.max}, "result_ttl must be a duration from 0 to 100000000000"),
        ({"timeout": 1, "soft_timeout": 2}, "soft_timeout must not be longer than timeout"),
        ({"name": 5}, "name"),
    ],
)
def test_a_task_is_refused_with_its_name_and_the_option(
    offline: SimpleNamespace, options: dict[str, Any], sentence: str
) -> None:
    for decorator in (offline.app.task, offline.app.spawner):
        with pytest.raises(ConfigError) as caught:
            decorator(**{"name": "shop.other", **options})(lambda: iter(()))
        assert sentence in str(caught.value)
        if "name" not in options:
            assert str(caught.value).startswith("task shop.other: ")


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"retry_on": [ValueError, KeyError]}, (ValueError, KeyError)),
        ({"retry_on": {ValueError}}, (ValueError,)),
        ({"retry_on": ValueError | KeyError}, (ValueError, KeyError)),
        ({"retry_on": ((ValueError, OSError), KeyError)}, (ValueError, OSError, KeyError)),
        ({"timeout": Decimal("1.5")}, 1.5),
        ({"timeout": Fraction(3, 2)}, 1.5),
        ({"timeout": timedelta(seconds=3)}, 3.0),
        ({"timeout": None}, None),
        ({"queue": Name.KEY}, "key"),
    ],
)
def test_what_means_the_same_is_taken(
    offline: SimpleNamespace, options: dict[str, Any], kept: Any
) -> None:
    defaults = offline.app.task(**{"name": "shop.other", **options})(lambda: None).defaults

    value = getattr(defaults, next(iter(options)))
    assert (value, type(value)) == (kept, type(kept))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("bind", "call current_job() inside the function instead"),
        ("max_retries", "use max_attempts, which counts the first attempt, too"),
        ("autoretry_for", "use retry_on"),
        ("time_limit", "use timeout"),
        ("soft_time_limit", "use soft_timeout"),
        ("acks_late", "leave it out"),
        ("ignore_result", "use store_result=False"),
        ("queue_name", "use queue"),
        ("concurrency_limit", "use max_concurrency"),
        ("max_attempt", "did you mean max_attempts?"),
    ],
)
def test_names_of_other_libraries_are_answered_with_ours(
    offline: SimpleNamespace, name: str, advice: str
) -> None:
    with pytest.raises(TypeError) as caught:
        offline.app.task(name="shop.other", **{name: 1})(lambda: None)

    assert str(caught.value).startswith(f"task shop.other has no option {name!r}: {advice}")


def test_an_option_of_a_call_has_its_own_names_and_advice(offline: SimpleNamespace) -> None:
    for call in (offline.add.options, offline.add.s().set, offline.add.apply_async):
        with pytest.raises(TypeError, match=r"has no option 'task_id': use job_id"):
            call(task_id="x")
    with pytest.raises(
        TypeError, match=r"no option 'rate_limit': give it to the task, as @app.task"
    ):
        offline.add.options(rate_limit="1/s")
    with pytest.raises(TypeError, match="it takes queue, priority"):
        offline.add.options(zzz=1)


def test_a_function_is_a_backoff(
    app: Hammerflow, seen: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    answers: Iterator[Any] = iter([0, "rubbish", timedelta(0)])

    def wait(attempt: int) -> Any:
        seen.append(attempt)
        return next(answers)

    @app.task(name="shop.fails", max_attempts=4, backoff=wait)
    def fails() -> None:
        raise ValueError("no")

    result = fails.delay()
    with caplog.at_level(logging.WARNING, "hammerflow.backoff"):
        drain(app)

    assert seen == [1, 2]
    assert result.state is JobState.SCHEDULED  # by exponential(), as the function gave rubbish
    assert "the delay it returns must be a duration" in caplog.text
    assert fails.defaults.backoff == FunctionBackoff(wait)
    with pytest.raises(ConfigError, match="a function is possible in the task's decorator only"):
        fails.options(backoff=wait)


# -- calls


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda o: o.add.apply_async("340210"), "args must be a list or tuple of arguments, not"),
        (lambda o: o.add.apply_async({"x": 1}), "args must be a list or tuple of arguments, not"),
        (lambda o: o.add.apply_async(5), "args must be"),
        (lambda o: o.add.apply_async((), {1: 2}), "kwargs must be a mapping from names to arg"),
        (lambda o: o.add.apply_async((), [1]), "kwargs must be a mapping"),
        (lambda o: o.add.apply_async((), []), "kwargs must be a mapping"),
        (lambda o: o.app.signature("shop.add", (), ""), "kwargs must be a mapping"),
        (lambda o: o.add.s().clone((), 0), "kwargs must be a mapping"),
        (lambda o: o.app.signature("shop.add", "12"), "args must be a list or tuple"),
        (lambda o: o.app.signature("shop.add", (), {b"x": 1}), "the name b'x' is not text"),
        (lambda o: o.app.signature(5), "the task of a signature must have 1 to 255"),
        (lambda o: o.add.s().clone("12"), "args must be a list or tuple"),
        (lambda o: (o.add.s() | o.add.s()).apply_async("12"), "args must be a list or tuple"),
        (lambda o: o.add.apply_async(countdown="5"), "delay must be a duration from 0 to"),
        (lambda o: o.add.apply_async(eta="2026-01-01"), "eta must be an aware datetime from 1970"),
        (lambda o: o.add.apply_async(eta=date(2030, 1, 1)), "a date has no time"),
        (lambda o: o.add.apply_async(eta=datetime(2030, 1, 1)), "it has no time zone"),  # noqa: DTZ001
        (lambda o: o.add.apply_async(eta=datetime.max.replace(tzinfo=UTC)), "to 9999-12-30 UTC"),
        (lambda o: o.add.options(expires=datetime.min.replace(tzinfo=UTC)), "from 1970-01-01 to"),
        (lambda o: o.add.options(eta=datetime.max.replace(tzinfo=timezone(timedelta(hours=-9)))),
         "eta must be an aware datetime"),
        (lambda o: o.add.options(delay=timedelta.max), "delay must be a duration"),
        (lambda o: o.add.options(timeout=0), f"timeout must be {POSITIVE}, not 0"),
        (lambda o: o.add.s().set(soft_timeout=0), f"soft_timeout must be {POSITIVE}, not 0"),
        (lambda o: o.add.apply_async(timeout=0), "timeout must be"),
        (lambda o: o.app.signature("shop.add", timeout=0), "timeout must be"),
        (lambda o: o.add.options(timeout=1, soft_timeout=2), "must not be longer than timeout"),
        (lambda o: o.add.options(delay=1, eta=datetime.now(UTC)), "give either delay"),
        (lambda o: o.add.options(spawn={}), "spawn must be a SpawnConfig(...), not {}"),
        (lambda o: o.add.options(headers=[1]), "headers must be a mapping with text as keys"),
        (lambda o: o.add.options(job_id="x"), "job_id must be a uuid.UUID, not 'x'"),
        (lambda o: o.add.options(max_attempts=2.0), ATTEMPTS),
        (lambda o: o.add.options(backoff=3), "write constant(...)"),
        (lambda o: o.add.options(unique_key=5), "unique_key must be a text of 1 to 255"),
        (lambda o: SpawnConfig(spawn_delay=-1), "SpawnConfig: spawn_delay must be a duration"),
        (lambda o: SpawnConfig(inherit_queue="yes"), "inherit_queue must be true or false"),
        (lambda o: SpawnConfig(metadata={"at": date(2026, 1, 1)}), "metadata['at'] must be text"),
        (lambda o: SpawnConfig.from_mapping({"metadata": {"at": date(2026, 1, 1)}}),
         "_spawn_config: metadata['at'] must be"),
        (lambda o: constant("x"), "the delay of constant() must be a duration"),
        (lambda o: exponential(1, factor="2"), "factor of a backoff must be a number"),
        (lambda o: linear(1, step=-1), "step of linear() must be a duration"),
        (lambda o: o.add.chunks([(1,)], 2.5), "n must be a whole number from 1"),
        (lambda o: group(o.add.s()).skew(step="1"), "skew(): step must be a duration"),
        (lambda o: Workflow("w", timeout=0), f"workflow w: timeout must be {POSITIVE}, not 0"),
        (lambda o: Workflow("w", retry=2.5), "workflow w: retry must be a backoff, a whole number"),
        (lambda o: Workflow("w", retry=True), "retry must be"),
        (lambda o: Workflow("w", retry={"backoff": 3}), "backoff must be"),
        (lambda o: Workflow("w", priority="high"), "priority must be 0 (BACKGROUND)"),
        (lambda o: Workflow("w", description=5), "description must be a text"),
        (lambda o: Workflow("w", metadata=[1]), "metadata must be a mapping"),
        (lambda o: Workflow("w", "stop"), "fail_fast, continue_on_failure, manual, not 'stop'"),
        (lambda o: Workflow("w").add(o.add.s(), when=5), "when must be a text"),
        (lambda o: Workflow("w").add(o.add.s(), after=["a", 5]), "a list of names, not 5"),
        (lambda o: Workflow("w").add_parallel([o.add.s()], after=5), "after must be the name of"),
        (lambda o: Workflow("w").add(o.add.s(), wait_for_children="x"), "true or false, not 'x'"),
        (lambda o: Workflow("w").add(o.add.s()).graph(max_nodes="x"), "max_nodes must be a whole"),
        (lambda o: o.app.batch([], on_failure="stop"), "a batch: on_failure must be one of"),
        (lambda o: o.app.batch([], name=5), "a batch: name must be a text"),
        (lambda o: o.app.jobs(limit="x"), "app.jobs(): limit must be a whole number from 0 to"),
        (lambda o: o.app.jobs(state="done"), "state must be one of waiting, scheduled, ready"),
        (lambda o: o.app.jobs(queue=5), "queue must be a text"),
        (lambda o: o.app.jobs(before="x"), "before must be an id, as a UUID or its text, not 'x'"),
        (lambda o: o.app.workflows(status="bad"), "status must be one of running, paused"),
        (lambda o: o.app.result(uuid.uuid4()).cancel(5), "reason must be text, not 5"),
    ],
)  # fmt: skip
def test_a_call_is_refused_where_it_is_made(
    offline: SimpleNamespace, call: Callable[[Any], Any], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        call(offline)

    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def _liar(base: Any, *methods: str) -> Any:
    def lie(*_: Any) -> Any:
        raise ZeroDivisionError

    return type("Liar", (base,), dict.fromkeys(methods, lie))


_TEXT = _liar(str, "__str__", "__hash__", "__eq__", "__repr__", "__format__", "__len__")
_NUMBER = _liar(int, "__index__", "__int__", "__float__", "__le__", "__lt__", "__repr__")
_TABLE = _liar(dict, "__iter__", "items", "keys", "values", "__len__", "__getitem__")(a=1)
_NO_CLASS = type("NoClass", (), {"__class__": property(lambda self: 1 / 0)})()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda o: o.add.options(priority=_NUMBER(3)), "priority must be"),
        (lambda o: o.add.options(delay=_NUMBER(3)), "delay must be"),
        (lambda o: o.add.options(headers=_TABLE), "headers must be a mapping"),
        (lambda o: o.add.options(eta=_NO_CLASS), "eta must be"),
        (lambda o: o.add.options(backoff=_NO_CLASS), "backoff must be"),
        (lambda o: o.add.options(queue=_NO_CLASS), "queue must be"),
        (lambda o: o.app.task(retry_on=(_NO_CLASS,))(len), "retry_on must be"),
        (lambda o: o.app.task(_NO_CLASS), "@app.task: ‹NoClass: repr failed›|@app.task: <"),
        (lambda o: o.app.codec.register(_NO_CLASS), "register takes a class"),
        (lambda o: o.add.s().depends_on(_NO_CLASS), "shop.add cannot depend on"),
        (lambda o: Workflow("w").add(o.add.s(), after=[_NO_CLASS]), "after must be"),
        (lambda o: Workflow("w", metadata=_TABLE), "metadata must be"),
        (lambda o: SpawnConfig.from_mapping(_TABLE), "_spawn_config must be a mapping"),
        (lambda o: exponential(_NUMBER(1)), "first of a backoff must be"),
        (lambda o: o.app.result(_NO_CLASS), "is not a job id"),
    ],
)
def test_a_value_whose_class_lies_is_refused_under_the_name_of_its_option(
    offline: SimpleNamespace, call: Callable[[Any], Any], sentence: str
) -> None:
    with pytest.raises(HammerflowError, match=sentence):
        call(offline)


def test_of_a_text_whose_class_lies_the_plain_text_is_kept(offline: SimpleNamespace) -> None:
    signature = offline.add.options(queue=_TEXT("mail")).s(1).depends_on(_TEXT("first"))
    workflow = Workflow("w").add(offline.add.s(), after=_TEXT("first"))

    assert {type(signature.options["queue"]), type(signature.after[0])} == {str}
    assert signature.options["queue"] == "mail"
    assert signature.after == ("first",)
    assert workflow.nodes[0].given_after == ["first"]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda o: o.add.apply_async(link=o.add), "expected a signature|link must be a signature"),
        (lambda o: o.add.apply_async(link_error="add"), "link_error must be a signature"),
        (lambda o: o.add.s().link(o.add), "expected a signature"),
        (lambda o: group(o.add), "expected signatures .* not <Task shop.add>"),
        (lambda o: group("ab"), "expected signatures"),
        (lambda o: group({"a": o.add.s()}), "expected signatures"),
        (lambda o: chain(5), "expected signatures"),
        (lambda o: chord(5, o.add.s()), "expected signatures"),
        (lambda o: o.app.enqueue_many(5), "takes an iterable of signatures .*, not 5"),
        (lambda o: o.app.batch(5), "a batch takes an iterable of signatures .*, not 5"),
        (lambda o: o.add.map(5), "items must be an iterable, not 5"),
        (lambda o: o.add.map("abc"), "items must be an iterable, not 'abc'"),
        (lambda o: Workflow("w").add_parallel(5), "jobs must be a list of signatures, not 5"),
        (lambda o: o.app.workflow("w", retries=3), "has no option 'retries'"),
        (lambda o: o.add.s().options.update(queue="x"), r"use signature.set\(...\)"),
        (lambda o: group([o.add.s(), 5]), r"^group\[1\]: expected a signature .* got int$"),
        (lambda o: group(o.add.s(), o.add), r"^group\[1\]: expected .* got Task$"),
        (lambda o: chain(o.add.s(), None), r"^chain\[1\]: expected .* got NoneType$"),
        (lambda o: chain([5]), r"^chain\[0\]: expected a signature .* got int$"),
        (lambda o: chord([o.add.s(), "x"]), r"^chord\[1\]: expected a signature .* got str$"),
        (lambda o: o.add.apply_async(link=[o.add.s(), 5]), r"^link\[1\]: expected .* got int$"),
        (lambda o: Workflow("w").add_parallel([o.add.s(), 5]), r"^jobs\[1\]: .* not int$"),
        (lambda o: Workflow("w").then([o.add.s(), 5]), r"^jobs\[1\]: .* not int$"),
    ],
)
def test_another_thing_than_a_signature_is_a_type_error(
    offline: SimpleNamespace, call: Callable[[Any], Any], sentence: str
) -> None:
    with pytest.raises(TypeError, match=sentence):
        call(offline)


def test_a_wait_takes_seconds_only(app: Hammerflow) -> None:
    for wait in (app.result(uuid.uuid4()).get, app.result(uuid.uuid4()).wait):
        for wrong in ("5", -1, float("nan"), True):
            with pytest.raises(
                ConfigError, match="timeout must be a duration of 0 or more seconds"
            ):
                wait(timeout=wrong)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"timeout": 0}', "workflow w: timeout must be a duration of more than 0"),
        ('{"metadata": {"a": [1e999]}}', "metadata|number"),
        ('{"jobs": [{"name": "a", "task": "shop.add", "timeout": 0}]}', "line 1: job 'a': "),
        ('{"jobs": [{"name": "a", "task": "shop.add", "max_attempts": 0}]}', "max_attempts"),
    ],
)
def test_an_option_of_a_file_is_refused_with_its_place(
    offline: SimpleNamespace, text: str, sentence: str
) -> None:
    spec = {"name": "w", "jobs": [{"name": "a", "task": "shop.add"}], **json.loads(text)}
    with pytest.raises(WorkflowInvalid, match=f"flow.json.*{sentence}"):
        workflow_from_text(offline.app, json.dumps(spec), format="json", source="flow.json")


def test_a_signature_depends_on_signatures_results_and_names(offline: SimpleNamespace) -> None:
    with pytest.raises(WorkflowInvalid, match="cannot depend on 5"):
        offline.add.s().depends_on(5)
    flow = Workflow("w").add(offline.add.s())
    offline.add.s().depends_on(flow, offline.app.batch([]), "a", uuid.uuid4(), [offline.add.s()])


def test_any_name_of_a_parameter_can_be_given(app: Hammerflow) -> None:
    @app.task(name="shop.names")
    def names(**given: int) -> list[str]:
        return sorted(given)

    words = dict.fromkeys(("self", "work", "args", "kwargs", "options", "task", "name", "app"), 1)
    sent = [
        names.delay(**words),
        names.options(queue="q").delay(**words),
        names.s(**words).delay(),
        names.s().delay(**words),
        names.si(**words)(),
        names.options(queue="q").s(**words).delay(),
    ]
    drain(app)

    assert [result.get(timeout=5) for result in sent] == [sorted(words)] * len(sent)


def test_names_from_an_enum_become_their_text(app: Hammerflow) -> None:
    @app.task(name="shop.names")
    def names(**given: int) -> list[str]:
        return [f"{type(name).__name__} {name}" for name in given]

    sent = [
        names.apply_async((), {Name.KEY: 1}),
        names.delay(**{Name.KEY: 1}),
        names.s(**{Name.KEY: 1}).delay(),
        app.enqueue(app.signature("shop.names", (), {Name.KEY: 1})),
    ]
    drain(app)

    assert [result.get(timeout=5) for result in sent] == [["str key"]] * len(sent)


# -- headers and metadata


class _Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({1: "x"}, "must be a mapping with text as keys, not 1: write the key as text"),
        ({"a": {True: 1}}, "['a'] must be a mapping with text as keys, not True"),
        ({"a": [0, (1,)]}, "['a'][1] must be text, a number, true, false, null, a list or a map"),
        ({"a": (1,)}, "a tuple would come back as a list: write a list"),
        ({"a": [{"b": datetime(2026, 1, 1, tzinfo=UTC)}]}, "['a'][0]['b'] must be text"),
        ({"a": float("nan")}, "['a'] must be a finite number, not nan"),
        ({"a": [float("-inf")]}, "['a'][0] must be a finite number"),
        ({"a": b"x"}, "write text, for example base64"),
        ({"a": {1}}, "write a sorted list"),
        ({"a": Decimal(1)}, "['a'] must be text, a number"),
        ({"a": uuid.UUID(int=1)}, "['a'] must be text, a number"),
        ({"a": 10**5000}, "['a'] must be a number of at most 1000 digits"),
        ({"a": [0] * 100_001}, "at most 100000 values"),
    ],
)
def test_what_json_would_change_is_refused_with_its_path(
    offline: SimpleNamespace, value: Any, sentence: str
) -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    for call in (
        lambda v: offline.add.options(headers=v),
        lambda v: offline.add.apply_async(headers=v),
        lambda v: offline.add.s().set(headers=v),
        lambda v: SpawnConfig(metadata=v),
        lambda v: offline.app.spawner(name="shop.s", metadata=v)(lambda: iter(())),
        lambda v: Workflow("w", metadata=v),
    ):
        with pytest.raises(ConfigError) as caught:
            call(value)
        assert sentence in str(caught.value)
        assert len(str(caught.value)) < 400
        with pytest.raises(ConfigError, match="nested at most 50 levels deep"):
            call({"a": cycle})


def test_headers_and_metadata_are_kept_exactly_and_as_they_were(app: Hammerflow) -> None:
    given = {
        "text": "ö\0\ud800", "list": [1, 2.5, True, None, [], {}], "big": 2**70, "-0": -0.0,
        "nested": {"a": [{"b": "c"}]},
    }  # fmt: skip

    @app.task(name="shop.headers")
    def headers() -> Any:
        return repr(current_job().headers)

    @app.spawner(name="shop.spawns", metadata=given)
    def spawns() -> Iterator[Any]:
        yield headers.s()

    mutable: dict[str, Any] = {**given, "enum": Name.KEY, "level": _Level.HIGH}
    results = [headers.options(headers=mutable).delay(), headers.apply_async(headers=mutable)]
    signature = headers.s().set(headers=mutable)
    bound = headers.options(headers=mutable)
    flow = Workflow("w", metadata=mutable).add(headers.s())
    mutable["list"].append("later")
    mutable["later"] = given["list"].pop()
    parent = spawns.delay()
    results += [signature.delay(), bound.delay()]
    flow_result = flow.enqueue()
    drain(app)

    wanted = {**given, "enum": "key", "level": 3}
    assert [result.get(timeout=5) for result in results] == [repr(wanted)] * 4
    assert flow_result.row().options["metadata"] == wanted
    operation = app.store.jobs.spawn(parent.id.bytes)
    assert operation is not None and operation["metadata"] == given


def test_metadata_of_a_payload_is_refused_by_its_path(app: Hammerflow) -> None:
    @app.task(name="shop.plain", max_attempts=1)
    def plain(**_: Any) -> None: ...

    config = {"handler": "x", "metadata": {"at": [datetime(2026, 1, 1, tzinfo=UTC)]}}
    result = plain.delay(_spawn_config=config)
    drain(app)

    with pytest.raises(HammerflowError, match=r"_spawn_config: metadata\['at'\]\[0\] must be"):
        result.get(timeout=5)


# -- times


def test_the_ends_of_the_range_of_times_are_stored_and_read(app: Hammerflow) -> None:
    @app.task(name="shop.later")
    def later() -> None: ...

    earliest = datetime(1970, 1, 1, tzinfo=UTC)
    latest = datetime(9999, 12, 30, tzinfo=UTC)
    eastern = timezone(timedelta(hours=14))
    sent = [
        later.options(eta=latest).delay(),
        later.options(eta=latest.astimezone(eastern), expires=latest).delay(),
        later.options(delay=10**11, expires=10**11).delay(),
        later.options(timeout=10**8, delay=timedelta(days=10**6)).delay(),
        later.options(eta=earliest, expires=latest).delay(),
        later.options(expires=earliest).delay(),
    ]
    Workflow("w", timeout=10**8).add(later.s().set(delay=10**11)).enqueue()

    jobs = {job.id: job for job in app.jobs()}
    assert [jobs[result.id].run_at for result in sent[:2]] == [latest, latest]
    assert [result.state for result in sent[:4]] == [JobState.SCHEDULED] * 4
    drain(app)
    assert [result.state for result in sent[4:]] == [JobState.COMPLETED, JobState.CANCELLED]


def test_progress_is_a_number_from_0_to_1(app: Hammerflow, seen: list[Any]) -> None:
    wrong = ["50%", True, float("nan"), None, 2, -1, 1j]

    @app.task(name="shop.works", max_attempts=1)
    def works() -> None:
        for value in wrong:
            try:
                current_job().progress(value)
            except ValueError as error:
                seen.append(str(error))
        current_job().progress(1, note=5)  # type: ignore[arg-type]

    result = works.delay()
    drain(app)

    assert seen == [f"progress() must be a number from 0 to 1, not {value!r}" for value in wrong]
    with pytest.raises(JobFailed, match="note must be text, not 5"):
        result.get(timeout=5)


def test_a_chdir_does_not_move_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    app = Hammerflow("shop")
    app.migrate()

    @app.task(name="shop.ping")
    def ping() -> None: ...

    @app.task(name="shop.moves")
    def moves() -> None:
        monkeypatch.chdir(elsewhere)
        app.close()  # the next use connects again, as a new process does
        ping.delay()

    moves.delay()
    drain(app, limit=1)
    monkeypatch.chdir(tmp_path)
    other = Hammerflow("shop")

    assert [job.task for job in other.jobs()] == ["shop.ping", "shop.moves"]
    assert not list(elsewhere.iterdir())
    assert other.settings.url.database == str(tmp_path / "hammerflow.db")
    for opened in (app, other):
        opened.close()


_FOREIGN_TIMES = {
    "sqlite": ["1e300", "-1e300", "'soon'", "x'00'"],
    "postgres": ["'infinity'", "'-infinity'", "'20000-01-01'", "'0044-03-15 BC'"],
    "mysql": ["'9999-12-31 23:59:59.999999'", "'1000-01-01'"],
}


def test_no_row_of_another_program_hides_the_others(
    app: Hammerflow, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task(name="shop.later")
    def later() -> None: ...

    times = _FOREIGN_TIMES[app.settings.url.dialect]
    strange = [later.options(delay=60).delay() for _ in times]
    broken = [later.options(delay=60, headers={"a": 1}).delay() for _ in range(2)]
    good = later.options(delay=60).delay()
    changes = [
        (f"hammerflow_scheduled SET run_at = {time}", result)
        for time, result in zip(times, strange, strict=True)
    ]
    changes += [("hammerflow_jobs SET headers = 'rubbish'", broken[0])]
    changes += [("hammerflow_jobs SET priority = 9", broken[1])]
    with app.transaction() as tx:
        for change, result in changes:
            key = "id" if "jobs" in change else "job_id"
            mark = "?" if app.settings.url.dialect == "sqlite" else "%s"
            id_ = result.id if app.settings.url.dialect == "postgres" else result.id.bytes
            assert tx.execute(f"UPDATE {change} WHERE {key} = {mark}", (id_,)).rowcount == 1

    flows = [Workflow("w").add(later.s()).enqueue() for _ in range(3)]
    for flow, change in zip(flows, ("status = 99", "options = 'rubbish'"), strict=False):
        with app.transaction() as tx:
            id_ = flow.id if app.settings.url.dialect == "postgres" else flow.id.bytes
            tx.execute(f"UPDATE hammerflow_workflows SET {change} WHERE id = {mark}", (id_,))

    assert app.workflows() == flows[2:]
    listed = {job.id for job in app.jobs(state="scheduled")}

    assert listed == {result.id for result in [*strange, good]}
    assert all(result.state is JobState.SCHEDULED for result in strange)
    for result in broken:
        with pytest.raises(HammerflowError, match=f"job {result.id} cannot be read: "):
            result.job()
        assert f"left out of a list: job {result.id} cannot be read" in caplog.text
