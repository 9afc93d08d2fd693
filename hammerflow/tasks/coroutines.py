"""Let plain functions that return a coroutine pass for coroutine functions."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar, cast

__all__ = ["coroutine_function"]

F = TypeVar("F", bound=Callable[..., Any])


def coroutine_function(function: F) -> F:
    """Mark a method that does a part of its work at the call and returns a coroutine for the rest.

    Frameworks ask ``iscoroutinefunction`` what to do with a callable. Starlette runs one that is
    none in a thread, and drops the coroutine that it returns.
    """
    if sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    return cast(F, _Marked(function))


async def _any_coroutine(self: Any, /, *args: Any, **kwargs: Any) -> Any: ...


class _Marked:
    """What Python 3.11, which has no ``inspect.markcoroutinefunction``, takes for a coroutine
    function.

    ``inspect`` asks what looks like a function (as Cython's functions do) for the flags of its
    code. The mark that ``asyncio`` looks for is its own object, and is fetched when somebody asks:
    who uses no asyncio need not import it.
    """

    __code__ = _any_coroutine.__code__
    __defaults__ = __kwdefaults__ = None

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    @property
    def _is_coroutine(self) -> Any:
        import asyncio

        return asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
