"""Origin: by which name a worker imports a function or class, and where it is defined."""

from __future__ import annotations

import functools
import inspect
import keyword
import os
import sys
from pathlib import Path
from types import CellType, FunctionType, MethodType
from typing import Any, NamedTuple

from hammerflow.errors import ConfigError

__all__ = [
    "STARTED",
    "Origin",
    "are_same",
    "function_of",
    "import_path",
    "is_async",
    "runs_when_called",
]

#: Names of the module that was started: in its own process, and in those that multiprocessing
#: spawns.
STARTED = ("__main__", "__mp_main__")
#: How names begin that runpy, uWSGI and mod_wsgi invent for the file that they are given.
_INVENTED = ("<", "uwsgi_file_", "_mod_wsgi_")
_EMPTY = CellType()
#: How far the closures of two functions are compared.
_MAX_DEPTH = 5


def function_of(thing: Any) -> FunctionType | None:
    """The Python function that a call of this runs first; None if there is none.

    It is looked for in partials, bound methods and objects with ``__call__``; decorators stay.
    """
    while not isinstance(thing, FunctionType):
        if isinstance(thing, functools.partial):
            thing = thing.func
        elif inspect.ismethod(thing):
            thing = thing.__func__
        else:
            call = getattr(type(thing), "__call__", None)  # noqa: B004 - the method, not whether
            return call if isinstance(call, FunctionType) else None
    return thing


def is_async(fn: Any) -> bool:
    """Whether a call returns a coroutine or an async generator."""
    function = function_of(fn)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return True
    coroutines = sys.modules.get("asyncio.coroutines")  # it may mark what returns a coroutine
    mark = getattr(coroutines, "_is_coroutine", None)
    return inspect.iscoroutinefunction(fn) or (
        mark is not None and getattr(fn, "_is_coroutine", None) is mark
    )


def runs_when_called(fn: Any) -> bool:
    """Whether a call runs the body to its end: of no coroutine and no generator."""
    return not (is_async(fn) or inspect.isgeneratorfunction(function_of(fn)))


class Origin(NamedTuple):
    """A function as it was registered.

    Attributes:
        fn: the function.
        spec: the specification of its module at that time; each reload makes another one.
    """

    fn: Any
    spec: Any

    @classmethod
    def of(cls, fn: Any) -> Origin:
        """The origin of a function, now."""
        return cls(fn, _namespace(fn).get("__spec__"))

    def is_again(self, known: Origin) -> bool:
        """Whether this is the function that is known already: the same one, or its code run once
        more by a reload, by an import under a second name, or at a prompt."""
        if are_same(self.fn, known.fn):
            return True
        mine, other = _innermost(self.fn), _innermost(known.fn)
        if mine is None or other is None or mine.__qualname__ != other.__qualname__:
            return False
        if _is_typed(mine) and _is_typed(other):
            return "<" not in mine.__qualname__
        file = mine.__code__.co_filename
        if file.startswith("<") or _real(file) != _real(other.__code__.co_filename):
            return False
        return mine.__globals__ is not other.__globals__ or self.spec is not known.spec

    def is_once_more(self, known: Origin) -> bool:
        """Whether this is the function that is known already, and its module was not reloaded."""
        return self.spec is known.spec and are_same(self.fn, known.fn)

    def __str__(self) -> str:
        function = _innermost(self.fn)
        if function is None:
            return f"{self.fn!r:.80}"
        code = function.__code__
        return f"{function.__qualname__} ({code.co_filename}:{code.co_firstlineno})"


def import_path(thing: Any) -> str:
    """The import path of the module that defines a function or class, however its file was started.

    That is ``__module__``, except in the module that was started. ``python -m shop.tasks`` gives
    the path. The path of a script starts at the outermost package around it, and is the same from
    the working directory, where a worker would be started. Where the two differ, the longest entry
    of ``sys.path`` above the script decides, except its own folder, which Python adds.

    Raises:
        ConfigError: no worker can import it, or it has two names; the message says how to start it.
    """
    module = getattr(thing, "__module__", None)
    if isinstance(module, str) and not (module in STARTED or module.startswith(_INVENTED)):
        return module
    names = _namespace(thing)
    file = names.get("__file__")
    if not isinstance(file, str) or file == "<stdin>" or _is_typed(_innermost(thing)):
        raise ConfigError(
            "no worker can import code from a prompt, a notebook or python -c: move it to a module"
        )
    started = getattr(names.get("__spec__"), "name", None) if module in STARTED else None
    return started if started not in (None, *STARTED) else _path_of_file(Path(_real(file)))


def _path_of_file(file: Path) -> str:
    """The import path of a script."""
    name = inspect.getmodulename(file.name) or "?"
    whole = file.parent if name == "__init__" else file.parent / name
    here, top = Path(_real("")), file.parent
    while (top / "__init__.py").is_file() and top != top.parent:
        top = top.parent
    roots = [top] if here == here.parent else [top, here]  # services start in /, workers do not
    paths = {root: _path_below(whole, root) for root in roots}
    if len(set(paths.values())) > 1:
        paths = _path_on_sys_path(file, whole) or {r: path for r, path in paths.items() if path}
    match sorted(paths.items(), key=lambda found: len(found[0].parts)):
        case [(_, str(path)), *others] if all(other == path for _, other in others):
            return path
        case [(upper, str(path)), (lower, str(other))]:
            raise ConfigError(
                f"{file} is {path} to a worker started in {upper}, but {other} to one started in "
                f"{lower}: start it in {upper} as python -m {path}"
            )
    raise ConfigError(f"no worker can import {file}: give the file a name that Python can import")


def _path_on_sys_path(file: Path, whole: Path) -> dict[Path, str | None]:
    """The longest entry of ``sys.path`` above a script, and the script's path from there."""
    entries = [Path(_real(entry)) for entry in sys.path]
    if not sys.flags.safe_path and file.parent in entries:
        entries.remove(file.parent)  # Python adds it for the script
    entries.sort(key=lambda entry: len(entry.parts), reverse=True)
    found = ((entry, _path_below(whole, entry)) for entry in entries)
    return next(({entry: path} for entry, path in found if path), {})


def _path_below(whole: Path, root: Path) -> str | None:
    """The import path of a file (without its suffix) from this folder; None if it has none."""
    return _dotted(whole.relative_to(root).parts) if whole.is_relative_to(root) else None


def _dotted(parts: Any) -> str | None:
    if all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        return ".".join(parts) if list(parts) != ["__main__"] else None
    return None


def _real(path: str) -> str:
    return os.path.realpath(path)


def _innermost(thing: Any) -> FunctionType | None:
    """The function below all decorators that say what they wrap."""
    try:
        return function_of(inspect.unwrap(thing))
    except ValueError:  # it wraps itself
        return function_of(thing)


def _namespace(thing: Any) -> dict[str, Any]:
    """The globals of the module that defines a function or class."""
    module = getattr(thing, "__module__", None)
    names: dict[str, Any] = getattr(_innermost(thing), "__globals__", {})
    if names.get("__name__") == module:
        return names
    return getattr(sys.modules.get(module or ""), "__dict__", {})


def _is_typed(function: FunctionType | None) -> bool:
    """Whether it was typed at a prompt; there, to define a function once more is to correct it."""
    if function is None:
        return False
    is_text = function.__code__.co_filename.startswith("<")
    return "__file__" not in function.__globals__ or (is_text and hasattr(sys, "ps1"))


def are_same(one: Any, other: Any, depth: int = 0) -> bool:
    """Whether two functions cannot differ: the same code, defaults and closed-over values."""
    if one is other or (isinstance(one, MethodType) and one == other):
        return True
    if not (isinstance(one, FunctionType) and isinstance(other, FunctionType)):
        return False
    if one.__code__ is not other.__code__ or depth > _MAX_DEPTH:
        return False
    mine, others = _values(one), _values(other)
    return len(mine) == len(others) and all(
        are_same(a, b, depth + 1) for a, b in zip(mine, others, strict=True)
    )


def _values(function: FunctionType) -> list[Any]:
    """What two functions of the same code may differ in."""
    keywords = sorted((function.__kwdefaults__ or {}).items())
    cells = [cell for cell in function.__closure__ or () if cell != _EMPTY]
    return [
        *(function.__defaults__ or ()),
        *(value for _, value in keywords),
        *(cell.cell_contents for cell in cells),
    ]
