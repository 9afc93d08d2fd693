"""Stand-ins: tasks made of what a live worker tells of them, to write calls without their code."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hammerflow.errors import ConfigError
from hammerflow.jobs.limit import Limit
from hammerflow.jobs.unique import UniqueKey
from hammerflow.tasks.limit_key import names_in
from hammerflow.tasks.options import TaskOptions
from hammerflow.tasks.shape import KINDS, TaskKeys, TaskParameter, TaskShape
from hammerflow.tasks.task import Task

__all__ = ["stand_in"]

_KINDS: Final = {name: kind for kind, name in KINDS.items()}
#: A default that is not told.
_UNTOLD: Final = object()
_ALL = "args"  # of a unique key: all arguments


def stand_in(
    name: str, shape: TaskShape, args: Sequence[Any], kwargs: Mapping[str, Any], app: Any
) -> Task[..., Any]:
    """A task that writes this call as the task itself would; it cannot run.

    Args:
        shape: has keys; its arguments fit.

    Raises:
        ConfigError: a key needs an argument that is left out, whose default is not told.
    """
    keys = shape.keys or TaskKeys()
    fn = _function(shape.parameters or ())
    if keys.reads_arguments:
        _refuse_untold(name, fn, _read_by(keys), args, kwargs)
    limit = Limit() if keys.limit is None else Limit.from_plain(dict(keys.limit))
    options = TaskOptions(
        queue=shape.queue, priority=shape.priority, expires=shape.expires,
        unique=None if keys.unique is None else UniqueKey(*keys.unique),
        limit_key=keys.limit_key, fair_by=keys.fair_by, serializer=keys.serializer,
        rate_limit=limit.rate, max_concurrency=limit.max_running,
        check_arguments=shape.parameters is not None,
    )  # fmt: skip
    return Task(fn, name=name, options=options, app=app)


def _function(parameters: Sequence[TaskParameter]) -> Callable[..., Any]:
    """A function that takes these parameters."""

    def called(*args: Any, **kwargs: Any) -> None:
        raise ConfigError("only a worker that has loaded the code of this task can run it")

    known = [inspect.Parameter(p.name, _KINDS[p.kind], default=_default(p)) for p in parameters]
    called.__signature__ = inspect.Signature(known)  # type: ignore[attr-defined]
    return called


def _default(parameter: TaskParameter) -> Any:
    if parameter.is_required or parameter.kind in ("positions", "names"):
        return inspect.Parameter.empty
    return _UNTOLD if parameter.default is None else json.loads(parameter.default)


def _read_by(keys: TaskKeys) -> set[str]:
    """Names of the arguments that the keys read."""
    templates = filter(None, (keys.limit_key, keys.fair_by))
    names = {name for template in templates for name in names_in(template)}
    return names | set(keys.unique[0] if keys.unique is not None else ())


def _refuse_untold(
    task: str, fn: Callable[..., Any], names: set[str], args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> None:  # fmt: skip
    bound = inspect.signature(fn).bind(*args, **kwargs)
    bound.apply_defaults()
    for name, value in bound.arguments.items():
        if value is _UNTOLD and (name in names or _ALL in names):
            raise ConfigError(
                f"a key of {task} depends on the argument {name}, whose default only its code "
                "knows: give it, or start this server with -A and the app that has the task"
            )
