"""Chain, Group and Chord: calls composed, as in Celery's canvas."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, overload

from hammerflow.canvas.options import known_options
from hammerflow.durations import LONGEST
from hammerflow.errors import ConfigError
from hammerflow.introspection.kinds import is_a, kind_name
from hammerflow.options.checks import ARGS, duration, items_of

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    R = TypeVarWithDefault("R", covariant=True, default=Any)
else:
    R = TypeVar("R", covariant=True)
T = TypeVar("T")
C = TypeVar("C", bound="Canvas[Any]")

__all__ = ["Canvas", "Chain", "Chord", "Group", "chain", "chord", "group"]


class Canvas(Generic[R]):
    """Calls that can be composed and sent: a signature, chain, group or chord. R is the type of
    the result; ``Signature`` alone means any.

    Attributes:
        submit: sends it; the ``enqueue`` of the app whose tasks made its signatures.
        links: canvases that are called with its result once it has completed.
        errbacks: canvases that are called once it has failed.
    """

    __slots__ = ("errbacks", "links", "submit")

    submit: Callable[[Any], Any] | None
    links: tuple[Canvas, ...]
    errbacks: tuple[Canvas, ...]

    def __or__(self, other: Canvas[T]) -> Chain[T]:
        """``a | b``: b runs after a and takes its result."""
        if not is_a(other, Canvas):
            return NotImplemented
        return Chain(_steps(self) + _steps(other))

    def delay(self, /, *args: Any, **kwargs: Any) -> Any:
        """Send it; the arguments go before those of its first tasks.

        Returns:
            The Result of a signature, of the last task of a chain or of the body of a chord; the
            GroupResult of a group.

        Raises:
            TypeError: wrong arguments, or one that cannot be encoded; nothing was written.
            ConfigError: no task made its signatures, so it has no app.
        """
        return self.apply_async(args, kwargs)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """As :meth:`delay`."""
        return self.delay(*args, **kwargs)

    def apply_async(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        countdown: float | timedelta | None = None,
        eta: datetime | None = None,
        link: Canvas | Iterable[Canvas] | None = None,
        link_error: Canvas | Iterable[Canvas] | None = None,
        **options: Any,
    ) -> Any:
        """Send it with options.

        Args:
            args: go before the positional arguments of its first tasks.
            kwargs: are added to the keyword arguments of its first tasks.
            countdown: seconds or timedelta from now until its first tasks may start.
            eta: aware datetime from which on its first tasks may start.
            link: called with the result once it has completed.
            link_error: called once it has failed.
            options: those of :class:`CallOptions`. They replace a signature's own options; in a
                chain, group or chord they are defaults for tasks that do not set the option.
        """
        owner = "apply_async()"
        sent = self.clone(ARGS(args, f"{owner}: args"), kwargs)
        if options:
            sent = sent.sent_with(known_options(options, owner))
        if countdown is not None or eta is not None:
            sent = sent.at_start(known_options({"delay": countdown, "eta": eta}, owner))
        sent.links += _many(link, "link")
        sent.errbacks += _many(link_error, "link_error")
        copies = dict(zip(map(id, self.leaves()), sent.leaves(), strict=True))
        for leaf in sent.leaves():
            leaf.after = tuple(copies.get(id(other), other) for other in leaf.after)
        if sent.submit is None:
            sent.submit = next((c.submit for c in (*sent.links, *sent.errbacks) if c.submit), None)
        if sent.submit is not None:
            return sent.submit(sent)
        if next(sent.leaves(), None) is None:
            return sent.result_of_nothing()
        raise ConfigError("this signature has no app: send it with app.enqueue(signature)")

    def link(self, callback: C) -> C:
        """Call this with the result on success; returns the callback, as Celery does."""
        self.links = (*self.links, _checked(callback))
        return callback

    def link_error(self, callback: C) -> C:
        """Call this on failure; returns the callback, as Celery does.

        The callback gets ``(request, exception, traceback)`` if its function takes three more
        arguments, else the id of the failed job as a string.
        """
        self.errbacks = (*self.errbacks, _checked(callback))
        return callback

    def on_error(self, callback: Canvas) -> Self:
        """As :meth:`link_error`, but returns the canvas itself."""
        self.link_error(callback)
        return self

    def clone(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Self:
        """A copy whose first tasks get these arguments before their own."""
        raise NotImplementedError

    def at_start(self, options: Mapping[str, Any]) -> Self:
        """A copy whose first tasks have these options."""
        raise NotImplementedError

    def with_defaults(self, options: Mapping[str, Any]) -> Self:
        """A copy in which these options are defaults for every task."""
        raise NotImplementedError

    def sent_with(self, options: Mapping[str, Any]) -> Self:
        """A copy for a call with these options."""
        return self.with_defaults(options)

    def leaves(self) -> Iterator[Any]:
        """All signatures in it."""
        raise NotImplementedError

    #: Makes the handle of an empty canvas, which holds no signature and so knows no app. The module
    #: of the results sets it, because it imports this one.
    result_of_nothing: ClassVar[Callable[[Any], Any]]

    def _like(self, other: Canvas) -> Any:
        """Copy the links and the app of another canvas; returns self."""
        self.links, self.errbacks, self.submit = other.links, other.errbacks, other.submit
        return self


class _Composite(Canvas[R]):
    """A canvas made of others."""

    __slots__ = ("tasks",)

    def __init__(self, tasks: Iterable[Canvas]) -> None:
        place = type(self).__name__.lower()
        self.tasks: list[Canvas] = _all_checked(_several(tasks), place)
        self.links = self.errbacks = ()
        self.submit = next((t.submit for t in self.tasks if t.submit is not None), None)

    def __len__(self) -> int:
        return len(self.tasks)

    def __eq__(self, other: object) -> bool:
        if not is_a(other, _Composite):
            return NotImplemented
        names = ("tasks", "links", "errbacks", "body")
        return type(self) is type(other) and all(
            getattr(self, name, None) == getattr(other, name, None) for name in names
        )

    __hash__ = None  # type: ignore[assignment]

    def set(self, **options: Any) -> Self:
        """A copy in which every task has these options over its own."""
        return self._changed(lambda task: task.set(**options))

    def with_defaults(self, options: Mapping[str, Any]) -> Self:
        return self._changed(lambda task: task.with_defaults(options))

    def clone(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Self:
        return self._changed(lambda task: task.clone(args, kwargs), at_start=True)

    def at_start(self, options: Mapping[str, Any]) -> Self:
        return self._changed(lambda task: task.at_start(options), at_start=True)

    def leaves(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(task.leaves() for task in self.tasks)

    def _changed(self, change: Callable[[Any], Canvas], *, at_start: bool = False) -> Self:
        """A copy with every part changed, or only those that start first."""
        return type(self)(map(change, self.tasks))._like(self)  # type: ignore[no-any-return]


class Chain(_Composite[R]):
    """Calls one after the other; each takes the result of the one before as first argument.

    Made by :func:`chain` or ``a.s() | b.s()``. Its result is that of its last task.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.tasks))

    def _changed(self, change: Callable[[Any], Canvas], *, at_start: bool = False) -> Any:
        first = 1 if at_start else len(self.tasks)
        return Chain([*map(change, self.tasks[:first]), *self.tasks[first:]])._like(self)


class Group(_Composite[list[R]], Generic[R]):
    """Calls that run in parallel; its result is the list of their results, in order.

    Made by :func:`group`.
    """

    __slots__ = ()

    def skew(self, start: float = 0.0, stop: float | None = None, step: float = 1.0) -> Group[R]:
        """A copy whose members start ``step`` seconds apart, as Celery's ``group.skew``.

        Args:
            start: seconds until the first may start.
            stop: the longest delay in seconds; None for no limit.
            step: seconds between two starts.
        """
        delays = itertools.count(_DELAY(start, "skew(): start"), _DELAY(step, "skew(): step"))
        longest = LONGEST if stop is None else _DELAY(stop, "skew(): stop")
        return self._changed(lambda task: task.at_start({"delay": min(next(delays), longest)}))

    def group(self) -> Group[R]:
        """The group itself: what ``task.chunks(...)`` returns has this method in Celery."""
        return self

    def __repr__(self) -> str:
        return f"group({', '.join(map(repr, self.tasks))})"


class Chord(_Composite[R]):
    """A header of parallel calls, and a body that takes the list of their results.

    Made by :func:`chord`. Its result is that of the body.
    """

    __slots__ = ("body",)

    def __init__(self, header: Iterable[Canvas] | Group, body: Canvas | None = None) -> None:
        tasks: Any = header.tasks if is_a(header, Group) else header
        super().__init__(tasks)
        self.body = None if body is None else _checked(body)
        if self.submit is None and self.body is not None:
            self.submit = self.body.submit

    def __call__(self, body: Canvas | None = None, /) -> Any:
        """``chord(header)(body)`` sends it, as in Celery."""
        return (self if body is None else Chord(self.tasks, body)).delay()

    def leaves(self) -> Iterator[Any]:
        yield from super().leaves()
        if self.body is not None:
            yield from self.body.leaves()

    def __repr__(self) -> str:
        return f"chord([{', '.join(map(repr, self.tasks))}], {self.body!r})"

    def _changed(self, change: Callable[[Any], Canvas], *, at_start: bool = False) -> Any:
        body = self.body if at_start or self.body is None else change(self.body)
        return Chord(map(change, self.tasks), body)._like(self)


@overload
def chain(task: C, /) -> C: ...
@overload
def chain(a: Canvas[Any], last: Canvas[T], /) -> Chain[T]: ...
@overload
def chain(a: Canvas[Any], b: Canvas[Any], last: Canvas[T], /) -> Chain[T]: ...
@overload
def chain(a: Canvas[Any], b: Canvas[Any], c: Canvas[Any], last: Canvas[T], /) -> Chain[T]: ...
@overload
def chain(*tasks: Canvas[Any]) -> Chain: ...
@overload
def chain(tasks: Iterable[Canvas[Any]], /) -> Any: ...
def chain(*tasks: Canvas | Iterable[Canvas]) -> Any:
    """Run calls one after the other: ``chain(a.s(1), b.s())`` is ``a.s(1) | b.s()``.

    Each takes the result of the one before as its first argument, unless it was made by ``si``. The
    successor of a group takes the list of its results.

    Args:
        tasks: canvases, or one iterable of them.

    Returns:
        A Chain; a single task itself, as in Celery.

    Raises:
        ConfigError: no tasks were given.
    """
    steps = [step for task in _all_checked(_spread(tasks), "chain") for step in _steps(task)]
    if not steps:
        raise ConfigError("a chain needs at least one task")
    return steps[0] if len(steps) == 1 else Chain(steps)


@overload
def group(*tasks: Canvas[T]) -> Group[T]: ...
@overload
def group(tasks: Iterable[Canvas[T]], /) -> Group[T]: ...
def group(*tasks: Canvas | Iterable[Canvas]) -> Group:
    """Run calls in parallel: ``group(add.s(i, i) for i in range(10))``.

    Args:
        tasks: canvases, or one iterable of them.

    Returns:
        A Group; its result is the list of their results, in order.
    """
    return Group(_spread(tasks))


@overload
def chord(header: Iterable[Canvas[Any]] | Group, body: Canvas[T]) -> Chord[T]: ...
@overload
def chord(header: Iterable[Canvas[Any]] | Group, body: None = None) -> Chord: ...
def chord(header: Iterable[Canvas] | Group, body: Canvas | None = None) -> Chord:
    """Run a body on the results of a group: ``chord([add.s(i, i) for i in range(10)], total.s())``.

    Args:
        header: canvases that run in parallel.
        body: runs once all of them have completed, with the list of their results as first
            argument; without it, call the chord with the body, as in Celery.
    """
    return Chord(header, body)


def _steps(canvas: Any) -> list[Canvas]:
    """The steps of a chain without links of its own; any other canvas is one step."""
    if is_a(canvas, Chain) and not (canvas.links or canvas.errbacks):
        return canvas.tasks
    return [canvas]


def _spread(tasks: Sequence[Any]) -> Iterable[Any]:
    """``f(a, b)`` and ``f([a, b])`` mean the same."""
    if len(tasks) == 1 and not is_a(tasks[0], Canvas):
        return _several(tasks[0])
    return tasks


def _several(tasks: Any) -> Iterable[Any]:
    return items_of(tasks, "expected signatures (task.s(...)) or an iterable of them")


def _many(canvases: Any, what: str) -> tuple[Canvas, ...]:
    if canvases is None:
        return ()
    if is_a(canvases, Canvas):
        return (canvases,)
    wanted = f"{what} must be a signature (task.s(...)) or a list of them"
    return tuple(_all_checked(items_of(canvases, wanted), what))


def _all_checked(tasks: Iterable[Any], place: str) -> list[Canvas]:
    """All of them, if they are canvases; the error has the index of the one that is not."""
    found: list[Canvas] = []
    for task in tasks:
        if not is_a(task, Canvas):
            _checked(task, f"{place}[{len(found)}]: ")
        found.append(task)
    return found


def _checked(task: Any, place: str = "") -> Canvas:
    if not is_a(task, Canvas):
        raise TypeError(f"{place}expected a signature (task.s(...)), got {kind_name(task)}")
    return task


_DELAY = duration()
