"""Signature: a call that is not made yet, as plain data; chain, group and chord build on it."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from hammerflow.errors import ConfigError

__all__ = [
    "CallOptions",
    "Canvas",
    "Chain",
    "Chord",
    "Group",
    "Signature",
    "chain",
    "chord",
    "group",
    "known_options",
    "plain",
]


class CallOptions(TypedDict, total=False):
    """What one call may say differently from its task. Durations: seconds or timedelta."""

    queue: str
    priority: int
    delay: float | timedelta  # from now; `countdown` in apply_async
    eta: datetime  # aware
    expires: float | timedelta | datetime
    job_id: uuid.UUID
    unique_key: str
    headers: Mapping[str, Any]
    max_attempts: int
    backoff: Any  # retry.Backoff
    timeout: float | timedelta
    soft_timeout: float | timedelta
    store_result: bool
    spawn: Any  # spawn.SpawnConfig


def known_options(options: CallOptions, what: str) -> CallOptions:
    """The options themselves.

    Raises:
        TypeError: one of them is unknown; the message names it.
    """
    for name in options:
        if name not in CallOptions.__annotations__:
            hint = ": say delay" if name == "countdown" else ""
            raise TypeError(f"{what} got an unexpected option {name!r}{hint}")
    return options


class Canvas:
    """What can be composed and sent: a signature, a chain, a group, a chord.

    Attributes:
        submit: how its app takes it; set by the tasks that made its signatures.
    """

    __slots__ = ("errbacks", "links", "submit")

    submit: Callable[[Any], Any] | None
    links: tuple[Canvas, ...]
    errbacks: tuple[Canvas, ...]

    def __or__(self, other: Any) -> Chain:
        """``a | b``: b comes after a and takes its result."""
        if not isinstance(other, Canvas):
            return NotImplemented
        return Chain(_steps(self) + _steps(other))

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Send it; arguments go before those of the tasks that come first.

        Returns:
            Result of a signature, of a chain's last task, of a chord's body; GroupResult of a
            group.

        Raises:
            TypeError: wrong arguments, or one that cannot be encoded; nothing was written.
        """
        return self.apply_async(args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
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
            args, kwargs: for the tasks that come first: before their own.
            countdown, eta: when those may start.
            link, link_error: calls for its success and for its failure.
            options: those of :class:`CallOptions`: of a signature over its own, of a canvas for all
                its tasks that have none of their own.
        """
        sent = self.clone(tuple(args), kwargs or {})
        if options:
            sent = sent.sent_with(known_options(options, "apply_async()"))  # type: ignore[arg-type]
        if countdown is not None or eta is not None:
            when = {"delay": countdown} if countdown is not None else {"eta": eta}
            sent = sent.at_start(when)
        for callback in _many(link):
            sent.link(callback)
        for callback in _many(link_error):
            sent.link_error(callback)
        copies = dict(zip(map(id, self.leaves()), sent.leaves(), strict=True))
        for leaf in sent.leaves():
            leaf.after = tuple(copies.get(id(other), other) for other in leaf.after)
        if self.submit is None:
            raise ConfigError(
                "this signature was not made by a task, so it does not know its app: "
                "use app.enqueue(signature)"
            )
        return self.submit(sent)

    def link(self, callback: Canvas) -> Canvas:
        """Call this with the result once it has completed; returns the callback, as Celery does."""
        self.links = (*self.links, callback)
        return callback

    def link_error(self, callback: Canvas) -> Canvas:
        """Call this once it has failed; returns the callback.

        The callback gets ``(request, exception, traceback)`` if its function takes three
        arguments more than it has, else the id of the job that failed, as text.
        """
        self.errbacks = (*self.errbacks, callback)
        return callback

    def on_error(self, callback: Canvas) -> Canvas:
        """:meth:`link_error` that returns the canvas itself."""
        self.link_error(callback)
        return self

    def clone(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Canvas:
        """A copy whose first tasks take these arguments before their own."""
        raise NotImplementedError

    def at_start(self, options: Mapping[str, Any]) -> Canvas:
        """A copy whose first tasks have these options."""
        raise NotImplementedError

    def with_defaults(self, options: Mapping[str, Any]) -> Canvas:
        """A copy in which every task without such options of its own has these."""
        raise NotImplementedError

    def sent_with(self, options: Mapping[str, Any]) -> Canvas:
        """A copy for a call with these options."""
        return self.with_defaults(options)

    def leaves(self) -> Iterator[Signature]:
        """All signatures in it."""
        raise NotImplementedError

    def _like(self, other: Canvas) -> Any:
        """Take over what a copy keeps."""
        self.links, self.errbacks, self.submit = other.links, other.errbacks, other.submit
        return self


class Signature(Canvas):
    """One call of a task: its name, arguments and options.

    Made by ``task.s(...)`` (takes its predecessor's result as first argument, in a fan-in or a
    chain), ``task.si(...)`` (does not), or ``app.signature(name, args, kwargs)``. Changes make a
    new one, but for :meth:`depends_on`, ``link`` and ``link_error``.
    """

    __slots__ = ("after", "args", "immutable", "kwargs", "options", "task")

    def __init__(
        self,
        task: str,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: CallOptions | None = None,
        immutable: bool = False,
        submit: Callable[[Any], Any] | None = None,
    ) -> None:
        self.task = task
        self.args = args
        self.kwargs: Mapping[str, Any] = kwargs if kwargs is not None else {}
        self.options: CallOptions = options if options is not None else {}
        self.immutable = immutable
        self.submit = submit
        self.after: tuple[Any, ...] = ()
        self.links = self.errbacks = ()

    def set(self, **options: Any) -> Signature:
        """A copy with these options over its own, as Celery's ``sig.set(queue="x")``."""
        given: Any = options
        return self._with({**self.options, **known_options(given, f"{self.task}.set()")})

    def depends_on(self, *others: Any) -> Signature:
        """Start only when these have completed; it is skipped when one of them does not.

        Args:
            others: signatures sent in the same workflow or by the same spawner, results,
                workflow results, job ids, or names of nodes of its workflow.
        """
        for other in others:
            self.after += tuple(other) if isinstance(other, list | tuple) else (other,)
        return self

    def clone(
        self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Signature:
        if self.immutable or not (args or kwargs):
            return self._with(self.options)
        copy = self._with(self.options)
        copy.args, copy.kwargs = (*args, *self.args), {**self.kwargs, **(kwargs or {})}
        return copy

    def at_start(self, options: Mapping[str, Any]) -> Signature:
        return self._with({**self.options, **options})

    def with_defaults(self, options: Mapping[str, Any]) -> Signature:
        return self._with({**options, **self.options})

    def sent_with(self, options: Mapping[str, Any]) -> Signature:
        return self.at_start(options)

    def leaves(self) -> Iterator[Signature]:
        yield self

    def __repr__(self) -> str:
        parts = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs.items()]
        return f"{self.task}({', '.join(parts)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Signature):
            return NotImplemented
        names = (*self.__slots__, "links", "errbacks")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]  # holds users' lists and dicts

    def _with(self, options: Any) -> Signature:
        copy = Signature(self.task, self.args, self.kwargs, options, self.immutable)
        copy.after = self.after
        return copy._like(self)  # type: ignore[no-any-return]


class _Composite(Canvas):
    """Several in one."""

    __slots__ = ("tasks",)

    def __init__(self, tasks: Iterable[Canvas]) -> None:
        self.tasks: list[Canvas] = [_checked(task) for task in tasks]
        self.links = self.errbacks = ()
        self.submit = next((t.submit for t in self.tasks if t.submit is not None), None)

    def __len__(self) -> int:
        return len(self.tasks)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars_of(self) == vars_of(other)

    __hash__ = None  # type: ignore[assignment]

    def set(self, **options: Any) -> Any:
        """A copy in which every task has these options over its own."""
        return self._copy(task.set(**options) for task in self.tasks)  # type: ignore[attr-defined]

    def with_defaults(self, options: Mapping[str, Any]) -> Any:
        return self._copy(task.with_defaults(options) for task in self.tasks)

    def clone(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        return self._copy(task.clone(args, kwargs) for task in self.tasks)

    def at_start(self, options: Mapping[str, Any]) -> Any:
        return self._copy(task.at_start(options) for task in self.tasks)

    def leaves(self) -> Iterator[Signature]:
        return itertools.chain.from_iterable(task.leaves() for task in self.tasks)

    def _copy(self, tasks: Iterable[Canvas]) -> Any:
        return type(self)(tasks)._like(self)


class Chain(_Composite):
    """One after the other, each with the result of the one before as its first argument."""

    __slots__ = ()

    def clone(self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        return self._copy([*(t.clone(args, kwargs) for t in self.tasks[:1]), *self.tasks[1:]])

    def at_start(self, options: Mapping[str, Any]) -> Any:
        return self._copy([*(t.at_start(options) for t in self.tasks[:1]), *self.tasks[1:]])

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.tasks))


class Group(_Composite):
    """All at once; its result is the list of their results, in order."""

    __slots__ = ()

    def skew(self, start: float = 0.0, stop: float | None = None, step: float = 1.0) -> Group:
        """A copy whose members start ``step`` seconds apart, as Celery's ``group.skew``."""
        delays = itertools.count(start, step)
        return self._copy(  # type: ignore[no-any-return]
            task.at_start({"delay": delay if stop is None else min(delay, stop)})
            for task, delay in zip(self.tasks, delays, strict=False)
        )

    def group(self) -> Group:
        """The group itself (what ``task.chunks(...)`` gives has this method in Celery)."""
        return self

    def __repr__(self) -> str:
        return f"group({', '.join(map(repr, self.tasks))})"


class Chord(_Composite):
    """A header of calls at once, and a body that takes the list of their results."""

    __slots__ = ("body",)

    def __init__(self, header: Iterable[Canvas], body: Canvas | None = None) -> None:
        tasks = header.tasks if isinstance(header, Group) else header
        super().__init__(tasks)
        self.body = None if body is None else _checked(body)
        if self.submit is None and self.body is not None:
            self.submit = self.body.submit

    def __call__(self, body: Canvas | None = None, /) -> Any:
        """``chord(header)(body)`` sends it, as in Celery."""
        return (self if body is None else Chord(self.tasks, body)).delay()

    def set(self, **options: Any) -> Chord:
        """A copy in which every task has these options over its own."""
        changed = super().set(**options)
        changed.body = self.body.set(**options) if self.body is not None else None  # type: ignore[attr-defined]
        return changed  # type: ignore[no-any-return]

    def with_defaults(self, options: Mapping[str, Any]) -> Chord:
        changed = super().with_defaults(options)
        changed.body = self.body.with_defaults(options) if self.body is not None else None
        return changed  # type: ignore[no-any-return]

    def leaves(self) -> Iterator[Signature]:
        yield from super().leaves()
        if self.body is not None:
            yield from self.body.leaves()

    def __repr__(self) -> str:
        return f"chord([{', '.join(map(repr, self.tasks))}], {self.body!r})"

    def _copy(self, tasks: Iterable[Canvas]) -> Chord:
        return Chord(tasks, self.body)._like(self)  # type: ignore[no-any-return]


def chain(*tasks: Canvas | Iterable[Canvas]) -> Any:
    """One after the other: ``chain(a.s(1), b.s())``, the same as ``a.s(1) | b.s()``.

    Each takes the result of the one before as its first argument (``si`` does not). After a group
    comes its list of results.

    Returns:
        A Chain; a single task itself, as in Celery.

    Raises:
        ConfigError: nothing is in it.
    """
    steps = [step for task in _spread(tasks) for step in _steps(task)]
    if not steps:
        raise ConfigError("a chain of nothing has nothing to send")
    return steps[0] if len(steps) == 1 else Chain(steps)


def group(*tasks: Canvas | Iterable[Canvas]) -> Group:
    """All at once: ``group(add.s(i, i) for i in range(10))``; its results keep the order."""
    return Group(_spread(tasks))


def chord(header: Iterable[Canvas], body: Canvas | None = None) -> Chord:
    """``chord([add.s(i, i) for i in range(10)], total.s())``: the body takes the list of results.

    It runs once every call of the header has completed (at once for an empty header).
    """
    return Chord(header, body)


def vars_of(composite: _Composite) -> list[Any]:
    """What makes two of a kind equal."""
    body = composite.body if isinstance(composite, Chord) else None
    return [composite.tasks, composite.links, composite.errbacks, body]


def _steps(canvas: Canvas) -> list[Canvas]:
    """A chain's steps, unless calls are linked to it as a whole."""
    if isinstance(canvas, Chain) and not (canvas.links or canvas.errbacks):
        return canvas.tasks
    return [canvas]


def _spread(tasks: Sequence[Any]) -> Iterable[Any]:
    """``f(a, b)`` and ``f([a, b])`` say the same."""
    if len(tasks) == 1 and not isinstance(tasks[0], Canvas):
        return tasks[0]  # type: ignore[no-any-return]
    return tasks


def _many(canvases: Canvas | Iterable[Canvas] | None) -> Iterable[Canvas]:
    if canvases is None:
        return ()
    return (canvases,) if isinstance(canvases, Canvas) else canvases


def _checked(task: Any) -> Canvas:
    if not isinstance(task, Canvas):
        raise TypeError(
            f"a signature is wanted, as task.s(...) makes it, not {type(task).__name__}"
        )
    return task


def plain(signature: Any, what: str) -> Signature:
    """A signature without links.

    Raises:
        TypeError: it is none; ``what`` says what it was to be.
        ConfigError: it has links.
    """
    if not isinstance(signature, Signature):
        kind = type(signature).__name__
        raise TypeError(f"{what} is a signature, as task.s(...) makes it, not {kind}")
    if signature.links or signature.errbacks:
        raise ConfigError(f"{what} cannot have links: {signature!r}")
    return signature


def to_json(value: Mapping[str, Any]) -> str | None:
    """Compact JSON of a non-empty mapping, else None."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False) if value else None
