"""Codec: arguments and results to bytes and back, by a closed table of types.

These come back exactly as they were, with both serializers:

===========================  ======================================================================
``None bool float str``      with NaN, infinities and NUL; a lone surrogate is refused
``int``                      at most 4300 digits
``bytes``                    a ``bytearray`` or ``memoryview`` arrives as ``bytes``
``list tuple set frozenset`` each keeps its type
``dict``                     with its order; keys may be any hashable type of this table
``datetime date time``       with ``fold``; the time zone becomes its offset
``timedelta UUID Decimal``   exact
enums                        after :meth:`Codec.register`; by name (a ``Flag`` by value)
dataclasses, pydantic        after :meth:`Codec.register`; field by field, with values of this
                             table; decoding calls the class, which validates
===========================  ======================================================================

A subclass of these (``OrderedDict``, a namedtuple, ``numpy.float64``) is refused, because it would
come back as its base class. Containers nest 100 levels at most.

The first byte names the serializer: ``M`` is msgpack, ``J`` is JSON in UTF-8. A call is the pair
``[args, kwargs]``, so another system may insert ``J[[1,2],{"k":"v"}]``. A type that JSON lacks is
an object with one key that starts with ``$``::

    {"$tuple": [1, 2]}  {"$set": []}  {"$frozenset": []}      {"$bytes": "aGFtbWVy"}   (base64)
    {"$datetime": "2025-03-30T02:30:00+02:00"}  {"$date": "2025-03-30"}  {"$time": "02:30:00"}
    {"$timedelta": "90500000"}  (microseconds)  {"$uuid": "0195..."}     {"$decimal": "1.50"}
    {"$float": "nan"}  (inf, -inf)              {"$enum": ["Color", "RED"]}
    {"$object": ["Order", {"id": 7}]}           {"$dict": [[1, "key is a number"]]}

The text of a ``datetime`` or ``time`` with ``fold=1`` ends in ``~``. A dict whose only key starts
with ``$`` is written as ``$dict``, so that no value of a user is read as a tag.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NoReturn, TypeVar

import msgpack

from hammerflow.codec.types import (
    BIG,
    BYTES,
    ENUM,
    HOOKS,
    INDEXED,
    OBJECT,
    SCALAR_OF_TAG,
    SCALARS,
    SEQUENCE_OF_TAG,
    SEQUENCES,
    TOO_DEEP,
    TYPE_TAG_BYTES,
    TYPE_TAG_OF_CODE,
    EncodeError,
    Registered,
    TypeTag,
    error_text,
    full_name,
    int_text,
    no_such_type,
    read_scalar,
    registered,
    short,
    whole_text,
)
from hammerflow.errors import ConfigError, NotDecodable, NotEncodable
from hammerflow.text import checked_name

__all__ = ["Codec", "Serializer"]

Serializer = Literal["msgpack", "json"]
Name = Callable[[str], str]  # from a path inside the value to the caller's name for it
T = TypeVar("T")

#: The bytes that never start a msgpack array or map.
_LEAVES = bytes({*range(256)} - {*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF})
_TEXT = frozenset({str})
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
        self._by_type: dict[type, Registered] = {}
        self._by_name: dict[str, Registered] = {}
        self._containers: set[type] = {dict, *SEQUENCES}
        self._hooks: dict[type, Callable[[Any], Any]] = dict(HOOKS)
        # A stack of idle packers, not a thread-local: a packer in use must not be entered again,
        # and a signal handler or a property of a value may encode while it packs.
        self._packers: list[msgpack.Packer] = []

    def register(self, cls: type[T], name: str | None = None) -> type[T]:
        """Allow instances of a class as arguments and results; usable as a decorator.

        Args:
            cls: an Enum, dataclass or pydantic 2 model; subclasses must be registered separately.
            name: its name in the encoded bytes; by default its qualified name. Producer and worker
                must register it under the same name.

        Returns:
            The class itself.

        Raises:
            ConfigError: the class is of another kind, or another class has the name.
        """
        name = checked_name(name or cls.__qualname__, f"the codec's name of {full_name(cls)}")
        taken = self._by_name.get(name)
        if taken is not None and full_name(taken.cls) != full_name(cls):
            raise ConfigError(
                f"the name {name!r} is taken by {full_name(taken.cls)}: "
                f"register {full_name(cls)} under another name with name="
            )
        entry = registered(cls, name)
        self._by_name[name] = entry
        self._by_type[cls] = entry
        if entry.type_tag is OBJECT:
            self._containers.add(cls)
        self._hooks[cls] = entry.to_msgpack
        return cls

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
        return self._encode(value, serializer, self.max_depth, lambda path: what + path)

    def encode_call(
        self, args: Iterable[Any], kwargs: Mapping[str, Any], serializer: str | None = None
    ) -> bytes:
        """The arguments of one call as bytes; paths in errors are like ``args[1]['when']``."""
        call = [[*args], kwargs if type(kwargs) is dict else dict(kwargs)]
        return self._encode(call, serializer, self.max_depth + 2, _call_path)

    def decode(self, data: bytes | str) -> Any:
        """The inverse of :meth:`encode`.

        Raises:
            NotDecodable: the bytes do not come from a codec, or hold a class that is not
                registered. Nothing is imported or evaluated, whatever the bytes are.
        """
        try:
            raw = data.encode() if isinstance(data, str) else data
            first = raw[:1]
            if first == b"M":
                return self._unpack(raw[1:])
            if first == b"J":
                return self._parse(raw[1:].decode())
            raise NotDecodable(f"stored bytes start with {bytes(first)!r}, not with M or J")
        except NotDecodable:
            raise
        except Exception as error:  # a border: the bytes may come from anywhere
            raise NotDecodable(f"stored bytes cannot be decoded: {error_text(error)}") from error

    def decode_call(self, data: bytes | str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inverse of :meth:`encode_call`."""
        call = self.decode(data)
        if type(call) is list and len(call) == 2:
            args, kwargs = call
            if type(args) is list and type(kwargs) is dict and (not kwargs or _are_texts(kwargs)):
                return tuple(args), kwargs
        raise NotDecodable("stored arguments must be a list and an object: [args, kwargs]")

    def _encode(self, value: Any, serializer: str | None, room: int, name: Name) -> bytes:
        """``room`` is how many levels of containers may nest."""
        if (serializer or self.serializer) != "msgpack":
            return self._dump(value, serializer, room, name)
        try:
            packer = self._packers.pop()
        except IndexError:
            packer = msgpack.Packer(default=self._hook, strict_types=True)
        try:
            data: bytes = b"M" + packer.pack(value)
        except Exception as error:  # a border: properties of users' classes run in here
            self._walk(value, room, name)
            raise NotEncodable(f"{name('')}: {error_text(error)}") from error
        if len(data) <= self.max_bytes:  # a packer keeps its buffer: drop one that has grown huge
            self._packers.append(packer)
        # Each container starts with a byte of its own: with few such bytes it cannot be too deep,
        # and the walk in Python is saved.
        if (
            len(data) > room
            and len(data.translate(None, _LEAVES)) > room
            and self._is_deeper(value, room)
        ):
            self._walk(value, room, name)
        if len(data) > self.max_bytes:
            raise self._too_long(data, name)
        return data

    def _too_long(self, data: bytes, name: Name) -> NotEncodable:
        return NotEncodable(
            f"{name('')}: {len(data):,} encoded bytes exceed the limit of {self.max_bytes:,}; "
            "store the data elsewhere and pass a reference, or raise the setting max_payload"
        )

    def _hook(self, value: Any) -> Any:
        return self._hooks[type(value)](value)

    def _dump(self, value: Any, serializer: str | None, room: int, name: Name) -> bytes:
        _known(serializer or self.serializer)
        tree = self._walk(value, room, name)
        try:
            text = json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except ValueError as error:  # sys.set_int_max_str_digits was lowered
            raise NotEncodable(f"{name('')}: {error_text(error)}") from error
        data = b"J" + text.encode()
        if len(data) > self.max_bytes:
            raise self._too_long(data, name)
        return data

    def _is_deeper(self, value: Any, room: int) -> bool:
        layer = [value] if type(value) in self._containers else []
        for _ in range(room):
            parts = (part for whole in layer for part in self._inside(whole))
            layer = [part for part in parts if type(part) in self._containers]
        return bool(layer)

    def _inside(self, container: Any) -> Iterable[Any]:
        kind = type(container)
        if kind is dict:
            return (*container, *container.values())
        if kind in SEQUENCES:
            return tuple(container)
        return tuple(self._by_type[kind].take(container).values())

    def _walk(self, value: Any, room: int, name: Name) -> Any:
        try:
            return self._tree(value, room)
        except EncodeError as error:
            raise NotEncodable(error.sentence(name)) from error.__cause__
        except Exception as error:  # a border: for example, a dict that changes meanwhile
            raise NotEncodable(f"{name('')}: {error_text(error)}") from error

    def _tree(self, value: Any, room: int) -> Any:
        """The value as JSON has it."""
        kind = type(value)
        if kind is str:
            return value if value.isascii() else whole_text(value)
        if kind is int:
            return value if -BIG < value < BIG else int_text(value)
        if kind is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if value is None or kind is bool:
            return value
        if kind in self._containers:
            return self._container(value, kind, room)
        if kind in BYTES:
            return {"$bytes": _guarded(base64.b64encode, value).decode()}
        if kind in SCALARS:
            return {SCALARS[kind].tag: _guarded(SCALARS[kind].write, value)}
        if kind in self._by_type:
            entry = self._by_type[kind]
            return {"$enum": [entry.name, entry.take(value)]}
        raise EncodeError(no_such_type(kind))

    def _container(self, value: Any, kind: type, room: int) -> Any:
        try:
            if room == 0:
                raise EncodeError(TOO_DEEP)
            if kind is dict:
                return self._dict(value, room - 1, lambda key: f"[{short(key)}]")
            if kind not in SEQUENCES:
                entry = self._by_type[kind]
                fields = _guarded(entry.take, value)
                return {"$object": [entry.name, self._dict(fields, room - 1, ".{}".format)]}
            where = "[{}]".format if kind in INDEXED else " (an element)".format
            items = self._each(value, room - 1, where)
            return items if kind is list else {"$" + kind.__name__: items}
        except EncodeError as error:
            error.inside.append(id(value))
            raise

    def _dict(self, value: dict[Any, Any], room: int, where: Callable[[Any], str]) -> Any:
        names = list(value)
        keys = self._each(names, room, " (a key)".format)
        items = self._each(value.values(), room, lambda index: where(names[index]))
        if not _are_texts(names) or (len(names) == 1 and names[0][:1] == "$"):
            return {"$dict": [list(pair) for pair in zip(keys, items, strict=True)]}
        return dict(zip(keys, items, strict=True))

    def _each(self, values: Iterable[Any], room: int, where: Callable[[int], str]) -> list[Any]:
        items: list[Any] = []
        try:
            for value in values:
                items.append(self._tree(value, room))  # noqa: PERF401  the path needs its length
        except EncodeError as error:
            error.path.append(where(len(items)))
            raise
        return items

    def _unpack(self, data: bytes) -> Any:
        if TYPE_TAG_BYTES not in data:  # without tuple, set, enum and object: all of it runs in C
            return msgpack.unpackb(data, strict_map_key=False, timestamp=3, ext_hook=read_scalar)
        open_tags = 0

        def on_extension(code: int, content: bytes) -> Any:
            nonlocal open_tags
            if code not in TYPE_TAG_OF_CODE:
                return read_scalar(code, content)
            open_tags += 1
            return TYPE_TAG_OF_CODE[code]

        def on_list(items: list[Any]) -> Any:
            nonlocal open_tags
            if not items or type(items[0]) is not TypeTag:
                return items
            open_tags -= 1
            return self._tagged(items)

        value = msgpack.unpackb(
            data, strict_map_key=False, timestamp=3, ext_hook=on_extension, list_hook=on_list
        )
        if open_tags:
            raise NotDecodable("the bytes hold a type tag at a place where no type can be")
        return value

    def _tagged(self, items: list[Any]) -> Any:
        type_tag = items.pop(0)
        if type_tag is ENUM:
            name, member = items
            return self._entry(type_tag, name).make(member)
        if type_tag is OBJECT:
            fields = dict(zip(items[1::2], items[2::2], strict=True))
            return self._entry(type_tag, items[0]).make(fields)
        return SEQUENCE_OF_TAG[type_tag.name](items)

    def _parse(self, text: str) -> Any:
        if _SURROGATE_ESCAPE.search(text) is not None:
            json.dumps(json.loads(text), ensure_ascii=False).encode()  # raises for a lone one
        return json.loads(text, object_hook=self._untag, parse_constant=_no_constant)

    def _untag(self, whole: dict[str, Any]) -> Any:
        if len(whole) != 1:
            return whole
        ((tag, value),) = whole.items()
        if tag[:1] != "$":
            return whole
        match tag, value:
            case "$tuple" | "$set" | "$frozenset", list():
                return SEQUENCE_OF_TAG[tag](value)
            case "$dict", list():
                return dict(map(_pair, value))
            case "$enum", [name, member]:
                return self._entry(ENUM, name).make(member)
            case "$object", [name, dict() as fields]:
                return self._entry(OBJECT, name).make(fields)
            case "$bytes", str():
                return base64.b64decode(value, validate=True)
            case "$float", "nan" | "inf" | "-inf":
                return float(value)
            case _, str() if tag in SCALAR_OF_TAG:
                return SCALAR_OF_TAG[tag].read(value)
        raise NotDecodable(f"the tag {tag[:40]!r} is unknown, or its value has the wrong form")

    def _entry(self, type_tag: TypeTag, name: Any) -> Registered:
        entry = self._by_name.get(name) if type(name) is str else None
        if entry is None or entry.type_tag is not type_tag:
            raise NotDecodable(
                f"there is no {type_tag.name[1:]} named {short(name)} in this process: "
                "register its class with app.codec.register"
            )
        return entry


def _guarded(fn: Callable[[Any], Any], value: Any) -> Any:
    try:
        return fn(value)
    except EncodeError:
        raise
    except Exception as error:  # a border: users' properties and time zones run in here
        raise EncodeError(
            f"{full_name(type(value))} cannot be encoded: {error_text(error)}"
        ) from error


def _are_texts(names: Iterable[Any]) -> bool:
    return set(map(type, names)) <= _TEXT


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
