"""Codec: arguments and results to bytes and back, by a closed table of types.

What goes in comes out with its value and type, or is refused with the path to it. The types, and
the rules for users' classes, are in ``docs/reference/types.md``, whose table the tests write.
Containers nest 100 levels at most.

The first byte names the serializer: ``M`` is msgpack, ``J`` is JSON in UTF-8. A call is the pair
``[args, kwargs]``, so another system may insert ``J[[1,2],{"k":"v"}]``. A type that JSON lacks is
an object with one key that starts with ``$``::

    {"$tuple": [1, 2]}  {"$set": []}  {"$frozenset": []}      {"$bytes": "aGFtbWVy"}   (base64)
    {"$datetime": "2025-03-30T02:30:00+02:00"}  {"$date": "2025-03-30"}  {"$time": "02:30:00"}
    {"$timedelta": "90500000"}  (microseconds)  {"$uuid": "0195..."}     {"$decimal": "1.50"}
    {"$float": "nan"}  (inf, -inf)              {"$enum": ["Color", "RED"]}
    {"$object": ["Order", {"id": 7}]}           {"$dict": [[1, "key is a number"]]}

The text of a ``datetime`` or ``time`` ends in the key of its ZoneInfo, as in RFC 9557, and with
``fold=1`` in ``~``: ``2025-10-26T02:30:00+01:00[Europe/Berlin]~``. A dict whose only key starts
with ``$`` is written as ``$dict``, so that no value of a user is read as a tag.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from gc import get_referents
from typing import Any, Literal, NoReturn, TypeVar

import msgpack

from hammerflow.codec.classes import Registered
from hammerflow.codec.containers import CONTAINER_OF_TAG, CONTAINERS
from hammerflow.codec.opaque import Opaque, path_to
from hammerflow.codec.registry import ClassRegistry
from hammerflow.codec.scalars import SCALAR_OF_TAG, SCALARS, read_scalar, scalar_by_value
from hammerflow.codec.tree import TreeMaker, are_texts
from hammerflow.codec.types import (
    ENUM,
    OBJECT,
    TYPE_TAG_BYTES,
    TYPE_TAG_OF_CODE,
    EncodeError,
    NotMade,
    TooLarge,
    TypeTag,
    error_text,
)
from hammerflow.errors import ConfigError, NotDecodable, NotEncodable
from hammerflow.options.checks import KWARGS

__all__ = ["Codec", "Serializer"]

Serializer = Literal["msgpack", "json"]
Name = Callable[[str], str]  # from a path inside the value to the caller's name for it
T = TypeVar("T")

#: Packed as bytes by msgpack, so they are looked for beforehand.
_MUTABLE = frozenset({bytearray, memoryview})
_TEXTS = frozenset({str, bytes})
_BUILT_IN = frozenset({list, dict, *CONTAINERS})
_HUGE = 2
_PATIENCE = 10_000  # parts of a huge value that are read to tell whether it contains itself
_FEW = 64  # parts that may all be the same one without harm
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class Codec:
    """Encodes the arguments and results of jobs; thread-safe, and safe after a fork.

    Args:
        serializer: "msgpack" (small and fast) or "json" (readable in the database).
        max_bytes: limit in bytes of one encoded value, or of the arguments of one call.
        max_depth: how deep containers may nest, 1 to 200.
    """

    def __init__(
        self, serializer: str = "msgpack", max_bytes: int = 1 << 20, max_depth: int = 100
    ) -> None:
        if not 1 <= max_depth <= 200:
            raise ConfigError(f"max_depth must be from 1 to 200, not {max_depth}")
        self.serializer = _known(serializer)
        self.max_bytes = max_bytes
        self.max_depth = max_depth
        self._few = min(_FEW, max_depth)
        self._classes = ClassRegistry(self._use)
        self._surveyed: set[type] = {*_BUILT_IN, *_MUTABLE}
        self._hooks: dict[type, Callable[[Any], Any]] = {
            **{kind: scalar.to_msgpack for kind, scalar in SCALARS.items()},
            **{kind: container.to_msgpack for kind, container in CONTAINERS.items()},
        }
        # A stack of idle packers, not a thread-local: a packer in use must not be entered again,
        # and a signal handler or a property of a value may encode while it packs.
        self._packers: list[msgpack.Packer] = []

    def register(self, cls: type[T], name: str | None = None) -> type[T]:
        """Allow instances of a class as arguments and results; usable as a decorator.

        The classes of its fields are allowed with it, and classes that the annotations of a task
        name without it.

        Args:
            cls: an Enum, dataclass, attrs class, NamedTuple or pydantic 2 model; subclasses must
                be registered separately.
            name: its name in the encoded bytes; by default its qualified name. Producer and worker
                must register it under the same name.

        Returns:
            The class itself.

        Raises:
            ConfigError: the class is of another kind, or another class has the name.
        """
        self._classes.register(cls, name)
        return cls

    def register_annotations(self, fn: Callable[..., Any]) -> None:
        """Allow instances of the classes that the annotations of a function name.

        The annotations are read at the first value whose class is unknown.
        """
        self._classes.declare(fn)

    def _use(self, entry: Registered) -> None:
        if entry.type_tag is OBJECT:
            self._surveyed.add(entry.cls)
        self._hooks[entry.cls] = entry.to_msgpack

    def encode(self, value: Any, what: str = "result", serializer: str | None = None) -> bytes:
        """One value as bytes.

        Args:
            value: the value.
            what: names it in the error.
            serializer: "msgpack" or "json"; by default that of the codec.

        Raises:
            NotEncodable: a part of it has another type, or it is too large or too deep; the
                message has the path to that part.
        """
        return self._encode(value, (value,), serializer, self.max_depth, lambda path: what + path)

    def encode_call(
        self, args: Iterable[Any], kwargs: Mapping[str, Any], serializer: str | None = None
    ) -> bytes:
        """The arguments of one call as bytes; paths in errors are like ``args[1]['when']``."""
        listed, named = [*args], kwargs
        if type(named) is not dict or (named and not are_texts(named)):
            named = KWARGS(named, "kwargs")  # a member of a StrEnum as its text
        parts = (*listed, *named.values()) if named else listed
        return self._encode([listed, named], parts, serializer, self.max_depth + 2, _call_path)

    def decode(self, data: bytes | str, what: str = "result") -> Any:
        """The inverse of :meth:`encode`.

        Args:
            data: the bytes, or the text of JSON.
            what: names the value in the error.

        Raises:
            NotDecodable: the bytes do not come from a codec, or hold a class that is not
                registered. Nothing is imported or evaluated, whatever the bytes are.
        """
        return self._decode(data, lambda path: what + path)

    def decode_opaque(self, data: bytes | str) -> Any:
        """As :meth:`decode`, with an :class:`Opaque` for each value that cannot be made here.

        Raises:
            NotDecodable: the bytes do not come from a codec.
        """
        return self._read(data, [])

    def decode_call(self, data: bytes | str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inverse of :meth:`encode_call`."""
        call = self._decode(data, _call_path)
        if type(call) is list and len(call) == 2:
            args, kwargs = call
            if type(args) is list and type(kwargs) is dict and (not kwargs or are_texts(kwargs)):
                return tuple(args), kwargs
        raise NotDecodable("stored arguments must be a list and an object: [args, kwargs]")

    def _encode(
        self, value: Any, parts: Iterable[Any], serializer: str | None, room: int, name: Name
    ) -> bytes:
        """``room`` is how many levels of containers may nest."""
        if (serializer or self.serializer) != "msgpack":
            return self._dump(value, parts, serializer, room, name)
        packable = value
        try:
            if not self._is_small(parts) and self._survey(parts, self._surveyed):
                self._walk(value, parts, room, name)
                packable = self._with_bytearrays(value)
            try:
                packer = self._packers.pop()
            except IndexError:
                packer = msgpack.Packer(default=self._hook, strict_types=True)
            data: bytes = b"M" + packer.pack(packable)
        except NotEncodable:
            raise
        except (
            Exception,
            SystemExit,
        ) as error:  # a border: users' properties run in here
            if self._classes.resolve():
                return self._encode(value, parts, serializer, room, name)
            self._walk(value, parts, room, name)
            reason = str(error) if isinstance(error, EncodeError) else error_text(error)
            raise NotEncodable(f"{name('')}: {reason}") from error
        if len(data) <= self.max_bytes:  # a packer keeps its buffer: drop one that has grown huge
            self._packers.append(packer)
            return data
        raise self._too_long(data, name)

    def _is_small(self, parts: Iterable[Any]) -> bool:
        """Whether parts hold too few others to be too deep or too large, and no bytearray."""
        surveyed, seen = self._surveyed, [*parts]
        for part in seen:  # which grows meanwhile
            if type(part) in surveyed:
                seen += get_referents(part)
                if len(seen) > self._few or type(part) in _MUTABLE:
                    return False
        return True

    def _survey(self, parts: Iterable[Any], kinds: AbstractSet[type]) -> int:
        """0 for parts that can be packed; else _HUGE, or 1 if only the walk can tell.

        The packer would write a shared list out each time that it meets it, and look at no limit
        before it is done. This follows the references without calling any code of a user. Of an
        object it may count too much, such as a cached property, which is not encoded.
        """
        left = self.max_bytes
        layer = parts
        for _ in range(self.max_depth + 1):
            containers = [part for part in layer if type(part) in kinds]
            if not containers:
                return 0
            if not _MUTABLE.isdisjoint(map(type, containers)):
                return 1
            layer = []
            for start in range(0, len(containers), _FEW):  # a large list may be there many times
                inner = get_referents(*containers[start : start + _FEW])
                left -= len(inner) + sum([len(part) for part in inner if type(part) in _TEXTS])
                if left < 0:
                    return _HUGE
                layer += inner
        return 1

    def _with_bytearrays(self, value: Any) -> Any:
        """The value in a form in which the packer tells a bytearray from bytes."""
        kind = type(value)
        if kind is bytearray:
            return self._hook(value)
        if kind is list:
            return [self._with_bytearrays(item) for item in value]
        if kind is dict:
            if self._survey([*value], self._surveyed):
                raise EncodeError("a bytearray inside a key of a dict cannot be encoded")
            return {key: self._with_bytearrays(item) for key, item in value.items()}
        if kind in self._surveyed:
            return self._with_bytearrays(self._hook(value))
        return value

    def _too_long(self, data: bytes, name: Name) -> NotEncodable:
        size = f"{len(data):,} encoded bytes exceed the limit of {self.max_bytes:,}"
        return NotEncodable(TooLarge(size).sentence(name))

    def _hook(self, value: Any) -> Any:
        kind = type(value)
        if kind in self._hooks:
            return self._hooks[kind](value)
        scalar = scalar_by_value(kind)
        if scalar is None:
            raise TypeError(kind)  # the walk makes a sentence of it
        return scalar.to_msgpack(value)

    def _dump(
        self, value: Any, parts: Iterable[Any], serializer: str | None, room: int, name: Name
    ) -> bytes:
        _known(serializer or self.serializer)
        tree = self._walk(value, parts, room, name)
        try:
            text = json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except ValueError as error:  # sys.set_int_max_str_digits was lowered
            raise NotEncodable(f"{name('')}: {error_text(error)}") from error
        data = b"J" + text.encode()
        if len(data) > self.max_bytes:
            raise self._too_long(data, name)
        return data

    def _walk(self, value: Any, parts: Iterable[Any], room: int, name: Name) -> Any:
        """The value as a tree; if it is huge for sure, it is only searched for a cycle."""
        try:
            is_huge = self._survey(parts, _BUILT_IN) == _HUGE
            most = _PATIENCE if is_huge else self.max_bytes
            return TreeMaker(self._classes.by_type, self.max_bytes, most).tree(value, room)
        except EncodeError as error:
            if self._classes.resolve():
                return self._walk(value, parts, room, name)
            raise NotEncodable(error.sentence(name)) from error.__cause__
        except (
            Exception,
            SystemExit,
        ) as error:  # a border: such as a dict that changes
            raise NotEncodable(f"{name('')}: {error_text(error)}") from error

    def _decode(self, data: bytes | str, name: Name) -> Any:
        try:
            return self._read(data, None)
        except NotMade:  # its path costs a second reading, with a placeholder that can be found
            opaque: list[Opaque] = []
            value = self._read(data, opaque)
            if not opaque:
                return value
            path = path_to(opaque[0], value, self._classes.by_type)
            raise NotDecodable(f"{name(path)}: {opaque[0].error}") from opaque[0].error.__cause__

    def _read(self, data: bytes | str, opaque: list[Opaque] | None) -> Any:
        """The value; ``opaque`` takes what cannot be made, else that raises NotMade."""
        try:
            raw = data.encode() if isinstance(data, str) else data
            first = raw[:1]
            if first == b"M":
                return self._unpack(raw[1:], opaque)
            if first == b"J":
                return self._parse(raw[1:].decode(), opaque)
            raise NotDecodable(f"stored bytes start with {bytes(first)!r}, not with M or J")
        except NotDecodable:
            raise
        except (Exception, SystemExit) as error:  # a border: the bytes may come from anywhere
            raise NotDecodable(f"stored bytes cannot be decoded: {error_text(error)}") from error

    def _unpack(self, data: bytes, opaque: list[Opaque] | None) -> Any:
        if TYPE_TAG_BYTES not in data and opaque is None:  # all of it runs in C
            return msgpack.unpackb(data, strict_map_key=False, timestamp=3, ext_hook=read_scalar)
        open_tags = 0

        def on_extension(code: int, content: bytes) -> Any:
            nonlocal open_tags
            if code not in TYPE_TAG_OF_CODE:
                if opaque is None:
                    return read_scalar(code, content)
                return _or_opaque(opaque, "time", None, lambda: read_scalar(code, content))
            open_tags += 1
            return TYPE_TAG_OF_CODE[code]

        def on_list(items: list[Any]) -> Any:
            nonlocal open_tags
            if not items or type(items[0]) is not TypeTag:
                return items
            open_tags -= 1
            return self._tagged(items, opaque)

        value = msgpack.unpackb(
            data, strict_map_key=False, timestamp=3, ext_hook=on_extension, list_hook=on_list
        )
        if open_tags:
            raise NotDecodable("the bytes have a type tag where none is allowed")
        return value

    def _tagged(self, items: list[Any], opaque: list[Opaque] | None) -> Any:
        type_tag = items.pop(0)
        if type_tag is ENUM:
            name, member = items
            return self._made(ENUM, name, member, opaque)
        if type_tag is OBJECT:
            fields = dict(zip(items[1::2], items[2::2], strict=True))
            return self._made(OBJECT, items[0], fields, opaque)
        return CONTAINER_OF_TAG[type_tag.name].make(items)

    def _made(self, type_tag: TypeTag, name: Any, content: Any, opaque: list[Opaque] | None) -> Any:
        entry_of = self._classes.named
        if opaque is None:
            return entry_of(type_tag, name).make(content)
        fields = content if type_tag is OBJECT else None
        return _or_opaque(
            opaque, name, fields,
            lambda: entry_of(type_tag, name).make(content if fields is None else {**fields}),
        )  # fmt: skip

    def _parse(self, text: str, opaque: list[Opaque] | None) -> Any:
        if _SURROGATE_ESCAPE.search(text) is not None:
            json.dumps(json.loads(text), ensure_ascii=False).encode()  # raises for a lone one
        return json.loads(
            text, object_hook=lambda whole: self._untag(whole, opaque), parse_constant=_no_constant
        )

    def _untag(self, whole: dict[str, Any], opaque: list[Opaque] | None) -> Any:
        if len(whole) != 1:
            return whole
        ((tag, value),) = whole.items()
        if tag[:1] != "$":
            return whole
        match tag, value:
            case _, list() if tag in CONTAINER_OF_TAG:
                return CONTAINER_OF_TAG[tag].make(value)
            case "$dict", list():
                return dict(map(_pair, value))
            case "$enum", [name, member]:
                return self._made(ENUM, name, member, opaque)
            case "$object", [name, dict() as fields]:
                return self._made(OBJECT, name, fields, opaque)
            case "$bytes", str():
                return base64.b64decode(value, validate=True)
            case "$float", "nan" | "inf" | "-inf":
                return float(value)
            case _, str() if tag in SCALAR_OF_TAG:
                return _or_opaque(opaque, tag[1:], None, lambda: SCALAR_OF_TAG[tag].read(value))
        raise NotDecodable(f"the tag {tag[:40]!r} is unknown, or its value has the wrong form")


def _or_opaque(opaque: list[Opaque] | None, kind: Any, fields: Any, make: Callable[[], Any]) -> Any:
    """What ``make`` makes; where it cannot, a placeholder that is added to a list ``opaque``."""
    try:
        return make()
    except NotMade as error:
        if opaque is None:
            raise
        opaque.append(Opaque(str(kind)[:200], fields, error))
        return opaque[-1]


def _pair(value: Any) -> tuple[Any, Any]:
    if type(value) is list and len(value) == 2:
        return value[0], value[1]
    raise NotDecodable("a $dict must hold pairs of key and value")


def _no_constant(name: str) -> NoReturn:
    raise NotDecodable(f'{name} is not valid JSON: write {{"$float": "nan"}}, "inf" or "-inf"')


def _call_path(path: str) -> str:
    """``[0][2]['k']`` is ``args[2]['k']`` to the caller, ``[1]['name']`` is ``kwargs['name']``."""
    return {"[0]": "args", "[1]": "kwargs"}.get(path[:3], "arguments") + path[3:]


def _known(serializer: str) -> str:
    if serializer not in ("msgpack", "json"):
        raise ConfigError(f'serializer must be "msgpack" or "json", not {serializer!r}')
    return serializer
