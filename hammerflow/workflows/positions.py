"""Positions: JSON and YAML as values that know their lines, read strictly, within bounds."""

from __future__ import annotations

import bisect
import functools
import json
import json.decoder
import json.scanner
import math
import re
from typing import Any, NamedTuple

from hammerflow.errors import MissingExtra

__all__ = ["ParseError", "Positioned", "read_json", "read_yaml"]

_MOST = 100_000  # values, after aliases are followed
_DEEPEST = 50
_SURROGATE = re.compile("[\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(_TAG + name for name in ("null", "bool", "int", "float", "timestamp", "str"))
#: The plain scalars of YAML 1.2's core schema, and what begins them.
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|"
                    r"\.(nan|NaN|NAN)")  # fmt: skip
_BOOL = re.compile("true|True|TRUE|false|False|FALSE")
_NULL = re.compile("~|null|Null|NULL|")
#: Words and numbers that YAML 1.1 reads in another way.
_OTHER_BOOL = re.compile("yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")
_OTHER_NUMBER = re.compile(
    r"[-+]?(0[0-9_]+|0b[01_]+|[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?|[0-9]+\.[0-9]*_[0-9_]*)|"
    r"[-+]?0x[0-9a-fA-F]*_[0-9a-fA-F_]*|[-+]0(x[0-9a-fA-F]+|o[0-7]+)"
)
_UNCLEAR = "unclear"


class ParseError(Exception):
    """A text breaks a rule; line and path (such as ``jobs[1].name``) are given if known."""

    def __init__(self, reason: str, line: int | None, path: str = "") -> None:
        super().__init__(reason)
        self.reason, self.line, self.path = reason, line, path


class Positioned(NamedTuple):
    """A value of a file, and where it is."""

    value: Any  # a scalar, list[Positioned] or dict[str, Positioned]
    line: int  # where it starts
    path: str = ""  # such as jobs[1].name, cut to 120 characters
    key_line: int | None = None  # in a mapping, where its key starts

    def error(self, reason: str) -> ParseError:
        """An error at this place."""
        return ParseError(reason, self.line, self.path)

    def plain(self) -> Any:
        """The value and all in it without their positions."""
        match self.value:
            case dict() as entries:
                return {key: entry.plain() for key, entry in entries.items()}
            case list() as items:
                return [item.plain() for item in items]
        return self.value


class _Bounds:
    """How much a parser has read, and how deep it is."""

    def __init__(self) -> None:
        self.count = self.depth = 0

    def enter(self, line: int) -> None:
        """Begin a value; whoever calls this subtracts from ``depth`` at its end."""
        self.count += 1
        self.depth += 1
        if self.count > _MOST:
            raise ParseError(f"the file has more than {_MOST:,} values".replace(",", " "), line)
        if self.depth > _DEEPEST + 1:
            raise ParseError(f"values are nested more than {_DEEPEST} deep", line)


def _scalar(value: Any, line: int, path: str) -> Any:
    """The value itself, if it can be an argument of a job."""
    if isinstance(value, str) and not value.isascii() and _SURROGATE.search(value):
        raise ParseError("a text holds a lone surrogate, so it is not valid Unicode", line, path)
    if isinstance(value, float) and not math.isfinite(value):
        raise ParseError(f"{value} is not a finite number", line, path)
    return value


def _longer(path: str, step: str | int) -> str:
    if len(path) > 120:
        return path
    name = f"[{step}]" if isinstance(step, int) else _short(step)
    longer = f"{path}.{name}" if path and isinstance(step, str) else path + name
    return longer if len(longer) <= 120 else f"{longer[:120]}..."


def _short(text: str) -> str:
    plain = text if text.isprintable() else ascii(text)[1:-1]
    return plain if len(plain) <= 60 else f"{plain[:60]}..."


def read_json(text: str) -> Positioned:
    """The one value of a JSON text without duplicate keys and NaN, within bounds."""
    try:
        parsed = _JsonDecoder(text).decode(text)
    except json.JSONDecodeError as error:
        what = f"{error.msg[:1].lower()}{error.msg[1:]}".removesuffix(" at")
        rest = text[error.pos : error.pos + 10]
        found = ascii(rest) if rest else "the end of the file"
        raise ParseError(f"invalid JSON: {what}, found {found}", error.lineno) from None
    return _checked(parsed)


class _JsonDecoder(json.JSONDecoder):
    """The standard decoder, its values wrapped in Positioned, its objects as tuples of pairs.

    It uses the parts of the ``json`` module that are written in Python, as those in C cannot call
    back for each value. Duplicate keys stay among the pairs: the reader can name their path.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        self._breaks = [found.start() for found in re.finditer("\n", source)]
        self._bounds = _Bounds()
        self.parse_object, self.parse_array = self._object, self._array
        self._scan = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]
        self.scan_once = self._element

    def _object(self, start: Any, strict: bool, *_: Any) -> Any:
        parse = json.decoder.JSONObject  # type: ignore[attr-defined]
        return parse(start, strict, self._member, None, tuple)

    def _array(self, start: Any, _: Any) -> Any:
        return json.decoder.JSONArray(start, self._element)  # type: ignore[attr-defined]

    def _line(self, at: int) -> int:
        return bisect.bisect_left(self._breaks, at) + 1

    def _member(self, source: str, at: int) -> tuple[Positioned, int]:
        value, end = self._element(source, at)
        key_end = source.rfind('"', 0, at)  # strings have no line breaks: the line of its start
        return value._replace(key_line=self._line(key_end)), end

    def _element(self, source: str, at: int) -> tuple[Positioned, int]:
        line = self._line(at)
        self._bounds.enter(line)
        try:
            value, end = self._scan(source, at)
        except json.JSONDecodeError:
            raise
        except ValueError:  # of int()
            raise ParseError("a number has too many digits", line) from None
        self._bounds.depth -= 1
        return Positioned(value, line), end


def _checked(found: Positioned, path: str = "") -> Positioned:
    """What the decoder has read, its keys and scalars checked, with paths."""
    value, line = found.value, found.line
    if isinstance(value, list):
        items = [_checked(item, _longer(path, index)) for index, item in enumerate(value)]
        return Positioned(items, line, path)
    if not isinstance(value, tuple):
        return Positioned(_scalar(value, line, path), line, path)
    entries: dict[str, Positioned] = {}
    for key, item in value:
        key_line = item.key_line or item.line
        inner = _longer(path, _scalar(key, key_line, path))
        if key in entries:
            raise ParseError("duplicate key", key_line, inner)
        entries[key] = _checked(item, inner)._replace(key_line=key_line)
    return Positioned(entries, line, path)


def read_yaml(text: str) -> Positioned:
    """The one document of a YAML 1.2 text, of plain values without tags and NaN.

    Timestamps and ``<<`` of YAML 1.1 are read, too. What the two versions read differently is
    refused. Keys are texts without duplicates. The bounds hold once aliases are followed.
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
        raise ParseError("invalid YAML: a character that YAML does not allow", line) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(ascii(error.problem or error.context or "")[1:-1].split())[:200]
        raise ParseError(f"invalid YAML: {reason}", mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, ValueError, OverflowError):  # chr() raises in PyYAML's scanner
        raise ParseError("invalid YAML", None) from None


@functools.cache
def _loader() -> Any:
    """A SafeLoader for the scalars of YAML 1.2 that stops at the bounds while it composes."""
    import yaml

    timestamps = [found for found in yaml.SafeLoader.yaml_implicit_resolvers["1"]
                  if found[0] == f"{_TAG}timestamp"]  # fmt: skip

    class Loader(yaml.SafeLoader):
        bounds: _Bounds | None = None
        yaml_implicit_resolvers = {  # noqa: RUF012 - as SafeLoader's
            None: [
                *(
                    (_UNCLEAR, re.compile(rf"({p.pattern})\Z"))
                    for p in (_OTHER_BOOL, _OTHER_NUMBER)
                ),
                (f"{_TAG}null", re.compile(rf"({_NULL.pattern})\Z")),
                (f"{_TAG}bool", re.compile(rf"({_BOOL.pattern})\Z")),
                (f"{_TAG}int", re.compile(rf"({_INT.pattern})\Z")),
                (f"{_TAG}float", re.compile(rf"({_FLOAT.pattern})\Z")),
                *timestamps,
                (f"{_TAG}merge", re.compile(r"<<\Z")),
            ]
        }

        def compose_node(self, parent: Any, index: Any) -> Any:
            bounds = self.bounds = self.bounds or _Bounds()
            bounds.enter(self.peek_event().start_mark.line + 1)  # type: ignore[no-untyped-call]
            node = super().compose_node(parent, index)
            bounds.depth -= 1
            return node

    return Loader


class _YamlReader:
    """Follows nodes and aliases, within bounds of its own: an alias is one node to the loader."""

    def __init__(self, loader: Any) -> None:
        self.bounds, self._loader = _Bounds(), loader

    def value(self, node: Any, path: str = "") -> Positioned:
        """The checked value of a node and all below it."""
        line = node.start_mark.line + 1
        self.bounds.enter(line)
        value = self._content(node, line, path)
        self.bounds.depth -= 1
        return Positioned(value, line, path)

    def _content(self, node: Any, line: int, path: str) -> Any:
        if node.id == "mapping" and node.tag == f"{_TAG}map":
            return self._entries(node, path)
        if node.id == "sequence" and node.tag == f"{_TAG}seq":
            items = enumerate(node.value)
            return [self.value(item, _longer(path, index)) for index, item in items]
        if node.id == "scalar" and node.tag in _SCALARS:
            return self._scalar(node, line, path)
        if node.tag == _UNCLEAR:
            raise ParseError(_unclear(node.value), line, path)
        tag = _short(node.tag.replace(_TAG, "!!"))
        raise ParseError(f"the tag {tag} is not allowed", line, path)

    def _entries(self, node: Any, path: str) -> dict[str, Positioned]:
        entries: dict[str, Positioned] = {}
        merged: dict[str, Positioned] = {}
        for key, item in node.value:
            line = key.start_mark.line + 1
            if key.id == "scalar" and key.tag == f"{_TAG}merge":
                for name, entry in self._merged(item, path).items():
                    merged.setdefault(name, entry)
                continue
            name = self._key(key, line, path)
            inner = _longer(path, name)
            if name in entries:
                raise ParseError("duplicate key", line, inner)
            entries[name] = self.value(item, inner)._replace(key_line=line)
        return merged | entries

    def _merged(self, node: Any, path: str) -> dict[str, Positioned]:
        """The entries of ``<<: *alias`` or ``<<: [*one, *two]``; the first with a key wins."""
        found = self.value(node, _longer(path, "<<"))
        entries: dict[str, Positioned] = {}
        for part in found.value if isinstance(found.value, list) else [found]:
            if not isinstance(part.value, dict):
                reason = "<< takes a mapping or a list of mappings"
                raise ParseError(reason, found.line, path)
            entries = part.value | entries
        return entries

    def _key(self, key: Any, line: int, path: str) -> str:
        self.bounds.enter(line)
        self.bounds.depth -= 1
        if key.id != "scalar":
            raise ParseError("a key must be a text", line, path)
        if key.tag == _UNCLEAR:
            raise ParseError(_unclear(key.value), line, path)
        if key.tag != f"{_TAG}str":
            kind = _short(key.tag.replace(_TAG, ""))
            read = f"YAML reads {_short(key.value)!a} as {kind}"
            raise ParseError(f"a key must be a text, and {read}: quote it", line, path)
        return str(_scalar(key.value, line, path))

    def _scalar(self, node: Any, line: int, path: str) -> Any:
        kind = node.tag.removeprefix(_TAG)
        try:
            value = _YAML.get(kind, self._loader.construct_object)(
                node.value if kind in _YAML else node
            )
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            reason = f"{_short(node.value)!a} is not a valid {kind}: quote it"
            raise ParseError(reason, line, path) from error
        return _scalar(value, line, path)


def _unclear(text: str) -> str:
    if _OTHER_BOOL.fullmatch(text):
        kinds, hint = "a boolean in YAML 1.1 and a text in YAML 1.2", "write true or false"
    else:
        kinds, hint = "read differently by YAML 1.1 and YAML 1.2", "write a plain decimal number"
    return f"{_short(text)!a} is {kinds}: {hint}, or quote it"


def _yaml_int(text: str) -> int:
    if not _INT.fullmatch(text):
        raise ValueError(text)
    return int(text, 0 if text[:2] in ("0o", "0x") else 10)


def _yaml_float(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise ValueError(text)
    return float(re.sub(r"\.(?=[iInN])", "", text))


#: Readers of the texts of plain scalars by their tag.
_YAML = {
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "int": _yaml_int,
    "float": _yaml_float,
}
