"""Shape: what a worker tells others of a task, so that a call can be made without its code."""

from __future__ import annotations

import difflib
import inspect
import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hammerflow.tasks.fits import misfit
from hammerflow.tasks.functions import signature_of

if TYPE_CHECKING:
    from hammerflow.tasks.options import TaskOptions
    from hammerflow.tasks.task import Task

__all__ = ["KINDS", "ArgumentFault", "TaskKeys", "TaskParameter", "TaskShape"]

_LONGEST, _ANNOTATION, _DEFAULT = 8_000, 200, 200
#: How an argument is given, by the kind that the standard library names.
KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "position",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "any",
    inspect.Parameter.KEYWORD_ONLY: "name",
    inspect.Parameter.VAR_POSITIONAL: "positions",
    inspect.Parameter.VAR_KEYWORD: "names",
}


class TaskParameter(NamedTuple):
    """A parameter of a task's function.

    Attributes:
        kind: how it is given: by ``position``, by ``name``, ``any``; or that it takes all further
            ``positions`` or ``names``.
        annotation: its type as the code has it; empty without one.
        default: its default as JSON, where the keys of calls may need it; None if that is not told.
    """

    name: str
    kind: str
    is_required: bool
    annotation: str = ""
    default: str | None = None


class TaskKeys(NamedTuple):
    """What the keys of calls are made of, and how arguments are encoded.

    Attributes:
        unique: the fields of a ``UniqueKey`` in their order.
        limit: as :meth:`Limit.to_plain` gives it; None if its jobs wait in no lane.
        limit_key: a template over the arguments, as fair_by.
    """

    unique: Sequence[Any] | None = None
    limit: Mapping[str, Any] | None = None
    limit_key: str | None = None
    fair_by: str | None = None
    serializer: str | None = None

    @classmethod
    def of(cls, options: TaskOptions) -> TaskKeys | None:
        """The keys that options declare; None if a function of the user's computes one."""
        unique, limit = options.unique, options.limit
        if any(map(callable, (options.limit_key, options.fair_by, unique and unique.by))):
            return None
        rule = (
            None
            if unique is None
            else (
                unique.by,
                unique.for_states,
                unique.within,
                unique.on_conflict,
                unique.max_wait,
            )
        )
        plain = None if limit is None else limit.to_plain()
        limit_key: Any = options.limit_key
        fair_by: Any = options.fair_by
        return cls(rule, plain, limit_key, fair_by, options.serializer)

    @property
    def reads_arguments(self) -> bool:
        """Whether a key depends on the arguments of a call."""
        return not (self.unique is None and self.limit_key is None and self.fair_by is None)


class ArgumentFault(NamedTuple):
    """What is wrong with one argument of a call."""

    argument: str
    says: str


class TaskShape(NamedTuple):
    """A task as others see it.

    Attributes:
        parameters: None if its calls are not checked.
        queue: of its calls, likewise the priority and seconds after which they expire.
        keys: None if only its code computes the keys of its calls.
    """

    parameters: Sequence[TaskParameter] | None
    queue: str
    priority: int
    expires: float | None
    keys: TaskKeys | None

    @classmethod
    def of(cls, task: Task[..., Any]) -> TaskShape:
        """The shape of a registered task."""
        options, keys = task.defaults, TaskKeys.of(task.defaults)
        has_keys = keys is not None and keys.reads_arguments
        found = _parameters(task.fn, has_keys) if options.check_arguments else None
        # The names behind a decorator may belong to other arguments than the caller's.
        if has_keys and (found is None or hasattr(task.fn, "__wrapped__")):
            keys = None
        return cls(found, options.queue, options.priority, options.expires, keys)

    def to_text(self) -> str | None:
        """JSON for the database; None if it is too long."""
        text = json.dumps(self)
        return text if len(text) <= _LONGEST else None

    @classmethod
    def from_text(cls, text: str) -> TaskShape:
        """The inverse of :meth:`to_text`."""
        parameters, queue, priority, expires, keys = json.loads(text)
        known = parameters and [TaskParameter(*one) for one in parameters]
        told = None if keys is None else TaskKeys(*keys)
        return cls(known, queue, priority, expires, told)

    def faults(self, positional: int, named: Collection[str]) -> list[ArgumentFault]:
        """What is wrong with the arguments of a call; empty if they fit.

        Args:
            positional: how many are given by position.
            named: the names of the others.
        """
        if self.parameters is None:
            return []
        by_position = [p for p in self.parameters if p.kind in ("position", "any")]
        kinds = {p.kind for p in self.parameters}
        found = []
        if positional > len(by_position) and "positions" not in kinds:
            most = len(by_position)
            says = (
                f"is too many: it takes {most} positional argument{'' if most == 1 else 's'} but "
                f"{positional} {'was' if positional == 1 else 'were'} given"
            )
            found.append(ArgumentFault(f"args[{most}]", says))
        given = {p.name for p in by_position[:positional]}
        by_name = {p.name for p in self.parameters if p.kind in ("any", "name")}
        for p in self.parameters:
            if p.name in given and p.name in named and p.name in by_name:
                found.append(ArgumentFault(p.name, "is given twice, by position and by name"))
            elif p.is_required and p.name not in given and p.name not in {*named} & by_name:
                found.append(ArgumentFault(p.name, "is missing"))
        if "names" not in kinds:
            found += [_unknown(name, by_name) for name in named if name not in by_name]
        return found

    def misfits(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[ArgumentFault]:
        """The arguments that cannot be what their annotations say; see :func:`misfit`."""
        if self.parameters is None:
            return []
        by_position = [p for p in self.parameters if p.kind in ("position", "any")]
        by_name = {p.name: p for p in self.parameters if p.kind in ("any", "name")}
        rest = {p.kind: p for p in self.parameters}
        places: list[tuple[str, TaskParameter | None, Any]] = [
            (p.name, p, value) for p, value in zip(by_position, args, strict=False)
        ]
        further = list(enumerate(args))[len(by_position) :]
        places += [(f"args[{n}]", rest.get("positions"), value) for n, value in further]
        places += [(name, by_name.get(name, rest.get("names")), v) for name, v in kwargs.items()]
        return [
            ArgumentFault(name, says)
            for name, p, value in places
            if p is not None
            and (p.is_required or value is not None)  # None may be the default
            and (says := misfit(p.annotation, value)) is not None
        ]


def _unknown(name: str, known: Collection[str]) -> ArgumentFault:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(sorted(known)) or 'none'}"
    return ArgumentFault(name, f"is unknown: {hint}")


def _parameters(fn: Any, with_defaults: bool) -> list[TaskParameter] | None:
    try:
        found = signature_of(fn).parameters.values()
        return [
            TaskParameter(
                p.name, KINDS[p.kind], _is_required(p), _annotation(p),
                _default(p.default) if with_defaults else None,
            )
            for p in found
        ]  # fmt: skip
    except Exception:  # noqa: BLE001 - a border: what a decorator's own object raises
        return None


def _is_required(parameter: inspect.Parameter) -> bool:
    is_rest = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not is_rest


def _default(value: Any) -> str | None:
    is_plain = value is None or type(value) in (bool, int, str)
    if not (is_plain or (type(value) is float and math.isfinite(value))):
        return None
    text = json.dumps(value)
    return text if len(text) <= _DEFAULT else None


def _annotation(parameter: inspect.Parameter) -> str:
    given = parameter.annotation
    if given is parameter.empty:
        return ""
    return (given if isinstance(given, str) else inspect.formatannotation(given))[:_ANNOTATION]
