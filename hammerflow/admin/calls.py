"""Calls that operators make: the task, and the arguments as JSON."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.app import Hammerflow
from hammerflow.canvas.options import known_options
from hammerflow.canvas.signature import Signature
from hammerflow.codec.codec import Codec
from hammerflow.enqueue.enqueuer import Enqueuer
from hammerflow.enqueue.job_factory import JobFactory
from hammerflow.errors import ConfigError, HammerflowError, NotDecodable, UnknownTask
from hammerflow.results.result import Result
from hammerflow.stores.store import Store
from hammerflow.tasks.builtin import BUILTIN
from hammerflow.tasks.shape import ArgumentFault, TaskShape
from hammerflow.tasks.stand_in import stand_in
from hammerflow.text import either, safe_repr
from hammerflow.workflows.positions import ParseError, read_json

__all__ = [
    "KnownTask", "WrongArguments", "call_task", "check_task", "check_values", "known_task",
    "read_arguments",
]  # fmt: skip


class WrongArguments(TypeError):
    """The arguments of a call do not fit its task.

    Attributes:
        faults: what is wrong, by argument.
    """

    def __init__(self, task: str, faults: Sequence[ArgumentFault]) -> None:
        said = "; ".join(f"{fault.argument} {fault.says}" for fault in faults)
        super().__init__(f"{task}: {said}")
        self.faults = faults


class KnownTask(NamedTuple):
    """What is known of a task that is to be called.

    Attributes:
        shape: of the live worker that came last, else of the app; None if neither tells it.
        app: None if the task is not one of the app.
        is_served: whether a live worker serves it.
    """

    name: str
    shape: TaskShape | None
    app: Hammerflow | None
    is_served: bool


def known_task(store: Store, app: Hammerflow | None, task: str, *, lease: float) -> KnownTask:
    """Find a task among those of the live workers and of the app.

    Args:
        lease: seconds without a heartbeat after which a worker is dead.

    Raises:
        UnknownTask: neither the app nor the database knows it; the error names those that are
            close.
        HammerflowError: only ended workers have known it.
    """
    _refuse_builtin(task)
    is_served, text = store.workers.shape(task, lease=lease)
    own = None if app is None else app.tasks.get(task)
    if text is not None:
        shape: TaskShape | None = TaskShape.from_text(text)
    else:
        shape = None if own is None else TaskShape.of(own)
    if own is not None or is_served:
        return KnownTask(task, shape, app if own is not None else None, is_served)
    names = store.tasks.names()
    if task in names:
        raise HammerflowError(
            f"no live worker serves {task}, so its arguments cannot be checked: start a worker, or "
            "start this server with -A and the app that has it"
        )
    found = {*names, *(() if app is None else app.tasks)}
    known = sorted(name for name in found if not name.startswith(BUILTIN))
    raise UnknownTask(f"there is no task {task!r}: {_hint(task, known)}")


def call_task(
    backend: Any, task: KnownTask, args: Sequence[Any], kwargs: Mapping[str, Any],
    options: dict[str, Any],
) -> Result[Any]:  # fmt: skip
    """Write one call of a task; its arguments are checked first.

    Raises:
        WrongArguments: they do not fit the task.
        ConfigError: a function in the app's code computes a key of the call, and no app was loaded.
    """
    shape = task.shape
    if shape is not None:
        faults = [*shape.faults(len(args), kwargs), *shape.misfits(args, kwargs)]
        if faults:
            raise WrongArguments(task.name, faults)
    if task.app is not None:
        result: Result[Any] = task.app.enqueue(
            task.app.signature(task.name, args, kwargs, **options)
        )
        return result
    if shape is None or shape.keys is None:
        raise ConfigError(
            f"only the code of {task.name} computes the keys of its calls: start this server with "
            "-A and the app that has it"
        )
    known = {task.name: stand_in(task.name, shape, args, kwargs, backend)}
    given = {name: value for name, value in options.items() if value is not None}
    signature: Any = Signature(task.name, tuple(args), kwargs, known_options(given, task.name))
    enqueuer = Enqueuer(backend, JobFactory(known, backend.codec), ())
    found: Result[Any] = enqueuer.enqueue(signature)
    return found


def check_task(app: Hammerflow, task: str) -> None:
    """Check that the app has a task; UnknownTask names those that are close."""
    _refuse_builtin(task)
    if task not in app.tasks:
        raise UnknownTask(f"the app {app.name} has no task {task!r}: {_hint(task, app.tasks)}")


def check_values(
    app: Hammerflow, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    """Check that each argument may be what its annotation says; WrongArguments names the others."""
    if faults := TaskShape.of(app.tasks[task]).misfits(args, kwargs):
        raise WrongArguments(task, faults)


def _refuse_builtin(task: str) -> None:
    """Nobody calls hammerflow's own tasks by hand: a delivery signs whatever body it is given."""
    if task.startswith(BUILTIN):
        raise UnknownTask(f"{task} is a task of hammerflow's own, which nobody calls by hand")


def _hint(task: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(task, known, n=3, cutoff=0.4)
    near += [name for name in known if name.endswith(f".{task}") and name not in near]
    return f"did you mean {either(near)}?" if near else "check the name and the app's imports"


def read_arguments(codec: Codec, text: str, kind: type[Any], what: str) -> Any:
    """JSON, decoded; every value that JSON or the codec would change is refused.

    Args:
        kind: list for positional arguments, dict for those by name.
        what: names them in errors.

    Raises:
        ConfigError: it is not JSON, not of that kind, or the codec cannot read it.
    """
    try:
        plain = read_json(text).plain()
    except ParseError as error:
        where = f" at {error.path}" if error.path else ""
        reason = error.reason.replace("invalid JSON:", "is not valid JSON:", 1)
        subject = what if reason != error.reason else f"{what}:"
        raise ConfigError(f"{subject} {reason}{where}") from None
    except ValueError as error:  # a number with more digits than Python reads
        raise ConfigError(f"{what}: {error}") from None
    if not isinstance(plain, kind):
        name = "list" if kind is list else "object"
        raise ConfigError(f"{what} must be a JSON {name}, not {safe_repr(text)}")
    try:
        if isinstance(plain, dict):  # decoded as a whole, {"$date": ...} would be a date
            return {
                name: codec.decode(f"J{json.dumps(each)}", name) for name, each in plain.items()
            }
        return codec.decode(f"J{text}", "args")
    except NotDecodable as error:
        raise ConfigError(f"{what}: {error}") from None
