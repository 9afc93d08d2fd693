"""Call lines: a batch's calls from JSON lines, each checked where it stands."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hammerflow.canvas.signature import Signature
from hammerflow.enqueue.files import TaskApp
from hammerflow.errors import HammerflowError, UnknownTask, WorkflowInvalid
from hammerflow.tasks.builtin import BUILTIN
from hammerflow.text import either, safe_repr
from hammerflow.workflows.positions import ParseError, read_json

__all__ = ["CallLines"]

_CALL_OPTIONS = ("queue", "timeout", "priority", "max_attempts", "delay", "headers")
_KEYS = ("task", "args", "kwargs", *_CALL_OPTIONS)


class CallLines:
    """Reads ``{"task": "shop.resize", "args": [1]}``, one call a line; empty lines are skipped.

    A task is named in full, or by its last part if only one task has it. Arguments may hold the
    codec's tags. The calls are read once, one by one, so that any number of them fits.

    Attributes:
        number: the line that was read last, from 1.
    """

    def __init__(self, app: TaskApp, lines: Iterable[str], source: str) -> None:
        self.number = 0
        self._app = app
        self._lines = lines
        self._source = source

    def __iter__(self) -> Iterator[Signature]:
        for number, line in enumerate(self._lines, 1):
            self.number = number
            if line.strip():
                yield self._call(line)

    def send(self, send: Callable[[Iterable[Signature]], Any]) -> Any:
        """What ``send`` makes of the calls; its errors name the line whose call was read last.

        Raises:
            WorkflowInvalid: a line is not a call, or its task does not take these arguments.
        """
        try:
            return send(iter(self))
        except (HammerflowError, TypeError, ValueError) as error:
            if not self.number:
                raise
            text = f"{self._source}, line {self.number}: {error}; nothing was written"
            raise WorkflowInvalid(text) from error

    def _call(self, line: str) -> Signature:
        try:
            found = read_json(line).plain()
        except ParseError as error:
            raise WorkflowInvalid(error.reason) from None
        if not isinstance(found, dict):
            raise WorkflowInvalid(f"a call is an object with the key task, not {safe_repr(found)}")
        if unknown := found.keys() - {*_KEYS}:
            names = ", ".join(map(safe_repr, sorted(unknown)))
            raise WorkflowInvalid(f"unknown key {names}: a call has {', '.join(_KEYS)}")
        options = {name: found[name] for name in _CALL_OPTIONS if found.get(name) is not None}
        args, kwargs = found.get("args", []), found.get("kwargs", {})
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise WorkflowInvalid("args must be a list and kwargs an object")
        signature: Signature = self._app.signature(
            self._task(found.get("task")), self._decoded(args),
            {name: self._decoded(value) for name, value in kwargs.items()}, **options,
        )  # fmt: skip
        return signature

    def _decoded(self, value: Any) -> Any:
        return self._app.codec.decode(f"J{json.dumps(value)}".encode(), "args")

    def _task(self, name: Any) -> str:
        if not isinstance(name, str):
            raise WorkflowInvalid("the key task is missing, or is not a text")
        if name in self._app.tasks and not name.startswith(BUILTIN):
            return name
        own = [known for known in self._app.tasks if not known.startswith(BUILTIN)]
        short = [known for known in own if known.rpartition(".")[2] == name]
        if len(short) == 1:
            return short[0]
        near = short or difflib.get_close_matches(name, own, n=3, cutoff=0.4)
        hint = f": did you mean {either(near)}?" if near else ""
        raise UnknownTask(f"the app {self._app.name} has no task {name!r}{hint}")
