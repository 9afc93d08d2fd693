"""Decorators: how type checkers see ``app.task`` and ``app.spawner``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Sequence
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from hammerflow.canvas.chain import Canvas
from hammerflow.tasks.task import AsyncTask, Spawner, Task
from hammerflow.workflows.batch import Batch
from hammerflow.workflows.workflow import Workflow

__all__ = ["Anything", "Child", "Children", "Decorator", "Open", "SpawnerDecorator"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Anything:
    """The result of no function, so that only one which promises any type or none fits it."""


class Open(Protocol[P, R]):
    """A function whose result may be of any type: ``def same(x: T) -> T`` or ``-> Any``."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, *args: Any, **kwargs: Any) -> Anything: ...


class Decorator(Protocol):
    """The type of ``app.task`` and ``app.task(...)``: it keeps the function's parameters.

    A generic function could return a coroutine, too, and must not be taken for an async one: the
    first two overloads see to that, the first one in pyright, the second one in mypy.
    """

    @overload
    def __call__(self, fn: Open[P, R], /) -> Task[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: Callable[..., Anything], /) -> Task[..., Any]: ...  # type: ignore[overload-cannot-match]
    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    def __call__(self, fn: Any, /) -> Any: ...


#: What spawners yield.
Child: TypeAlias = Canvas[Any] | Workflow | Batch
Children: TypeAlias = Sequence[Child] | None


class SpawnerDecorator(Protocol):
    """The type of ``app.spawner`` and ``app.spawner(...)``."""

    @overload
    def __call__(self, fn: Callable[P, Generator[Child, Any, R]], /) -> Spawner[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, Iterator[Child]], /) -> Spawner[P, Any]: ...
    @overload
    def __call__(
        self, fn: Callable[P, AsyncIterator[Child] | Coroutine[Any, Any, Children] | Children], /
    ) -> Spawner[P, None]: ...
    def __call__(self, fn: Any, /) -> Any: ...
