"""Functions: which of them can be tasks, what they are called, and which arguments they take."""

from __future__ import annotations

import functools
import inspect
import itertools
import keyword
import sys
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import (
    _AsyncGeneratorContextManager,
    _GeneratorContextManager,
    asynccontextmanager,
    contextmanager,
)
from types import AsyncGeneratorType, CoroutineType, FunctionType, GeneratorType
from typing import Any, Final

from hammerflow.canvas.chain import Canvas
from hammerflow.errors import ConfigError
from hammerflow.introspection.kinds import is_a, kind_name
from hammerflow.introspection.origin import function_of, import_path, is_async
from hammerflow.text import plain_text, safe_repr

__all__ = [
    "UNFINISHED",
    "any_arguments",
    "arguments_check",
    "checked_function",
    "checked_handler",
    "default_name",
    "lazy_part",
    "signature_of",
    "unfinished",
]

#: What a call returns if it has not run the function's body yet.
UNFINISHED: Final = frozenset({
    CoroutineType, GeneratorType, AsyncGeneratorType, _GeneratorContextManager,
    _AsyncGeneratorContextManager,
})  # fmt: skip
#: What makes its items when it is asked for them. Not all iterators: cursors and files did work.
_LAZY: Final = frozenset({
    map, filter, zip, enumerate, reversed, *(c for c in vars(itertools).values() if type(c) is type)
})  # fmt: skip
#: Types of values that hold no others, looked at first.
_DONE: Final = frozenset({int, str, float, bool, bytes, type(None)})
_CONTAINERS: Final[tuple[Any, ...]] = (list, tuple, set, frozenset, deque)
#: The flag of a class that was made at run time, not built in (Py_TPFLAGS_HEAPTYPE).
_HEAP: Final = 1 << 9
#: What the standard library reads of a function to describe it, and marks of coroutine functions.
_ASKED: Final = (
    *functools.WRAPPER_ASSIGNMENTS, *functools.WRAPPER_UPDATES, "__annotations__", "__class__",
    "__code__", "__defaults__", "__func__", "__globals__", "__kwdefaults__", "__self__",
    "__signature__", "__text_signature__", "__wrapped__", "_is_coroutine", "_is_coroutine_mark",
)  # fmt: skip
#: The code of what ``@contextmanager`` and ``@asynccontextmanager`` make of a function.
_MAKERS: Final[tuple[Any, ...]] = (contextmanager, asynccontextmanager)
_MANAGERS: Final = frozenset(make(iter).__code__ for make in _MAKERS)


def checked_function(fn: Any, *, is_spawner: bool) -> Callable[..., Any]:
    """The function to register; of a static method the function in it.

    Raises:
        ConfigError: it cannot be run as a job; the message names it and says what to do.
    """
    if is_a(fn, staticmethod):
        fn = fn.__func__
    try:
        _ask(fn)
        shown = plain_text(getattr(fn, "__qualname__", None)) or safe_repr(fn)
        wrong = _why_not(fn) or ("" if is_spawner else _why_no_task(fn))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a border: the object's own methods
        shown = safe_repr(fn)
        wrong = f"cannot be examined ({kind_name(error)}): write a function that calls it"
    if wrong:
        raise ConfigError(f"@app.{'spawner' if is_spawner else 'task'}: {shown} {wrong}")
    return fn  # type: ignore[no-any-return]


def _ask(fn: Any) -> None:
    """Read all that anything asks a function for; it raises what a class of the user's raises."""
    for attribute in _ASKED if type(fn) is not FunctionType else ():
        getattr(fn, attribute, None)


def _why_not(fn: Any) -> str:
    """Why this can be neither task nor spawner; empty if it can."""
    if isinstance(fn, str):
        return "is text, not a function: give the name as name='...'"
    if isinstance(fn, Canvas):
        return "is a call of a task, not a function"
    if isinstance(fn, type):
        return "is a class, whose instances are not results: write a function that calls it"
    if isinstance(fn, classmethod | property) or not callable(fn):
        kind = type(fn).__name__
        return f"cannot be called as a function ({kind}): write a function or a static method"
    if getattr(function_of(fn), "__code__", None) in _MANAGERS:
        return "is a context manager, whose body a call does not run: write a function that uses it"
    if _is_method(fn):
        return "is a method, but a job has no object to call it on: make it a static method"
    return ""


def _why_no_task(fn: Any) -> str:
    function = function_of(fn)
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        return "is a generator function: use @app.spawner if it yields jobs, else return a list"
    return ""


def _is_method(fn: Any) -> bool:
    """Whether a plain function is defined in a class and takes the instance or class first."""
    if not inspect.isfunction(fn):
        return False
    outer, _, _ = fn.__qualname__.rpartition(".")
    if not outer or outer.endswith("<locals>"):
        return False
    return next(iter(inspect.signature(fn).parameters), "") in ("self", "cls")


def default_name(fn: Any) -> tuple[str, str]:
    """The name ``module.function``; and why no worker can know the task by it, or an empty text.

    Raises:
        ConfigError: it has no name, as a partial.
    """
    name = plain_text(getattr(fn, "__name__", None))
    if name is None:
        raise ConfigError(
            f"{safe_repr(fn)} has no name of its own: give the task one with name='...'"
        )
    try:
        return f"{import_path(fn)}.{name}", ""
    except ConfigError as error:
        remedy = "or give the task the name that its worker knows, name='...'"
        return f"__main__.{name}", f"task {name}: {error}, {remedy}"


def checked_handler(fn: Any, name: str) -> Any:
    """The function itself, if it can give the children of a job.

    Raises:
        ConfigError: it cannot be called, or it is async.
    """
    try:
        _ask(fn)
        fits = callable(fn) and not is_async(fn)
    except (Exception, SystemExit):  # noqa: BLE001 - a border: the object's own methods
        fits = False
    if not fits:
        raise ConfigError(
            f"the spawn handler {name!r} must be a plain function or a generator, which is called "
            f"in the worker's thread, not {safe_repr(fn)}"
        )
    return fn


def lazy_part(value: Any) -> Any:
    """What a body returned, or a part of it however deep, whose work has not been done; None if all
    has.

    Nothing would ask for it if the result is not stored.
    """
    left, seen = [value], set()
    while left:
        part = left.pop()
        cls = type(part)
        if cls in _DONE:
            continue
        if (parts := _parts(part)) is None:
            if cls in UNFINISHED or cls in _LAZY or _is_awaitable(cls) or _is_lazy(cls):
                return part
        elif id(part) not in seen:
            seen.add(id(part))
            left += parts
    return None


def _parts(value: Any) -> Iterable[Any] | None:
    """What a container or dataclass holds; None for anything else."""
    cls = type(value)
    if issubclass(cls, dict):
        return dict.values(value)
    for base in _CONTAINERS:
        if issubclass(cls, base):
            return base.__iter__(value)  # type: ignore[no-any-return]
    fields = _member(cls, "__dataclass_fields__")
    return None if fields is None else [getattr(value, name, None) for name in fields]


def _member(cls: type, name: str) -> Any:
    """What a class has under this name, whatever its metaclass says."""
    classes = type.__dict__["__mro__"].__get__(cls)
    return next((vars(base)[name] for base in classes if name in vars(base)), None)


def _is_awaitable(cls: type) -> bool:
    return _member(cls, "__await__") is not None


def _is_lazy(cls: type) -> bool:
    """Whether it is an iterator written in Python that can be neither closed nor left, as what has
    done some work already can: cursors and files."""
    has = [_member(cls, name) is not None for name in ("__next__", "close", "__exit__")]
    return has == [True, False, False] and bool(type.__dict__["__flags__"].__get__(cls) & _HEAP)


def _is_future(cls: type) -> bool:
    futures = sys.modules.get("asyncio.futures")
    return futures is not None and futures.Future in type.__dict__["__mro__"].__get__(cls)


def unfinished(name: str, value: Any) -> TypeError:
    """The error of a body that returned one of :data:`UNFINISHED`, which is closed, or another
    :func:`lazy_part`.

    Args:
        name: of the task.
    """
    kind, remedy = "an async generator", "declare it with @app.spawner if it yields jobs"
    if isinstance(value, CoroutineType):
        value.close()
        kind, remedy = "a coroutine", "make the function (or its decorator's wrapper) async def"
    elif isinstance(value, GeneratorType):
        value.close()
        kind = "a generator"
    elif type(value) in _LAZY or _is_lazy(type(value)):
        made = f"{kind_name(value)} object, whose items have not been made"
        return TypeError(f"{name} returned a lazy {made}: return list(...) of it, or write a loop")
    elif _is_future(type(value)):
        return TypeError(f"{name} returned an asyncio future that it did not await: await it")
    elif _is_awaitable(type(value)):
        return TypeError(f"{name} returned {kind_name(value)}, which was not awaited: await it")
    elif not isinstance(value, AsyncGeneratorType):
        kind, remedy = "a context manager", "write a function that uses it in a with statement"
    return TypeError(f"{name} returned {kind}, whose body has not run: {remedy}")


def arguments_check(fn: Callable[..., Any]) -> Callable[..., None]:
    """A function that has the same parameters and does nothing: a call of it checks arguments, with
    Python's own TypeError.

    The parameters are those of what is called: of a decorator's wrapper, not of what it wraps.
    """
    try:
        parameters = signature_of(fn).parameters.values()
    except (AttributeError, TypeError, ValueError):
        return any_arguments
    if not all(_is_plain(p.name) for p in parameters):
        return any_arguments
    head = inspect.Signature(
        [
            p.replace(annotation=p.empty, default=p.empty if p.default is p.empty else None)
            for p in parameters
        ]
    )
    name = getattr(fn, "__name__", "")
    name = name if _is_plain(name) else "task"
    scope: dict[str, Any] = {}
    exec(f"def {name}{head}: pass", scope)
    return scope[name]  # type: ignore[no-any-return]


def any_arguments(*args: Any, **kwargs: Any) -> None:
    """Accept all arguments."""


def signature_of(fn: Any) -> inspect.Signature:
    """The parameters of what is called: of a decorator's wrapper, not of what it wraps."""
    try:
        return inspect.signature(fn, follow_wrapped=False)
    except ValueError:  # a wrapper in C, as functools.cache makes it, takes what it wraps takes
        return signature_of(fn.__wrapped__)


def _is_plain(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)
