"""Arguments of calls, and tasks as frameworks, pickle and copy see them."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import pickle
import pydoc
import subprocess
import sys
import typing
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow import (
    ConditionError,
    ConfigError,
    Hammerflow,
    JobFailed,
    MissingExtra,
    Signature,
    Task,
    Workflow,
    chain,
    chord,
    group,
)
from hammerflow.enqueue.async_transaction import AsyncTransaction
from hammerflow.enqueue.transaction import TransactionBlock
from hammerflow.testing.drain import drain

ROOT = Path(__file__).parents[2]


def with_database(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(x: int, *, y: int = 0) -> Any:
        return fn("database", x, y)

    return wrapper


def with_anything(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn("database", *args, **kwargs)

    return wrapper


def save(database: str, x: int, y: int = 0) -> list[Any]:
    return [database, x, y]


async def asave(database: str, x: int, y: int = 0) -> list[Any]:
    return [database, x, y]


def test_arguments_are_those_of_what_is_called(each_app: Hammerflow) -> None:
    async def inner(x: int, *, y: int = 0) -> list[Any]:
        return await asave("database", x, y)

    tasks = {
        "save": each_app.task(with_database(save)),
        "any": each_app.task(name="any")(with_anything(save)),
        "async": each_app.task(name="async")(functools.wraps(asave)(inner)),
        "part": each_app.task(name="part")(functools.partial(save, "database")),
        "cached": each_app.task(name="cached")(functools.cache(with_database(save))),
    }
    results = {}
    for name, task in tasks.items():
        calls = [task.s(1, y=2), task.si(1, y=2), task.options(queue="default").s(1, y=2)]
        results[name] = [task.delay(1, y=2), task.apply_async((1,), {"y": 2})]
        results[name] += [each_app.enqueue(call) for call in calls]
        results[name] += [task.options(priority=1).delay(1, y=2), *each_app.enqueue_many(calls)]
        wrong: list[dict[str, Any]] = [{"args": ("database", 1, 2)}, {"kwargs": {"z": 1}}, {}]
        for call in wrong if name != "any" else []:
            with pytest.raises(TypeError):
                task.apply_async(**call)
            with pytest.raises(TypeError):
                each_app.enqueue(task.s(*call.get("args", ()), **call.get("kwargs", {})))
    drain(each_app)

    for jobs in results.values():
        assert [job.get(timeout=0) for job in jobs] == [["database", 1, 2]] * len(jobs)


def test_the_check_can_be_switched_off(each_app: Hammerflow) -> None:
    @each_app.task(check_arguments=False, max_attempts=1)
    def one(x: int) -> int:
        return x

    @each_app.task(check_arguments=False)
    async def aone(x: int) -> int:
        return x

    results = [one.delay(), aone.s(1, 2).delay(), one.delay(1)]
    drain(each_app)
    assert results[-1].get(timeout=0) == 1
    with pytest.raises(JobFailed, match="missing 1 required positional argument: 'x'"):
        results[0].get(timeout=0)


def test_an_errback_behind_a_wrapper_gets_what_it_takes(each_app: Hammerflow) -> None:
    seen = []

    def wrapped(fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def wrapper(*args: Any) -> Any:
            return fn(*args)

        return wrapper

    @each_app.task(check_arguments=False)
    @wrapped
    def by_id(job_id: str) -> None:
        seen.append(job_id)

    @each_app.task
    @wrapped
    def by_request(request: Any, error: Any, traceback: str) -> None:
        seen.append(request.task)

    @each_app.task(name="fail", max_attempts=1)
    def fail() -> None:
        raise ValueError

    failed = fail.apply_async(link_error=[by_id.s(), by_request.s()])
    drain(each_app)
    assert sorted(seen) == sorted([str(failed.id), "fail"])


def test_a_function_may_call_its_arguments_as_it_likes(app: Hammerflow) -> None:
    @app.task
    def odd(self: int, /, args: int, kwargs: int, *, task: int, work: int, fn: int) -> list[int]:
        return [self, args, kwargs, task, work, fn]

    @app.task
    def own(self: int, task: int = 0, name: int = 0, options: int = 0) -> list[int]:
        return [self, task, name, options]

    words: dict[str, int] = {"args": 2, "kwargs": 3, "task": 4, "work": 5, "fn": 6}
    fast = own.options(queue="default")
    results: list[Any] = [
        odd.delay(1, **words), odd.s(1, **words).delay(), odd.si(1, **words).delay(),
        odd.options(priority=1).delay(1, **words),
    ]  # fmt: skip
    mine: list[Any] = [
        call(self=1, task=2, name=3, options=4)
        for call in (own.delay, fast.delay, own.s, own.si, fast.s, fast.si)
    ]
    mine = [app.enqueue(m) if isinstance(m, Signature) else m for m in mine]
    mine.append(own.s().delay(self=1, task=2, name=3, options=4))
    mine.append(asyncio.run(own.adelay(self=1, task=2, name=3, options=4)))
    mine.append(asyncio.run(fast.adelay(self=1, task=2, name=3, options=4)))
    drain(app)
    assert [r.get(timeout=0) for r in results] == [[1, 2, 3, 4, 5, 6]] * 4
    assert [r.get(timeout=0) for r in mine] == [[1, 2, 3, 4]] * 9
    assert own(self=1) == [1, 0, 0, 0]


def plain(x: int, /, y: str = "y", *, z: float = 0.5) -> list[int]:
    """Say what it is for."""
    return [x]


async def plain_async(x: int) -> int:
    """An async one."""
    return x


def plain_generator() -> Iterator[Signature]:
    yield from ()


@pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction' is deprecated")
@pytest.mark.parametrize("fn", [plain, plain_async, plain_generator, with_database(save)])
def test_frameworks_see_the_function(app: Hammerflow, fn: Any) -> None:
    task: Any = (app.spawner if fn is plain_generator else app.task)(fn)
    for read in (
        typing.get_type_hints, inspect.signature, inspect.iscoroutinefunction,
        asyncio.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction,
        inspect.getsource, inspect.getdoc, inspect.isroutine, inspect.getmodule,
        inspect.get_annotations, inspect.getfullargspec,
        *map(_attribute, ("name", "qualname", "doc", "module")),
        *map(_attribute, ("defaults", "kwdefaults", "globals")),
    ):  # fmt: skip
        assert read(task) == read(fn), read
    assert f"{fn.__name__}(" in pydoc.render_doc(task, renderer=pydoc.plaintext)
    assert weakref.ref(task)() is task
    assert {task: 1}[task] == 1
    again = functools.wraps(task)(lambda *args: None)
    assert inspect.signature(again) == inspect.signature(fn)


def _attribute(name: str) -> Callable[[Any], Any]:
    return lambda thing: getattr(thing, f"__{name}__")


def test_attributes_of_the_function_are_the_tasks(app: Hammerflow) -> None:
    def fn() -> None: ...

    fn.route = "/x"  # type: ignore[attr-defined]
    fn.delay = fn.name = fn.app = fn.check = "its own"  # type: ignore[attr-defined]
    task: Any = app.task(fn)

    assert task.route == "/x"
    assert isinstance(task, Task)
    assert task.app is app
    task.delay()


MODULE = '''
import copy, multiprocessing, pickle, sys
from hammerflow import Hammerflow, chain, chord, group, current_job

app = Hammerflow("shop", doorbell="none")

@app.task
def double(x):
    """Twice.

    >>> double(2)
    4
    """
    return 2 * x

def triple(x):
    return 3 * x

by_other_name = app.task(triple)

class Shop:
    @app.task
    @staticmethod
    def quadruple(x):
        return 4 * x

def send(call):
    return call.delay(), double.delay(5)

if __name__ == "__main__":
    app.migrate()
    calls = [double.s(1), chain(double.s(1), double.s()), by_other_name.options(priority=1)]
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            for task in (double, by_other_name, Shop.quadruple):
                print(pool.map(task, [1, 2]), pool.apply(pickle.dumps, (task,)) is not None)
            results = pool.map(send, calls[:2])
            print([type(r.job()).__name__ for pair in results for r in pair])
            assert pool.apply(copy.copy, (double,)) is double
            assert pool.apply(copy.copy, (app,)) is app
'''


def test_tasks_and_calls_go_to_other_processes(tmp_path: Path, sqlite_url: str) -> None:
    file = tmp_path / "shop.py"
    file.write_text(MODULE)
    place: Any = {
        "cwd": tmp_path, "text": True, "capture_output": True, "timeout": 60,
        "env": {"PYTHONPATH": str(ROOT), "HAMMERFLOW_DATABASE_URL": sqlite_url},
    }  # fmt: skip
    run = subprocess.run([sys.executable, "shop.py"], check=False, **place)
    once = ["[2, 4] True", "[3, 6] True", "[4, 8] True", str(["Job"] * 4)]
    assert run.stdout.splitlines() == once * 3, run.stderr

    command = [sys.executable, "-m", "doctest", "-v", "shop.py"]
    assert "1 passed" in subprocess.run(command, check=True, **place).stdout


def _copies(thing: Any) -> list[Any]:
    return [copy.copy(thing), copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))]


def test_calls_and_handles_copy_and_pickle(app: Hammerflow) -> None:
    @app.task
    def add(x: int, y: int = 0) -> int:
        return x + y

    @app.task
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    for task in (*_copies(add), *_copies(app), *_copies(add.app)):
        assert task in (add, app)
    calls: list[Any] = [
        add.s(1).set(queue="default"),
        add.si(1, y=2),
        chain(add.s(1), add.s(2)),
        group(add.s(1), add.s(2)),
        chord([add.s(1), add.s(2)], total.s()),
    ]
    calls[0].link(add.s(1))
    for call in calls:
        for twin in _copies(call):
            assert twin == call
            assert twin is not call
            twin.delay()
    shared = add.s([1])
    twins = copy.deepcopy([shared, add.s(2).depends_on(shared)])
    assert twins[1].after[0] is twins[0]
    assert twins[0].args[0] is not shared.args[0]
    flow = Workflow("flow").add(add.s(1), name="a").then(add.s(2), name="b")
    assert len(_copies(flow)) == 3
    handles = [
        add.delay(1), app.enqueue(calls[3]), app.enqueue(app.batch([add.s(1)])),
        app.workflow("w").add(add.s(1)).enqueue(), app.enqueue_many([add.s(1)])[0],
        add.options(priority=1).delay(1),
    ]  # fmt: skip
    drain(app)
    for handle in handles:
        for twin in _copies(handle):
            assert getattr(twin, "get", twin.wait)(timeout=1) == (
                getattr(handle, "get", handle.wait)(timeout=1)
            )
    assert _copies(add.options(priority=1))[2].delay(1).job().priority == 1


def test_errors_pickle_with_what_they_know() -> None:
    failed = JobFailed("builtins.ValueError", "no", "Traceback ...")
    condition = ConditionError("no such name: x", 3)
    missing = MissingExtra(package="psycopg", extra="postgres", what="a database of PostgreSQL")
    for error in (failed, condition, missing, ConfigError("x"), TimeoutError("x")):
        for twin in _copies(error):
            assert type(twin) is type(error)
            assert str(twin) == str(error)
            assert vars(twin) == vars(error)


def test_an_app_of_another_process_says_why_it_cannot_be_unpickled(app: Hammerflow) -> None:
    code = "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"
    run = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(app), capture_output=True, check=False,
        cwd=ROOT,
    )  # fmt: skip
    assert b"cannot unpickle the app 'shop': it belongs to another process" in run.stderr


@pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction' is deprecated")
def test_a_framework_sees_whatever_is_awaited(app: Hammerflow) -> None:
    """Starlette's background tasks run anything else in a thread, and drop its coroutine."""

    @app.task
    def task(x: int = 0) -> int:
        return x

    group_ = group(task.s(1), task.s(2)).delay()
    batch = app.batch([task.s(1)]).enqueue()
    owners = [
        app, task, task.options(priority=1), task.delay(), group_, Workflow("w").add(task.s()),
        batch, Workflow("v").add(task.s()).enqueue(), AsyncTransaction, TransactionBlock,
    ]  # fmt: skip
    names = {"await_", "execute", "__aenter__", "__aexit__"}
    found = [
        (name, getattr(owner, name))
        for owner in owners
        for name in dir(owner)
        if name in names or (name.startswith("a") and hasattr(owner, name[1:]))
    ]

    assert {"adelay", "aget", "aenqueue", "aenqueue_many", *names} <= {name for name, _ in found}
    for name, call in found:
        if name == "aevents":  # for ``async for``: nothing to await
            assert inspect.isasyncgenfunction(call)
            continue
        assert inspect.iscoroutinefunction(call), name
        assert inspect.iscoroutinefunction(functools.partial(call, 1)), name
        assert asyncio.iscoroutinefunction(call), name


def test_adelay_looks_like_its_method_and_copies_arguments_at_the_call(app: Hammerflow) -> None:

    @app.task
    def task(x: list[int], y: int = 0) -> int:
        return len(x) + y

    assert list(inspect.signature(task.adelay).parameters) == ["args", "kwargs"]
    assert task.adelay.__name__ == "adelay" and "blocking" in (task.adelay.__doc__ or "")
    buffer = [1]
    calls = [task.adelay(buffer), task.options(priority=1).adelay(buffer)]
    buffer.append(2)
    results = [asyncio.run(call) for call in calls]
    drain(app)
    assert [result.get(timeout=5) for result in results] == [1, 1]
