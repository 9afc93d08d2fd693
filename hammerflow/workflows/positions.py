"""Located: JSON and YAML as plain values that know their lines, read strictly and within bounds."""

from __future__ import annotations

import bisect
import functools
import json
import math
import re
from typing import Any, NamedTuple

from hammerflow.errors import MissingExtra

__all__ = ["ParseError", "Positioned", "read_json", "read_yaml"]

_MOST = 100_000  # values, after aliases are followed
_DEEPEST = 50
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(_TAG + name for name in ("null", "bool", "int", "float", "timestamp", "str"))


class Positioned(NamedTuple):
    """A value and its line; in a mapping also the line of its key."""

    value: Any  # a scalar, list[Located] or dict[str, Located]
    line: int
    key_line: int | None = None


class ParseError(Exception):
    """A text breaks a rule: what is said, the line if one is known, the path (``jobs[1].name``)."""

    def __init__(self, said: str, line: int | None, path: str = "") -> None:
        super().__init__(said)
        self.said, self.line, self.path = said, line, path


class _Bounds:
    """Where a reader is, and how much it has read."""

    def __init__(self) -> None:
        self.steps: list[str | int] = []
        self.count = 0

    def enter(self, line: int) -> None:
        """Count a value."""
        self.count += 1
        if self.count > _MOST:
            raise self.misread(f"the file has more than {_MOST:,} values".replace(",", " "), line)
        if len(self.steps) > _DEEPEST:
            raise self.misread(f"values are nested more than {_DEEPEST} deep", line)

    def misread(self, said: str, line: int | None) -> ParseError:
        """The error, with the path to here."""
        path = "".join(
            f"[{step}]" if isinstance(step, int) else f".{_short(step)}" for step in self.steps
        ).removeprefix(".")
        return ParseError(said, line, path if len(path) <= 120 else f"{path[:120]}...")

    def text(self, value: str, line: int) -> str:
        """The text itself, if every encoding can hold it."""
        if not value.isascii() and _SURROGATE.search(value):
            raise self.misread("a text holds a lone surrogate, so it is no valid text", line)
        return value

    def number(self, value: float, line: int) -> float:
        """The number itself, if it is one."""
        if not math.isfinite(value):
            raise self.misread(f"{value} is not a number that a job can be given", line)
        return value


def _short(text: str) -> str:
    plain = text if text.isprintable() else ascii(text)[1:-1]
    return plain if len(plain) <= 60 else f"{plain[:60]}..."


# -- JSON


def read_json(text: str) -> Positioned:
    """The one value of a JSON text.

    Raises:
        Misread: it is no JSON, repeats a key, holds NaN, or is too large or too deep.
    """
    return _JsonReader(text).read()


class _JsonReader(_Bounds):
    def __init__(self, source: str) -> None:
        super().__init__()
        self._source = source
        self._breaks = [found.start() for found in re.finditer("\n", source)]
        self._decoder = json.JSONDecoder()

    def read(self) -> Positioned:
        root, at = self._value(0)
        at = self._skip(at)
        if at < len(self._source):
            raise self._unexpected(at, "the end of the file")
        return root

    def _line(self, at: int) -> int:
        return bisect.bisect_left(self._breaks, at) + 1

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self._source, at)
        return found.end() if found else at

    def _unexpected(self, at: int, wanted: str) -> ParseError:
        rest = self._source[at : at + 10]
        found = ascii(rest) if rest else "the end of the file"
        return self.misread(f"this is no JSON: expected {wanted}, found {found}", self._line(at))

    def _value(self, at: int) -> tuple[Positioned, int]:
        at = self._skip(at)
        line = self._line(at)
        self.enter(line)
        opening = self._source[at : at + 1]
        if opening == "{":
            return self._object(at, line)
        if opening == "[":
            return self._array(at, line)
        if opening == '"':
            value, end = self._string(at)
            return Positioned(value, line), end
        return self._scalar(at, line)

    def _string(self, at: int) -> tuple[str, int]:
        try:
            value, end = self._decoder.raw_decode(self._source, at)
        except json.JSONDecodeError as error:
            said = f"this is no JSON: {error.msg[:1].lower()}{error.msg[1:]}".removesuffix(" at")
            raise self.misread(said, self._line(error.pos)) from None
        return self.text(value, self._line(at)), end

    def _scalar(self, at: int, line: int) -> tuple[Positioned, int]:
        for word, value in _WORDS.items():
            if self._source.startswith(word, at):
                return Positioned(value, line), at + len(word)
        for word in ("NaN", "Infinity", "-Infinity"):
            if self._source.startswith(word, at):
                raise self.misread(f"{word} is not a number that a job can be given", line)
        found = _NUMBER.match(self._source, at)
        if found is None:
            raise self._unexpected(at, "a value")
        if found[1] or found[2]:
            return Positioned(self.number(float(found[0]), line), line), found.end()
        try:
            return Positioned(int(found[0]), line), found.end()
        except ValueError:
            raise self.misread("a number has too many digits", line) from None

    def _array(self, at: int, line: int) -> tuple[Positioned, int]:
        items: list[Positioned] = []
        at = self._skip(at + 1)
        if self._source.startswith("]", at):
            return Positioned(items, line), at + 1
        while True:
            self.steps.append(len(items))
            item, at = self._value(at)
            self.steps.pop()
            items.append(item)
            at = self._skip(at)
            if self._source.startswith("]", at):
                return Positioned(items, line), at + 1
            if not self._source.startswith(",", at):
                raise self._unexpected(at, "a comma or ]")
            at += 1

    def _object(self, at: int, line: int) -> tuple[Positioned, int]:
        entries: dict[str, Positioned] = {}
        at = self._skip(at + 1)
        if self._source.startswith("}", at):
            return Positioned(entries, line), at + 1
        while True:
            at = self._entry(entries, at)
            if self._source.startswith("}", at):
                return Positioned(entries, line), at + 1
            if not self._source.startswith(",", at):
                raise self._unexpected(at, "a comma or }")
            at = self._skip(at + 1)

    def _entry(self, entries: dict[str, Positioned], at: int) -> int:
        if not self._source.startswith('"', at):
            raise self._unexpected(at, "a key in double quotes")
        key_line = self._line(at)
        key, at = self._string(at)
        self.steps.append(key)
        if key in entries:
            raise self.misread("this key stands here twice", key_line)
        at = self._skip(at)
        if not self._source.startswith(":", at):
            raise self._unexpected(at, "a colon")
        value, at = self._value(at + 1)
        self.steps.pop()
        entries[key] = value._replace(key_line=key_line)
        return self._skip(at)


# -- YAML


def read_yaml(text: str) -> Positioned:
    """The one document of a YAML text, as YAML 1.1 reads it; nothing is built but plain values.

    Raises:
        Misread: it is no YAML or several documents, repeats a key, has a key that is no text, a
            tag, NaN, or is too large or too deep, also by its aliases.
        MissingExtra: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra(package="PyYAML", extra="yaml", what="a YAML file") from error
    try:
        loader = _loader()(text)
        root = loader.get_node() if loader.check_node() else None
        if root is None:
            raise ParseError("the file is empty", None)
        if loader.check_node():
            line = loader.peek_event().start_mark.line + 1
            raise ParseError("the file holds more than one document", line)
        return _YamlReader(loader).value(root)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else None
        raise ParseError("this is no YAML: a character that may not stand there", line) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(ascii(error.problem or error.context or "")[1:-1].split())[:200]
        raise ParseError(f"this is no YAML: {said}", mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, ValueError, OverflowError):  # PyYAML's scanner lets chr() complain
        raise ParseError("this is no YAML", None) from None


@functools.cache
def _loader() -> Any:
    """A SafeLoader that stops at the bounds while it composes."""
    import yaml

    class Loader(yaml.SafeLoader):
        bounds: _Bounds | None = None

        def compose_node(self, parent: Any, index: Any) -> Any:
            bounds = self.bounds = self.bounds or _Bounds()
            bounds.enter(self.peek_event().start_mark.line + 1)  # type: ignore[no-untyped-call]
            bounds.steps.append(0)  # only their number is looked at
            try:
                return super().compose_node(parent, index)
            except ParseError as wrong:
                wrong.path = ""
                raise
            finally:
                bounds.steps.pop()

    return Loader


class _YamlReader(_Bounds):
    """Follows nodes and aliases, and counts as it goes."""

    def __init__(self, loader: Any) -> None:
        super().__init__()
        self._loader = loader

    def value(self, node: Any) -> Positioned:
        line = node.start_mark.line + 1
        self.enter(line)
        if node.id == "mapping" and node.tag == f"{_TAG}map":
            return Positioned(self._entries(node), line)
        if node.id == "sequence" and node.tag == f"{_TAG}seq":
            return Positioned(
                [self._at(index, item) for index, item in enumerate(node.value)], line
            )
        if node.id == "scalar" and node.tag in _SCALARS:
            return Positioned(self._scalar(node, line), line)
        if node.tag == f"{_TAG}value":  # a lone equals sign
            return Positioned(node.value, line)
        tag = _short(node.tag.replace(_TAG, "!!"))
        raise self.misread(f"the tag {tag} is not allowed", line)

    def _at(self, step: str | int, node: Any) -> Positioned:
        self.steps.append(step)
        found = self.value(node)
        self.steps.pop()
        return found

    def _entries(self, node: Any) -> dict[str, Positioned]:
        entries: dict[str, Positioned] = {}
        merged: dict[str, Positioned] = {}
        for key, item in node.value:
            line = key.start_mark.line + 1
            if key.id == "scalar" and key.tag == f"{_TAG}merge":
                for found, entry in self._merged(item).items():
                    merged.setdefault(found, entry)
                continue
            name = self._key(key, line)
            if name in entries:
                self.steps.append(name)
                raise self.misread("this key stands here twice", line)
            entries[name] = self._at(name, item)._replace(key_line=line)
        return merged | entries

    def _merged(self, node: Any) -> dict[str, Positioned]:
        """What ``<<: *alias`` or ``<<: [*one, *two]`` brings; the first to say a key says it."""
        found = self._at("<<", node)
        parts = found.value if isinstance(found.value, list) else [found]
        entries: dict[str, Positioned] = {}
        for part in parts:
            if not isinstance(part.value, dict):
                raise self.misread("<< takes a mapping or a list of mappings", found.line)
            entries = part.value | entries
        return entries

    def _key(self, key: Any, line: int) -> str:
        self.enter(line)
        if key.id != "scalar":
            raise self.misread("a key must be a text", line)
        if key.tag not in (f"{_TAG}str", f"{_TAG}value"):
            kind = _short(key.tag.replace(_TAG, ""))
            said = f"a key must be a text, and YAML reads {_short(key.value)!a} as {kind}: quote it"
            raise self.misread(said, line)
        return self.text(key.value, line)

    def _scalar(self, node: Any, line: int) -> Any:
        try:
            value = self._loader.construct_object(node)
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            kind = node.tag.replace(_TAG, "")
            said = f"{_short(node.value)!a} looks like a {kind} and is none: quote it"
            raise self.misread(said, line) from error
        if isinstance(value, str):
            return self.text(value, line)
        return self.number(value, line) if isinstance(value, float) else value
