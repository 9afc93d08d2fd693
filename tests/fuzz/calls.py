"""Fuzz calls: each parameter of everything public gets each nasty value.

`python -m tests.fuzz.calls [--url URL]` tries all of it and prints what is raw.

A call may accept a value; what it returns is then used: a signature is sent, a decorator applied,
a coroutine awaited. Or it refuses it by an error of ours: a HammerflowError, or another exception
that a `raise` statement of the package has raised. Everything else is raw.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import contextlib
import functools
import inspect
import itertools
import linecache
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import hammerflow
from hammerflow import Hammerflow, HammerflowError, JobState, Task, Workflow
from hammerflow.canvas.chain import Canvas
from hammerflow.canvas.options import CALL_OPTIONS
from hammerflow.canvas.spawn import SPAWN_OPTIONS
from hammerflow.options.option import Option
from hammerflow.schedules.options import DECORATOR_OPTIONS, SCHEDULE_OPTIONS
from hammerflow.settings import SETTINGS
from hammerflow.tasks.options import OPTIONS, SPAWNER_OPTIONS
from hammerflow.testing import drain
from hammerflow.workflows.batch import Batch
from tests.fuzz.values import FOR_SERVERS, NASTY

__all__ = ["Raw", "World", "sites", "try_all"]

PACKAGE = Path(hammerflow.__file__).parent
#: What users only read: the library makes these.
_MADE_BY_US = {
    "GroupResult", "Job", "JobState", "Priority", "Result", "Spawner", "SpawnContext", "Task",
    "WorkflowResult", "WorkflowStatus", "FailurePolicy",
}  # fmt: skip
#: Plumbing that is public in its class and not in the documents.
_INTERNAL = {
    "in_thread", "at_start", "with_defaults", "sent_with", "leaves", "call", "as_child", "new_job",
    "new_rows", "joining", "open_transaction", "stores_result", "check", "extend", "close",
    "migrate", "calls", "encode_call", "decode_call", "encode", "decode", "index", "count",
    "register_annotations",
    "row", "validate",
}  # fmt: skip
#: What `**options` of a function are.
_TABLES: dict[str, tuple[Option, ...]] = {
    "Hammerflow": SETTINGS,
    "SpawnConfig": SPAWN_OPTIONS,
    "app.task": OPTIONS,
    "app.spawner": (*OPTIONS, *SPAWNER_OPTIONS),
    "app.cron": DECORATOR_OPTIONS,
    "app.every": DECORATOR_OPTIONS,
    "app.schedule": SCHEDULE_OPTIONS,
    "app.signature": CALL_OPTIONS,
    "task.apply_async": CALL_OPTIONS,
    "task.options": CALL_OPTIONS,
    "signature.set": CALL_OPTIONS,
    "signature.apply_async": CALL_OPTIONS,
    "chain.set": CALL_OPTIONS,
    "chain.apply_async": CALL_OPTIONS,
    "group.apply_async": CALL_OPTIONS,
}
_KEYWORDS = {"graph": ("max_nodes", "max_depth")}


class Site(NamedTuple):
    """A parameter of a call."""

    name: str
    call: Callable[[Any], Any]  # with the value in that parameter


class Raw(NamedTuple):
    """A value that was answered by a raw error, or left something behind."""

    site: str
    value: str
    what: str


class World:
    """An app with tasks, jobs and workflows, to call things of."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.app = app = Hammerflow("fuzz", database=url)
        app.migrate()
        self._numbers = itertools.count()
        self._inside: Callable[[], Any] | None = None
        self.task = app.task(name="fuzz.echo", max_attempts=1)(_echo)
        self.spawner = app.spawner(name="fuzz.spawner")(_spawner)
        self.body = app.task(name="fuzz.body", max_attempts=1)(self._run_inside)
        echo = self.task.s
        self.objects: dict[str, Any] = {
            "app": app,
            "app.stats": app.stats,
            "task": self.task,
            "spawner": self.spawner,
            "bound": self.task.options(queue="q"),
            "signature": echo(1),
            "chain": echo(1) | echo(2),
            "group": hammerflow.group(echo(1), echo(2)),
            "chord": hammerflow.chord([echo(1)], echo()),
            "result": self.task.delay(1),
            "results": app.enqueue_many([echo(1)]),
            "group_result": hammerflow.group(echo(1), echo(2)).delay(),
            "workflow_result": Workflow("w").add(echo(1), name="a").enqueue(),
            "batch_result": app.batch([echo(1)], then=echo()).enqueue(),
            "codec": app.codec,
        }
        drain(app)

    def fresh(self, name: str) -> Any:
        """The object of a name; what calls change is made again."""
        echo = self.task.s
        match name:
            case "workflow":
                return Workflow("w").add(echo(1), name="a")
            case "batch":
                return self.app.batch([echo(1)])
            case "signature":
                return echo(1)
            case _:
                return self.objects[name]

    def fresh_name(self) -> str:
        """A name that no task has."""
        return f"fuzz.f{next(self._numbers)}"

    def in_body(self, call: Callable[[Any], Any]) -> Any:
        """The result of a call with the running job, made inside its body."""
        ended: list[Any] = []
        self._inside = lambda: ended.append(call(hammerflow.current_job()))
        result = self.body.delay()
        drain(self.app, queues=["default"])
        if not ended:
            self._inside_error, error = None, self._inside_error
            raise error or HammerflowError(str(result.job().reason))
        return ended[0]

    _inside_error: BaseException | None = None

    def _run_inside(self) -> None:
        assert self._inside is not None
        try:
            self._inside()
        except BaseException as error:
            self._inside_error = error
            raise

    def close(self) -> None:
        """Close the app."""
        self.app.close()


def _echo(*args: Any, **kwargs: Any) -> int:
    return len(args) + len(kwargs)


def _spawner(*args: Any) -> Iterator[Any]:
    yield from ()


# -- what can be called


def sites(world: World) -> Iterator[Site]:
    """Every parameter of every public function, class and method."""
    # results first: reading one takes longer, the more jobs there are
    for name in sorted([*world.objects, "workflow", "batch"], key=lambda n: "result" not in n):
        for method in _methods(world.fresh(name)):
            made = functools.partial(_method, world, name, method)
            yield from _sites_of(world, f"{name}.{method}", made)
    for name in hammerflow.__all__:
        value = getattr(hammerflow, name)
        is_error = isinstance(value, type) and issubclass(value, BaseException)
        if callable(value) and not is_error and name not in {*_MADE_BY_US, "current_job"}:
            yield from _sites_of(world, name, lambda value=value: value)
    for word in ("queues", "limit"):
        yield Site(f"drain({word})", lambda value, word=word: drain(world.app, **{word: value}))
    for method in ("progress", "spawn"):  # replace() ends the body: the worker answers it
        yield from _context_sites(world, method)
    for kind in ("task", "spawner", "spawn_handler"):

        def decorate(value: Any, kind: str = kind) -> Any:
            return getattr(world.app, kind)(name=world.fresh_name())(value)

        yield Site(f"decorator of app.{kind}(fn)", decorate)
    yield Site("_spawn_config", hammerflow.SpawnConfig.from_mapping)
    for option in SPAWN_OPTIONS:
        yield Site(
            f"_spawn_config[{option.name}]",
            lambda value, name=option.name: hammerflow.SpawnConfig.from_mapping({name: value}),
        )


def _method(world: World, name: str, method: str) -> Any:
    return getattr(world.fresh(name), method)


def _methods(subject: Any) -> Iterator[str]:
    for name in dir(type(subject)):
        if name.startswith("_") or name in _INTERNAL:
            continue
        member = inspect.getattr_static(type(subject), name)
        if isinstance(member, property | functools.cached_property):
            continue
        if callable(getattr(subject, name)):
            yield name


def _sites_of(world: World, name: str, made: Callable[[], Any]) -> Iterator[Site]:
    parameters = inspect.signature(made()).parameters.values()
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            table = _TABLES.get(name)
            if table is not None:
                words = [option.name for option in table]
            else:
                words = [*_KEYWORDS.get(name.rpartition(".")[2], ("k",))]
        else:
            words = [parameter.name]
        for word in words:
            call = functools.partial(_call, world, name, made, parameter, word)
            yield Site(f"{name}({word})", call)


def _call(
    world: World, name: str, made: Callable[[], Any], chosen: inspect.Parameter, word: str,
    value: Any,
) -> Any:  # fmt: skip
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    function = made()
    for parameter in inspect.signature(function).parameters.values():
        is_chosen = parameter.name == chosen.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += [value] if is_chosen else []
        elif parameter.kind is parameter.VAR_KEYWORD:
            kwargs |= {word: value} if is_chosen else {}
        elif is_chosen or parameter.default is parameter.empty:
            given = value if is_chosen else _good(world, name, parameter.name)
            if parameter.kind is parameter.POSITIONAL_ONLY:
                args.append(given)
            else:
                kwargs[parameter.name] = given
    if name == "Hammerflow":
        kwargs = {"database": world.url, **kwargs}
    return function(*args, **kwargs)


def _good(world: World, name: str, parameter: str) -> Any:
    """A value that a parameter without a default takes."""
    echo = world.task.s
    match name, parameter:
        case "workflow_from_file", "path":
            return "/nowhere.json"
        case (("Signature" | "app.signature"), "task"):
            return "fuzz.echo"
        case "codec.register", "cls":
            return uuid.UUID
        case _:
            pass
    goods: dict[str, Any] = {
        "name": "w", "args": [1], "items": [[1]], "n": 2, "header": [echo(1)], "tasks": echo(1),
        "job": echo(1), "jobs": [echo(1)], "signatures": [echo(1)], "work": echo(1),
        "node": "a", "callback": echo(1), "job_id": world.objects["result"].id,
        "workflow_id": world.objects["workflow_result"].id, "seconds": 1, "first": 1, "after": 1,
        "app": world.app, "connection": None, "index": 0, "value": 1, "fn": _echo,
        "serializer": None, "data": b"", "kwargs": {}, "others": (), "body": echo(),
        "work_id": None, "when": "@daily", "kind": "none", "interval": timedelta(minutes=5),
        "url": "https://a.example/",
    }  # fmt: skip
    if parameter not in goods:
        raise LookupError(f"the fuzz knows no value for {name}({parameter}): add one to _good")
    return goods[parameter]


def _context_sites(world: World, method: str) -> Iterator[Site]:
    from hammerflow.context import JobContext

    for word in [*inspect.signature(getattr(JobContext, method)).parameters][1:]:

        def call(value: Any, word: str = word) -> Any:
            good = {"fraction": 0.5, "note": "", "signature": world.task.s(1)}
            first = "fraction" if method == "progress" else word
            given = {first: good.get(first), word: value}
            return world.in_body(lambda job: getattr(job, method)(**given))

        yield Site(f"current_job().{method}({word})", call)


# -- trying them


def try_all(
    world: World, wanted: Callable[[str], bool] = lambda name: True, labels: Iterable[str] = NASTY
) -> tuple[int, list[Raw]]:
    """How many calls were tried, and those whose answer was raw; then the jobs of the others run.

    Args:
        wanted: which sites are tried, by their names.
        labels: which of the values.
    """
    tried, raw = 0, []
    for site in sites(world):
        if not wanted(site.name):
            continue
        with _one_commit(world, site.name):
            for label in labels:
                tried, value = tried + 1, NASTY[label]
                what = _try(world, site, value() if label == "generator" else value)
                if what is not None:
                    raw.append(Raw(site.name, label, what))
    return tried, [*raw, *_harm(world)]


def _harm(world: World) -> Iterator[Raw]:
    """What the accepted values spoil later: a worker's run, lists, and the texts in them."""
    drain(world.app)
    for state in JobState:
        for job in world.app.jobs(state=state, limit=100_000):
            if state == "parked":
                yield Raw("drain", str(job.task), f"parked: {job.reason}")
    world.app.workflows(limit=100_000)


@contextlib.contextmanager
def _one_commit(world: World, name: str) -> Iterator[None]:
    """One transaction for all values of a parameter, where it can be: commits take most time."""
    owner, _, method = name.partition(".")
    is_plain = owner in {"task", "bound", "signature", "chain", "group", "chord", "spawner"}
    if not (is_plain or owner.startswith(("Signature", "Workflow("))) or method.startswith(
        "adelay"
    ):
        yield
        return
    with world.app.transaction():
        yield


def _try(world: World, site: Site, value: Any) -> str | None:
    try:
        _use(world, site.name, site.call(value))
    except LookupError as error:
        if "the fuzz knows no value" in str(error):
            raise
        return _fault(error)
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - that is the point
        return _fault(error)
    return None


def _use(world: World, name: str, made: Any) -> None:
    """Do what a user would do with what a call has returned."""
    match made:
        case Canvas() | Workflow() | Batch():
            world.app.enqueue(made)
        case Task():
            made.delay(1)
        case Hammerflow():
            made.close()
        case Iterator():
            list(itertools.islice(made, 3))
        case contextlib.AbstractContextManager():
            with made:
                pass
        case _ if inspect.iscoroutine(made):
            _use(world, name, asyncio.run(made))
        case _ if name.startswith(("app.task(", "app.spawner(")) and callable(made):
            _use(world, name, made(_named(world)))
        case _ if name.startswith("app.spawn_handler") and callable(made):
            made(_named(world))
        case _ if hasattr(made, "delay") and name.startswith(("task.options", "spawner.options")):
            made.delay(1)


def _named(world: World) -> Callable[..., int]:
    """A function of its own name."""
    scope: dict[str, Any] = {"__name__": "fuzz"}
    name = world.fresh_name().rpartition(".")[2]
    exec(f"def {name}(*args, **kwargs): return 1", scope)
    return scope[name]  # type: ignore[no-any-return]


def _fault(error: BaseException) -> str | None:
    """None for an error of ours: what it is, and where it came from."""
    text = str(error)
    shown = f"{type(error).__name__}: {text[:150]}"
    if not _is_raised_by_us(error):
        return f"raw {shown} ({_place(error)})"
    if not isinstance(error, HammerflowError | TypeError | ValueError | TimeoutError | LookupError):
        return f"of another kind: {shown} ({_place(error)})"
    if len(text) > 1_000 or not text.strip():
        return f"no sentence, {len(text)} characters: {shown}"
    return None


def _frames(error: BaseException) -> list[tuple[str, int]]:
    found, traceback = [], error.__traceback__
    while traceback is not None:
        found.append((traceback.tb_frame.f_code.co_filename, traceback.tb_lineno))
        traceback = traceback.tb_next
    return found


def _place(error: BaseException) -> str:
    frames = _frames(error)
    ours = [frame for frame in frames if frame[0].startswith(str(PACKAGE))]
    places = dict.fromkeys([*ours[-1:], frames[-1]])
    return ", ".join(f"{Path(file).name}:{line}" for file, line in places)


def _is_raised_by_us(error: BaseException) -> bool:
    """Whether a `raise` of the package has raised it, or Python the check of a task's arguments."""
    file, line = _frames(error)[-1]
    if not file.startswith(str(PACKAGE)):
        return False
    if (file, line) in _raising_lines(file):
        return True
    return "check(" in linecache.getline(file, line) and isinstance(error, TypeError)


@functools.cache
def _raising_lines(file: str) -> frozenset[tuple[str, int]]:
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return frozenset(
        (file, line)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    )


def main() -> int:
    """Try everything and print what is raw."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.calls", description=__doc__)
    parser.add_argument("--url", help="an empty database; a SQLite file by default")
    parser.add_argument("--only", default="", help="only sites whose name has this text")
    parser.add_argument("--servers", action="store_true", help="only what a server may refuse")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = World(given.url or f"sqlite:///{folder}/fuzz.db")
        labels = FOR_SERVERS if given.servers else NASTY
        tried, raw = try_all(world, lambda name: given.only in name, labels)
        world.close()
    for site, value, what in raw:
        print(f"{site} <- {value}: {what}")
    print(f"{tried} calls, {len(raw)} raw", file=sys.stderr)
    return int(bool(raw))


if __name__ == "__main__":
    sys.exit(main())
