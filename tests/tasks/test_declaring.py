"""Declaring tasks: which functions can be one, under which name, and what is refused at once."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import functools
import importlib
import itertools
import math
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow import ConfigError, Hammerflow, JobFailed, Signature
from hammerflow.tasks.task import AsyncTask
from hammerflow.testing.drain import drain


def times(factor: int) -> Callable[[int], int]:
    def multiply(x: int) -> int:
        return factor * x

    return multiply


def logged(fn: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any) -> Any:  # no functools.wraps: each task is called wrapper
        return fn(*args)

    return wrapper


def passing(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


class Adder:
    def __init__(self, n: int) -> None:
        self.n = n

    def add(self, x: int) -> int:
        return self.n + x

    def __call__(self, x: int) -> int:
        return self.add(x)

    @classmethod
    def zero(cls) -> int:
        return cls(0).n


class AsyncAdder(Adder):
    async def __call__(self, x: int) -> int:  # type: ignore[override]
        return self.add(x)


#: Each pair of functions has one name.
CLASHES = {
    "closures": lambda: (times(2), times(3)),
    "lambdas": lambda: (lambda: 1, lambda: 2),
    "lambdas of a loop": lambda: [lambda x, k=k: x * k for k in (2, 3)],
    "keyword defaults of a loop": lambda: [lambda x, *, k=k: x * k for k in (2, 3)],
    "wrappers without a name": lambda: (logged(times(2)), logged(math.sqrt)),
    "closures, wrapped": lambda: (passing(times(2)), passing(times(3))),
    "methods of two objects": lambda: (Adder(2).add, Adder(3).add),
}


@pytest.mark.parametrize("kind", CLASHES)
@pytest.mark.parametrize("decorator", ["task", "spawner", "spawn_handler"])
def test_two_functions_cannot_have_one_name(app: Hammerflow, kind: str, decorator: str) -> None:
    one, other = CLASHES[kind]()
    register = app.spawn_handler("same") if decorator == "spawn_handler" else vars(Hammerflow)[
        decorator].__get__(app)  # fmt: skip
    register(one)

    with pytest.raises(ConfigError, match=r"is taken by .*test_declaring.py:\d+\): give .*another"):
        register(other)

    app.task(name="other")(other)  # the remedy
    app.tasks.clear()
    app.spawn_handlers.clear()
    register(other)  # the first one was taken out


def test_objects_need_a_name_and_cannot_share_it(app: Hammerflow) -> None:
    app.task(name="adder")(Adder(2))
    app.task(name="part")(functools.partial(pow, 2))

    with pytest.raises(ConfigError, match="'adder' is taken by Adder.__call__"):
        app.task(name="adder")(Adder(3))
    with pytest.raises(ConfigError, match="'part' is taken by functools.partial"):
        app.task(name="part")(functools.partial(pow, 3))
    for nameless in (Adder(2), functools.partial(pow, 2)):
        with pytest.raises(ConfigError, match="has no name of its own: give the task one"):
            app.task(nameless)
    with pytest.raises(ConfigError, match="'hammerflow.collect' is taken"):
        app.task(name="hammerflow.collect")(times(2))


def test_what_cannot_differ_may_be_registered_once_more(app: Hammerflow) -> None:
    def plain() -> Callable[[int], int]:
        def double(x: int) -> int:
            return 2 * x

        return double

    assert app.task(plain()) is not app.task(plain())
    assert app.task(math.sqrt) is not app.task()(math.sqrt)
    two = Adder(2)
    assert app.task(two.add) is not app.task(two.add)


def listed(*names: str) -> list[Signature]:
    return [Signature(name) for name in names]


def given_options(which: int) -> dict[str, Any]:
    """Options whose values are other objects at each call, and equal for the same number."""
    return {
        "queue": ["slow", "fast"][which], "timeout": 5.0 + which,
        "retry_on": [OSError, KeyError][which], "backoff": [lambda n: n, lambda n: 2 * n][which],
        "then": Signature("end", (which,)), "metadata": {"n": [which]},
        "validate": [lambda _: True, lambda _: None][which],
    }  # fmt: skip


@pytest.mark.parametrize("name", given_options(0))
@pytest.mark.parametrize("fn", [listed, times(2)], ids=["function", "closure"])
def test_a_function_cannot_have_two_sets_of_options_under_one_name(
    app: Hammerflow, fn: Any, name: str
) -> None:
    app.spawner(name="list", **{name: given_options(0)[name]})(fn)
    again = app.spawner(name="list", **{name: given_options(0)[name]})(fn)

    for other in ({name: given_options(1)[name]}, {}):
        with pytest.raises(ConfigError, match=f"'list' is registered already.* differ .{name}.:"):
            app.spawner(name="list", **other)(fn)
    with pytest.raises(ConfigError, match="'list' is registered already"):
        app.task(name="list")(fn)

    assert app.tasks["list"] is again
    app.spawner(name="other", **given_options(1))(fn)  # the remedy
    del app.tasks["list"]
    app.task(name="list", queue="slow")(fn)  # the first one was taken out


MODULE = """
from shop_of_test import app

@app.task
def mail(to):
    return {value}

def make(n):
    @app.task(name=f"make{{n}}")
    def made():
        return n

make(1)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, app: Hammerflow) -> Path:
    """A module with tasks of an app that lives elsewhere."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    holder = type(sys)("shop_of_test")
    holder.app = app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop_of_test", holder)
    file = tmp_path / "mail_of_test.py"
    file.write_text(MODULE.format(value=1))
    yield file
    sys.modules.pop("mail_of_test", None)


def test_a_reloaded_module_registers_its_tasks_again(app: Hammerflow, shop: Path) -> None:
    module = importlib.import_module("mail_of_test")
    shop.write_text("# an edit\n" + MODULE.format(value=2))
    importlib.reload(module)
    assert app.tasks["mail_of_test.mail"].fn("x") == 2

    del sys.modules["mail_of_test"]
    shop.write_text("# one\n# more edit\n" + MODULE.format(value=3))
    importlib.import_module("mail_of_test")
    assert app.tasks["mail_of_test.mail"].fn("x") == 3

    module = sys.modules["mail_of_test"]
    shop.write_text(MODULE.format(value=4).replace("@app.task\n", "@app.task(queue='slow')\n"))
    for _ in range(2):
        importlib.reload(module)
        assert app.tasks["mail_of_test.mail"].defaults.queue == "slow"


def test_a_copy_in_the_same_module_is_not_a_reload(app: Hammerflow, shop: Path) -> None:
    copy = "\n@app.task\ndef mail(to):\n    return 4\n"
    shop.write_text(MODULE.format(value=1) + copy)
    with pytest.raises(
        ConfigError,
        match=r"'mail_of_test.mail' is taken by mail \(.*:4\): give mail \(.*:15\) another one",
    ):
        importlib.import_module("mail_of_test")


def test_what_cannot_run_as_a_job_is_refused_where_it_is_declared(app: Hammerflow) -> None:
    def items() -> Iterator[int]:
        yield 1

    async def aitems() -> AsyncIterator[int]:
        yield 1

    class Shop:
        @staticmethod
        def static() -> None: ...

        def method(self) -> None: ...

        @functools.lru_cache  # noqa: B019
        def cached(self) -> None: ...

    wrong: dict[str, list[Any]] = {
        "is a generator function: use @app.spawner": [
            items, aitems, functools.partial(items), staticmethod(items),
        ],
        "is a context manager, whose body a call does not run": [
            contextlib.contextmanager(items), contextlib.asynccontextmanager(aitems),
            functools.partial(contextlib.contextmanager(items)),
        ],
        "is a class, whose instances": [Shop, int],
        "cannot be called as a function": [
            classmethod(items), property(items), functools.partialmethod(items), 5,
        ],
        "is a method": [Shop.method],
        "is text, not a function: give the name as name=": ["mail"],
        "is a call of a task, not a function": [app.task(math.sqrt).s(4)],
        "is the task .* already: give its function": [app.task(Shop.static)],
    }  # fmt: skip
    for sentence, things in wrong.items():
        for thing in things:
            with pytest.raises(ConfigError, match=sentence):
                app.task(name="x")(thing)
            with pytest.raises(ConfigError, match=sentence):
                app.task(thing)
    for thing in (Shop, classmethod(items), Shop.method, "mail", 5):
        with pytest.raises(ConfigError, match="@app.spawner: "):
            app.spawner(thing)
    for hook in (items, aitems, AsyncAdder(1), asyncio.sleep):
        for option in ("validate", "on_spawn_complete"):
            with pytest.raises(ConfigError, match=f"{option} must be a plain function, neither"):
                app.spawner(name="y", **{option: hook})(items)
    for handler in (aitems, AsyncAdder(1), asyncio.sleep, 5):
        with pytest.raises(ConfigError, match="the spawn handler 'h' must be a plain function or"):
            app.spawn_handler("h")(handler)
    app.spawn_handler("h")(items)
    assert not {"x", "y"} & app.tasks.keys()


def test_a_class_holds_tasks_as_static_methods(app: Hammerflow) -> None:
    class Shop:
        @app.task
        @staticmethod
        def below(x: int) -> int:
            return x

        @staticmethod
        @app.task
        def above(x: int) -> int:
            return x

        @app.task
        def bare(x: int) -> int:  # type: ignore[misc]  # noqa: N805
            return x

    for task in (Shop.below, Shop.above, Shop.bare, Shop().below, Shop().above, Shop().bare):
        assert task(3) == 3
        result = task.delay(3)
        drain(app)
        assert result.get(timeout=0) == 3
    for above in (classmethod, property):
        with pytest.raises(ConfigError, match="is a method"):

            class Refused:
                @above
                @app.task
                def method(cls) -> None: ...  # noqa: N805


def test_methods_objects_and_partials_work_if_they_have_a_name(app: Hammerflow) -> None:
    double = functools.wraps(times)(functools.partial(pow, 2))
    tasks = {
        app.task(name="bound")(Adder(2).add): 5,
        app.task(name="object")(Adder(2)): 5,
        app.task(name="async object")(AsyncAdder(2)): 5,
        app.task(name="partial")(functools.partial(pow, 2)): 8,
        app.task(name="async partial")(functools.partial(AsyncAdder(2).__call__)): 5,
        app.task(double): 8,
        app.task(math.sqrt): math.sqrt(3),
    }
    results = {task.delay(3): value for task, value in tasks.items()}
    zero = app.task(Adder.zero).delay()
    drain(app)

    assert {result.get(timeout=0): value for result, value in results.items()} == {
        value: value for value in results.values()
    }
    assert zero.get(timeout=0) == 0
    is_async = {task.name for task in tasks if isinstance(task, AsyncTask)}
    assert is_async == {"async object", "async partial"}


@pytest.mark.parametrize("keeps", [True, False])
def test_a_body_that_has_not_run_fails_with_that_cause(each_app: Hammerflow, keeps: bool) -> None:
    ran: list[str] = []

    @passing
    async def coroutine() -> None:
        ran.append("coroutine")

    @passing
    def generator() -> Iterator[int]:
        ran.append("generator")
        yield 1

    @passing
    async def async_generator() -> AsyncIterator[int]:
        ran.append("async generator")
        yield 1

    @passing
    @contextlib.contextmanager
    def manager() -> Iterator[int]:
        ran.append("context manager")
        yield 1

    async def nested() -> Any:
        return coroutine()

    causes = {
        coroutine: "returned a coroutine, whose body has not run: make the function .*async def",
        nested: "returned a coroutine, whose body has not run",
        generator: "returned a generator, whose body has not run: declare it with @app.spawner",
        async_generator: "returned an async generator, whose body has not run",
        manager: "returned a context manager, whose body has not run: write a function that uses",
    }
    for fn, cause in causes.items():
        task = each_app.task(store_result=keeps)(fn)
        result, mapped = task.delay(), task.starmap([()]).set(max_attempts=1).delay()
        drain(each_app)
        for job in (result, mapped):
            with pytest.raises(JobFailed, match=cause):
                job.get(timeout=0)
        assert len(result.job().errors) == 1  # another attempt would end the same way
    assert ran == []


def test_lazy_results_that_nobody_stores_fail_with_that_cause(app: Hammerflow) -> None:
    async def touch() -> None:
        raise AssertionError("runs")

    async def started() -> Any:
        return asyncio.get_running_loop().create_task(asyncio.sleep(0))

    async def pending() -> Any:
        return [asyncio.get_running_loop().create_future()]

    cursor = iter(())  # as a cursor of a database: what was asked for is done
    causes = {
        "map": (lambda: map(print, "ab"), "a lazy map object, whose items have not been made"),
        "filter": (lambda: filter(print, "ab"), "a lazy filter object"),
        "starmap": (lambda: itertools.starmap(print, ["ab"]), "a lazy starmap object"),
        "coroutines": (lambda: [1, touch()], "returned a coroutine, whose body has not run"),
        "tuple": (lambda: (1, (x for x in "a")), "returned a generator, whose body has not run"),
        "task": (started, "returned an asyncio future that it did not await: await it"),
        "future": (pending, "returned an asyncio future"),
    }
    for name, (fn, cause) in causes.items():
        result = app.task(name=name, store_result=False)(fn).delay()
        drain(app)
        with pytest.raises(JobFailed, match=cause):
            result.get(timeout=0)
        assert len(result.job().errors) == 1
    for name, value in {"cursor": cursor, "list": [[1], {2}], "file": sys.stdin}.items():
        done = app.task(name=name, store_result=False)(lambda value=value: value).delay()
        drain(app)
        assert done.job().state == "completed"


class _Awaitable:
    def __await__(self) -> Iterator[Any]:
        raise AssertionError("runs")
        yield


class _Items:
    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        raise AssertionError("runs")


@dataclasses.dataclass
class _Page:
    items: Any


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize(
    ("lazy", "cause"),
    [
        (lambda: (x for x in "a"), "returned a generator, whose body has not run"),
        (lambda: map(print, "ab"), "returned a lazy map object, whose items have not been made"),
        (_Awaitable, "returned _Awaitable, which was not awaited: await it"),
        (_Items, "returned a lazy _Items object, whose items have not been made"),
    ],
)
@pytest.mark.parametrize(
    "around",
    [
        lambda x: x,
        lambda x: [[[x]]],
        lambda x: {"a": (1, {"b": [x]})},
        lambda x: {"a": collections.OrderedDict(b=collections.deque([x]))},
        lambda x: [_Page([x])],
    ],
)
def test_what_is_lazy_is_found_however_deep_it_is(
    app: Hammerflow, keeps: bool, lazy: Callable[[], Any], cause: str, around: Callable[[Any], Any]
) -> None:
    result = app.task(name="deep", store_result=keeps)(lambda: around(lazy())).delay()
    drain(app)

    with pytest.raises(JobFailed, match=cause):
        result.get(timeout=0)
    assert len(result.job().errors) == 1


def test_a_result_that_holds_itself_and_is_not_stored_is_no_error(app: Hammerflow) -> None:
    cycle: list[Any] = [1]
    cycle.append({"again": cycle})
    result = app.task(name="cycle", store_result=False)(lambda: cycle).delay()
    drain(app)

    assert result.job().state == "completed"


def test_a_spawner_whose_wrapper_hides_a_coroutine_fails_with_that_cause(
    each_app: Hammerflow,
) -> None:
    @each_app.spawner(max_attempts=1)
    @passing
    async def children() -> list[Signature]:
        return []

    result = children.delay()
    drain(each_app)
    with pytest.raises(JobFailed, match="returned a coroutine, whose body has not run"):
        result.get(timeout=0)


def test_a_wrapper_that_runs_the_coroutine_or_is_marked_as_one_works(app: Hammerflow) -> None:
    async def one() -> int:
        return 1

    @app.task
    @functools.wraps(one)
    def run() -> int:
        return asyncio.run(one())

    marked = passing(one)
    marked._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    awaited = app.task(name="marked")(marked)
    results = [run.delay(), awaited.delay()]
    drain(app)

    assert [result.get(timeout=0) for result in results] == [1, 1]
