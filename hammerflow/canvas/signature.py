"""Signature: one call of a task that has not been made yet, as plain data."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from hammerflow.canvas.chain import Canvas, R
from hammerflow.canvas.options import EACH, CallOptions, CheckedOptions, known_options
from hammerflow.canvas.snapshot import snapshot_of_args, snapshot_of_kwargs
from hammerflow.errors import ConfigError, WorkflowInvalid
from hammerflow.introspection.kinds import is_a, kind_name
from hammerflow.options.checks import ARGS, KWARGS, items_of
from hammerflow.text import checked_name, plain_text, safe_repr

__all__ = ["Signature", "plain"]

_NONE, _TEXT = CheckedOptions(), frozenset({str})


class Signature(Canvas[R]):
    """One call of a task: its name, arguments and options. R is the type of its result;
    ``Signature`` alone means any.

    It is made by ``task.s(...)``, which takes the result of its predecessor as first argument, by
    ``task.si(...)``, which does not, or by ``app.signature(name, args, kwargs)``. It copies mutable
    arguments, so a list or object can be reused for the next call. ``set``,
    ``clone`` and ``|`` return copies; ``depends_on``, ``link`` and ``link_error`` change the
    signature itself.

    Args:
        task: name of the task.
        args: positional arguments.
        kwargs: keyword arguments.
        options: what this call sets differently from its task.
        immutable: True if it takes no result of a predecessor.
        submit: sends it; the ``enqueue`` of its app.
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
        if type(task) is not str or not task:
            task = checked_name(task, "the task of a signature")
        if type(args) is not tuple:
            args = ARGS(args, f"{task}: args")
        is_dict = type(kwargs) is dict or kwargs is None
        if not is_dict or (kwargs and not _TEXT.issuperset(map(type, kwargs))):
            kwargs = KWARGS(kwargs, f"{task}: kwargs")
        self.task = task
        self.args = snapshot_of_args(args)
        self.kwargs: Mapping[str, Any] = snapshot_of_kwargs(kwargs) if kwargs else {}
        self.options: Any = _NONE if options is None else known_options(options, task)
        self.immutable = immutable
        self.submit = submit
        self.after: tuple[Any, ...] = ()
        self.links = self.errbacks = ()

    def set(self, **options: Any) -> Signature[R]:
        """A copy with these options over its own, as Celery's ``sig.set(queue="x")``.

        Raises:
            TypeError: an unknown option.
        """
        return self._with({**self.options, **known_options(options, f"{self.task}.set()")})

    def depends_on(self, *others: Any) -> Self:
        """Start only when all of these have completed; if one does not, this call is skipped.

        Args:
            others: signatures sent in the same workflow or by the same spawner, results,
                workflow results, job ids, or names of nodes of its workflow.

        Returns:
            The signature itself.
        """
        for other in others:
            is_list = is_a(other, list | tuple)
            what = f"{self.task} depends on signatures, results, ids or names of nodes"
            for one in items_of(other, what) if is_list else (other,):
                name = plain_text(one)
                if name is None and not _can_end(one):
                    raise WorkflowInvalid(
                        f"{self.task} cannot depend on {safe_repr(one)}: give a signature, a "
                        "result, an id, or the name of a node"
                    )
                self.after += (one if name is None else name,)
        return self

    def clone(
        self, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Signature[R]:
        copy = self._with(self.options)
        before = snapshot_of_args(ARGS(args, f"{self.task}.clone(): args"))
        given = KWARGS({} if kwargs is None else kwargs, f"{self.task}.clone(): kwargs")
        more = snapshot_of_kwargs(given)
        if (before or more) and not self.immutable:
            copy.args, copy.kwargs = (*before, *self.args), {**self.kwargs, **more}
        return copy

    def at_start(self, options: Mapping[str, Any]) -> Signature[R]:
        return self._with({**self.options, **options})

    def with_defaults(self, options: Mapping[str, Any]) -> Signature[R]:
        return self._with({**options, **self.options})

    def sent_with(self, options: Mapping[str, Any]) -> Signature[R]:
        return self.at_start(options)

    def leaves(self) -> Iterator[Signature]:
        yield self

    def __repr__(self) -> str:
        parts = [safe_repr(a) for a in self.args]
        parts += [f"{k}={safe_repr(v)}" for k, v in self.kwargs.items()]
        name = f"{self.task}.starmap" if EACH in self.options else self.task
        return f"{name}({', '.join(parts)})"

    def __eq__(self, other: object) -> bool:
        if not is_a(other, Signature):
            return NotImplemented
        names = (*self.__slots__, "links", "errbacks")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]  # holds users' lists and dicts

    def _with(self, options: Any) -> Signature[R]:
        known: Any = CheckedOptions(options)
        copy: Signature[R] = Signature(self.task, (), None, known, self.immutable)
        copy.args, copy.kwargs, copy.after = self.args, self.kwargs, self.after
        return copy._like(self)  # type: ignore[no-any-return]


def _can_end(value: Any) -> bool:
    """Whether a call can wait for the end of this."""
    try:
        key = getattr(value, "id", value)
        return is_a(key, uuid.UUID | str | Canvas) or hasattr(value, "enqueue")  # workflow, batch
    except (Exception, SystemExit):  # noqa: BLE001 - a border: the value's own methods may raise
        return False


def plain(signature: Any, what: str) -> Signature:
    """The signature itself, if it is one and has no links; ``what`` names it in the error."""
    if not is_a(signature, Signature):
        kind = kind_name(signature)
        raise TypeError(f"{what} must be a signature (task.s(...)), not {kind}")
    if signature.links or signature.errbacks:
        raise ConfigError(f"{what} cannot have links: {signature!r}")
    return signature
