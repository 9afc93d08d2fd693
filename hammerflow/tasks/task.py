"""Task, AsyncTask and Spawner: a function under a name."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import (
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    Unpack,
    overload,
)

from hammerflow.canvas.chain import Canvas, Group
from hammerflow.canvas.options import CALL_OPTIONS, EACH, CallOptions, CheckedOptions, known_options
from hammerflow.canvas.signature import Signature
from hammerflow.canvas.snapshot import snapshot_of_args, snapshot_of_kwargs
from hammerflow.errors import ConfigError
from hammerflow.ids import new_id
from hammerflow.introspection.origin import function_of
from hammerflow.jobs.job import NewJob
from hammerflow.options.checks import ARGS, KWARGS, items_of, whole
from hammerflow.options.option import documented
from hammerflow.results.result import Result
from hammerflow.results.waiting import ResultBackend
from hammerflow.tasks.coroutines import coroutine_function
from hammerflow.tasks.functions import any_arguments, arguments_check
from hammerflow.tasks.key_checks import check_unique
from hammerflow.tasks.options import TaskOptions
from hammerflow.tasks.pickles import reduced_task
from hammerflow.telemetry.watchers import Watcher

__all__ = ["AsyncTask", "BoundCall", "Spawner", "Task"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)
_SIZE = whole(1, 1_000_000_000)


class TaskBackend(ResultBackend, Protocol):
    """What a task needs of its app."""

    @property
    def in_thread(self) -> Callable[..., Any]: ...
    @property
    def call(self) -> Callable[..., Result[Any]]: ...
    @property
    def enqueue(self) -> Callable[[Any], Any]: ...
    @property
    def watchers(self) -> Collection[Watcher]: ...


@dataclass(slots=True, repr=False, eq=False)
class BoundCall(Generic[P, R]):
    """A task with options for one call, from :meth:`Task.options`."""

    _task: Task[P, R]
    _options: CallOptions

    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """As :meth:`Task.delay`, with these options."""
        return self._task.app.call(self._task, args, kwargs, self._options)

    @coroutine_function
    def adelay(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Result[R]]:
        """:meth:`delay` without blocking the event loop."""
        kept, named = snapshot_of_args(args), snapshot_of_kwargs(kwargs)
        return self._task.app.in_thread(self.delay, *kept, **named)  # type: ignore[no-any-return]

    @overload
    def s(self, /, *args: P.args, **kwargs: P.kwargs) -> Signature[R]: ...
    @overload
    def s(
        self: BoundCall[Concatenate[Any, Q], R], /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Signature[R]: ...
    @overload
    def s(
        self: BoundCall[Concatenate[Any, Any, Q], R], /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Signature[R]: ...
    @overload
    def s(
        self: BoundCall[Concatenate[Any, Any, Any, Q], R], /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Signature[R]: ...
    def s(self, /, *args: Any, **kwargs: Any) -> Signature[Any]:
        """As :meth:`Task.s`, with these options."""
        task = self._task
        return Signature(task.name, args, kwargs, self._options, False, task.app.enqueue)

    def si(self, /, *args: P.args, **kwargs: P.kwargs) -> Signature[R]:
        """As :meth:`s`; it does not take its predecessor's result."""
        task = self._task
        return Signature(task.name, args, kwargs, self._options, True, task.app.enqueue)


class Task(Generic[P, R]):
    """A function registered under a name. Calling it calls the plain function.

    Attributes:
        fn: the function.
        name: its name in the database; ``module.function`` unless given.
        defaults: the options of all its calls.
        refusal: why no worker can know it by its name; empty for almost every task.
        limit: what its options declare.
        check: raises TypeError unless it is called with arguments that fit the function, and
            ConfigError if the task has a refusal.
    """

    def __init__(
        self, fn: Callable[P, Any], *, name: str, options: TaskOptions, app: TaskBackend,
        refusal: str = "",
    ) -> None:  # fmt: skip
        self.__name__ = self.__qualname__ = name
        _look_like(fn, self)
        self.fn = fn
        self.name = name
        self.defaults = options
        self.app = app
        self.refusal = refusal
        self.limit = options.limit
        self.check = self._refuse if refusal else arguments_check(fn)
        if not (refusal or options.check_arguments):
            self.check = any_arguments

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.fn(*args, **kwargs)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def __get__(self, instance: object, owner: type | None = None) -> Self:
        """The task itself: in a class it is a static method."""
        return self

    def __reduce__(self) -> Any:
        """Pickle it by name as a function is, or by its app and its name in the app."""
        return reduced_task(self, self.app, self.name)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def _refuse(self, /, *args: Any, **kwargs: Any) -> None:
        raise ConfigError(self.refusal)

    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> Result[R]:
        """Write the call as a durable job, in the open transaction or in one of its own.

        Returns:
            A handle on the job; it does not wait for the job.

        Raises:
            TypeError: wrong arguments, or one that cannot be encoded; nothing was written.
            StoreUnavailable: the database cannot be reached.
        """
        # The short way, in one function because every plain call takes it: JobFactory and Enqueuer
        # do the same for calls with options, in transactions, of canvases and workflows.
        app, options = self.app, self.defaults
        is_short = self.limit is None and options.unique is None
        if not is_short or app.open_transaction.get() is not None or app.watchers:
            return app.call(self, args, kwargs, {})
        self.check(*args, **kwargs)
        encoded = app.codec.encode_call(args, kwargs, options.serializer)
        job = NewJob(
            new_id(), self.name, options.queue, options.priority, encoded, expires=options.expires
        )
        app.store.jobs.insert_one(job)
        app.notifier.ring((options.queue,))
        return Result(job.id, app)

    @coroutine_function
    def adelay(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Result[R]]:
        """:meth:`delay` without blocking the event loop.

        Arguments that can change are copied now, as the call is encoded later, in a thread.
        """
        kept, named = snapshot_of_args(args), snapshot_of_kwargs(kwargs)
        return self.app.in_thread(self.delay, *kept, **named)  # type: ignore[no-any-return]

    @documented(*CALL_OPTIONS)
    def apply_async(
        self,
        args: tuple[Any, ...] | list[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        countdown: float | timedelta | None = None,
        link: Canvas | Iterable[Canvas] | None = None,
        link_error: Canvas | Iterable[Canvas] | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[R]:
        """Write a call with options, as in Celery; :meth:`options` is the typed form.

        Args:
            args: the positional arguments of the call.
            kwargs: its keyword arguments.
            countdown: the option ``delay`` by Celery's name.
            link: calls that run once it has completed, with its result as first argument.
            link_error: calls that run once it has failed.
            options: see below; None leaves the task's value.

        Raises:
            TypeError: wrong arguments, one that cannot be encoded, or an unknown option; nothing
                was written.
        """
        owner = f"{self.name}.apply_async()"
        args = ARGS(args, f"{owner}: args")
        kwargs = KWARGS({} if kwargs is None else kwargs, f"{owner}: kwargs")
        given = known_options({**options, "delay": options.get("delay", countdown)}, owner)
        if link is not None or link_error is not None:
            signature = Signature(self.name, tuple(args), kwargs, given, False, self.app.enqueue)
            return signature.apply_async(link=link, link_error=link_error)  # type: ignore[no-any-return]
        return self.app.call(self, args, kwargs, given)

    @documented(*CALL_OPTIONS)
    def options(self, **options: Unpack[CallOptions]) -> BoundCall[P, R]:
        """This task with options for one call: ``add.options(queue="fast").delay(2, 3)``.

        Raises:
            TypeError: an option is unknown.
        """
        owner = f"{self.name}.options()"
        given = known_options(options, owner)
        if "unique" in given:
            check_unique(self.fn, given["unique"], owner)
        return BoundCall(self, given)

    # Results come before the arguments of s(): type checkers let up to three of them be missing.
    @overload
    def s(self, /, *args: P.args, **kwargs: P.kwargs) -> Signature[R]: ...
    @overload
    def s(
        self: Task[Concatenate[Any, Q], R], /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Signature[R]: ...
    @overload
    def s(
        self: Task[Concatenate[Any, Any, Q], R], /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Signature[R]: ...
    @overload
    def s(
        self: Task[Concatenate[Any, Any, Any, Q], R], /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Signature[R]: ...
    def s(self, /, *args: Any, **kwargs: Any) -> Signature[Any]:
        """The call as data; in a chain or fan-in, results are passed before these arguments."""
        return Signature(self.name, args, kwargs, None, False, self.app.enqueue)

    def si(self, /, *args: P.args, **kwargs: P.kwargs) -> Signature[R]:
        """The call as data, with exactly these arguments: it takes no results."""
        return Signature(self.name, args, kwargs, None, True, self.app.enqueue)

    def map(self, items: Iterable[Any]) -> Signature[list[R]]:
        """One job that calls the function with each item in turn; its result is a list.

        It has the options of the task, and all items are run again if one of them fails.

        Raises:
            TypeError: the function does not take an item; the message has its index.
        """
        return self._for_each(
            [item] for item in items_of(items, f"{self.name}.map(): items must be an iterable")
        )

    def starmap(self, items: Iterable[Any]) -> Signature[list[R]]:
        """:meth:`map` for items that are lists of arguments."""
        return self._for_each(items_of(items, f"{self.name}.starmap(): items must be an iterable"))

    def _for_each(self, items: Iterable[Any], first: int = 0) -> Signature[list[R]]:
        """One call for each item, a list of arguments; ``first`` is the index of the first one."""
        calls: list[list[Any]] = []
        for index, item in enumerate(items, first):
            place = f"{self.name}: items[{index}]"
            calls.append(list(items_of(item, f"{place} must be a list of arguments")))
            try:
                self.check(*calls[-1])
            except TypeError as error:
                raise TypeError(f"{place}: {error}") from None
        if self.refusal:
            raise ConfigError(self.refusal)
        options: Any = CheckedOptions({EACH: True})
        return Signature(self.name, (calls,), None, options, True, self.app.enqueue)

    def chunks(self, items: Iterable[Any], n: int) -> Group[list[R]]:
        """A group of jobs that each take ``n`` items, which are lists of arguments.

        Raises:
            ConfigError: ``n`` is below 1.
            TypeError: as :meth:`map`.
        """
        n = _SIZE(n, f"{self.name}.chunks(): n")
        iterator = iter(items_of(items, f"{self.name}.chunks(): items must be an iterable"))
        parts = iter(lambda: list(itertools.islice(iterator, n)), [])
        group = Group(self._for_each(part, first * n) for first, part in enumerate(parts))
        group.submit = self.app.enqueue
        return group


class AsyncTask(Task[P, R]):
    """A task of an ``async def`` function: a call returns the coroutine, its job has result R."""

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        return self.fn(*args, **kwargs)  # type: ignore[no-any-return]


class Spawner(Task[P, R]):
    """A task that yields signatures: its children, written in the transaction that completes it.
    Its result is what its generator returns."""

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self.fn(*args, **kwargs)

    def _for_each(self, items: Iterable[Any], first: int = 0) -> Signature[list[R]]:
        raise ConfigError(
            f"map, starmap and chunks cannot call the spawner {self.name}, as each of its jobs has "
            "children of its own: send a group of its signatures"
        )


def _look_like(fn: Any, task: Any) -> None:
    """Give a task what frameworks read of its function, such as annotations and flags."""
    own = type(task)
    vars(task).update({k: v for k, v in getattr(fn, "__dict__", {}).items() if not hasattr(own, k)})
    functools.update_wrapper(task, fn, updated=())
    function = function_of(fn)
    for name in ("__code__", "__defaults__", "__globals__", "__kwdefaults__") if function else ():
        setattr(task, name, getattr(function, name))
