"""Redaction: what of arguments and results nobody is shown, by names and by types.

It works on the JSON form of values, with the codec's tags, at any depth. The names of arguments
that are given by position are those of the task's parameters, where the app is known.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hammerflow.options.variables import HIDDEN, redacted
from hammerflow.text import safe_repr

__all__ = ["Redaction"]

_OBJECT, _PAIRS = "$object", "$dict"
_TYPE = "type:"
_LONGEST = 4_000
#: A name before a value: name=value, 'name': value, Type(.
_NAMED = re.compile(
    r"""(?<![\w.\-])(?P<name>[\w.\-]+)"""
    r"""(?P<sign>\(|["']?[ \t]*(?:=>|==?|:)[ \t]*(?:(?:Bearer|Basic)[ \t]+)?)"""
)
#: Quoted texts, brackets, words; a quoted text may have no end.
_TOKEN = re.compile(
    r"""b?"(?:[^"\\]|\\.)*(?:"|\Z)|b?'(?:[^'\\]|\\.)*(?:'|\Z)|[(\[{]|[)\]}]|[^\s,;&(){}\[\]"']+""",
    re.DOTALL,
)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


class Redaction:
    """Hides values whose names or types match.

    Args:
        patterns: names, which may hold ``*``, in any case; ``type:Card`` names a class, with
            or without its module.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        names = [one.lower() for one in patterns if not one.startswith(_TYPE)]
        types = [one.removeprefix(_TYPE) for one in patterns if one.startswith(_TYPE)]
        self._name, self._type = _any_of(names), _any_of(types)

    def hides(self, name: str) -> bool:
        """Whether a value of this name is hidden."""
        return self._name(name.lower().replace("-", "_"))

    def value(self, value: Any) -> Any:
        """A value in its JSON form, with what is hidden replaced."""
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if not isinstance(value, Mapping):
            return value
        match value:
            case {"$object": [str(name), fields]} if len(value) == 1:
                kept = HIDDEN if self._hides_type(name) else self.value(fields)
                return kept if kept is HIDDEN else {_OBJECT: [name, kept]}
            case {"$dict": list(pairs)} if len(value) == 1:
                return {_PAIRS: [self._pair(pair) for pair in pairs]}
        return {key: self._named(str(key), one) for key, one in value.items()}

    def text(self, text: str) -> str:
        """A text without the values that it names, as in ``password=...`` or ``Card(...)``, and
        without passwords of URLs."""
        parts, at = [], 0
        for found in _NAMED.finditer(text):
            if found.start() < at:
                continue
            name, sign = found["name"], found["sign"]
            if sign == "(" and self._hides_type(name):
                end, kept = _end_of_value(text, found.end() - 1), f"{name}({HIDDEN})"
            elif sign != "(" and self.hides(name.rpartition(".")[2]):
                end, kept = _end_of_value(text, found.end()), found[0] + HIDDEN
            else:
                continue
            parts += [text[at : found.start()], kept]
            at = end
        return str(redacted("".join([*parts, text[at:]])))

    def _hides_type(self, name: str) -> bool:
        return self._type(name) or self._type(name.rpartition(".")[2])

    def call(self, values: Mapping[str, Any], parameters: Sequence[str]) -> dict[str, Any]:
        """What is shown of a job's values: ``args``, ``kwargs``, ``result``, and the texts of both.

        Args:
            values: of the job; texts are left as they are if nothing in them is hidden.
            parameters: names of the task's parameters, in order.
        """
        found = dict(values)
        args, kwargs = values.get("args"), values.get("kwargs")
        if isinstance(args, list):
            names = [*parameters, *[""] * len(args)]
            found["args"] = [self._named(n, v) for n, v in zip(names, args, strict=False)]
        if isinstance(kwargs, Mapping):
            found["kwargs"] = {name: self._named(name, one) for name, one in kwargs.items()}
        found["result"] = self.value(values.get("result"))
        if (found.get("args"), found.get("kwargs")) != (args, kwargs):
            parts = [_shown(one) for one in found["args"] or ()]
            parts += [f"{name}={_shown(one)}" for name, one in (found["kwargs"] or {}).items()]
            found["call"] = f"({', '.join(parts)})"
        if found["result"] != values.get("result"):
            found["result_text"] = _shown(found["result"])
        return found

    def _named(self, name: str, value: Any) -> Any:
        return HIDDEN if name and self.hides(name) else self.value(value)

    def _pair(self, pair: Any) -> Any:
        match pair:
            case [str(key), value]:
                return [key, self._named(key, value)]
        return self.value(pair)


def _end_of_value(text: str, at: int) -> int:
    """Where a value ends that begins at a place: a word, a quoted text, or a whole bracket."""
    depth, end = 0, at
    for found in _TOKEN.finditer(text, at):
        token = found[0]
        if depth == 0 and (found.start() != end or token in _CLOSING):
            return end
        end = found.end()
        depth += (token in _OPENING) - (token in _CLOSING)
        if depth == 0 and (token in _CLOSING or text[end : end + 1] != "("):
            return end
    return len(text) if depth else end


def _any_of(patterns: Sequence[str]) -> Callable[[str], bool]:
    if not patterns:
        return lambda _: False
    expression = re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns))
    return lambda name: expression.match(name) is not None


def _shown(value: Any) -> str:
    return safe_repr(value, _LONGEST)
