"""Codec: arguments and results to bytes and back, by a closed table of types.

What goes round, exactly and equally in both serializers:

===========================  ======================================================================
``None bool float str``      NaN and infinities pass (a NaN arrives as a NaN); a lone surrogate is
                             refused, NUL is text like any other
``int``                      at most 4300 digits
``bytes``                    a ``bytearray`` or ``memoryview`` arrives as ``bytes``
``list tuple set frozenset`` each stays what it is
``dict``                     order and any hashable keys of this table are kept
``datetime date time``       the time zone is kept as its offset; ``fold`` is kept
``timedelta UUID Decimal``   exact
enums                        after :meth:`Codec.register`; by name (a ``Flag`` by value)
dataclasses, pydantic        after :meth:`Codec.register`; field by field, so what the fields hold
                             must be in this table too; decoding calls the class, which validates
===========================  ======================================================================

Types count, not likenesses: a subclass (``OrderedDict``, a namedtuple, ``numpy.float64``) is
refused, because it would come back as something else. Containers nest 100 levels at most.

The first byte names the serializer: ``M`` is msgpack, ``J`` is JSON in UTF-8. A call is the pair
``[args, kwargs]``, so another system may insert ``J[[1,2],{"k":"v"}]``. What JSON lacks is an
object with one key that begins with ``$``::

    {"$tuple": [1, 2]}  {"$set": []}  {"$frozenset": []}      {"$bytes": "aGFtbWVy"}   (base64)
    {"$datetime": "2025-03-30T02:30:00+02:00"}  {"$date": "2025-03-30"}  {"$time": "02:30:00"}
    {"$timedelta": "90500000"}  (microseconds)  {"$uuid": "0195..."}     {"$decimal": "1.50"}
    {"$float": "nan"}  (inf, -inf)              {"$enum": ["Color", "RED"]}
    {"$object": ["Order", {"id": 7}]}           {"$dict": [[1, "key is a number"]]}

A text of ``datetime`` or ``time`` that ends in ``~`` has ``fold=1``. A dict whose only key begins
with ``$`` is written as ``$dict``, so nothing a user passes can be taken for a tag.
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
    MARK_BYTES,
    MARK_OF_CODE,
    OBJECT,
    SCALAR_OF_TAG,
    SCALARS,
    SEQUENCE_OF_TAG,
    SEQUENCES,
    TOO_DEEP,
    EncodeError,
    Registered,
    TypeTag,
    full_name,
    int_text,
    no_such_type,
    read_scalar,
    registered,
    said,
    short,
    whole_text,
)
from hammerflow.errors import ConfigError, NotDecodable, NotEncodable
from hammerflow.text import clean_text

__all__ = ["Codec", "Serializer"]

Serializer = Literal["msgpack", "json"]
Name = Callable[[str], str]  # a path inside the value -> as the caller knows it
T = TypeVar("T")

#: The bytes that are never the head of a msgpack array or map.
_LEAVES = bytes({*range(256)} - {*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF})
_TEXT = frozenset({str})
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class Codec:
    """Encodes what users pass and return; thread-safe, and safe after a fork.

    Args:
        serializer: "msgpack" (small and fast) or "json" (readable in the database).
        max_bytes: limit of one encoded value, or of one call's arguments.
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
        # A LIFO and not a thread-local: a packer that is in use cannot be entered again, not even
        # by a signal handler or by a property that is read while it packs.
        self._packers: list[msgpack.Packer] = []

    def register(self, cls: type[T], name: str | None = None) -> type[T]:
        """Let instances of an Enum, dataclass or pydantic model travel; usable as a decorator.

        Args:
            cls: the class; its subclasses are registered by themselves.
            name: what stands in the bytes; the class's qualified name when None. Both ends,
                producer and worker, must register it under the same name.

        Raises:
            ConfigError: the class is of another kind, or the name is taken by another class.
        """
        name = clean_text(name or cls.__qualname__, f"the codec's name of {full_name(cls)}")
        taken = self._by_name.get(name)
        if taken is not None and full_name(taken.cls) != full_name(cls):
            raise ConfigError(
                f"the name {name!r} is taken by {full_name(taken.cls)}: "
                f"register {full_name(cls)} under another one with name="
            )
        entry = registered(cls, name)
        self._by_name[name] = entry
        self._by_type[cls] = entry
        if entry.mark is OBJECT:
            self._containers.add(cls)
        self._hooks[cls] = entry.to_msgpack
        return cls

    def encode(self, value: Any, what: str = "result", serializer: str | None = None) -> bytes:
        """One value as bytes; ``what`` names it in the error.

        Raises:
            NotEncodable: with the path to the offending part.
        """
        return self._encode(value, serializer, self.max_depth, lambda path: what + path)

    def encode_call(
        self, args: Iterable[Any], kwargs: Mapping[str, Any], serializer: str | None = None
    ) -> bytes:
        """The arguments of one call as bytes.

        Raises:
            NotEncodable: with the path to the offending part, such as ``args[1]['when']``.
        """
        call = [[*args], kwargs if type(kwargs) is dict else dict(kwargs)]
        return self._encode(call, serializer, self.max_depth + 2, _call_path)

    def decode(self, data: bytes | str) -> Any:
        """The inverse of :meth:`encode`.

        Raises:
            NotDecodable: whatever the bytes are; nothing is imported or evaluated.
        """
        try:
            raw = data.encode() if isinstance(data, str) else data
            first = raw[:1]
            if first == b"M":
                return self._unpack(raw[1:])
            if first == b"J":
                return self._parse(raw[1:].decode())
            raise NotDecodable(f"stored bytes begin with {bytes(first)!r}, not with M or J")
        except NotDecodable:
            raise
        except Exception as error:  # a border: the bytes may come from anywhere
            raise NotDecodable(f"stored bytes cannot be decoded: {said(error)}") from error

    def decode_call(self, data: bytes | str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inverse of :meth:`encode_call`.

        Raises:
            NotDecodable: as :meth:`decode`, and when the value is no pair of args and kwargs.
        """
        call = self.decode(data)
        if type(call) is list and len(call) == 2:
            args, kwargs = call
            if type(args) is list and type(kwargs) is dict and (not kwargs or _are_texts(kwargs)):
                return tuple(args), kwargs
        raise NotDecodable("stored arguments are no pair of a list and an object: [args, kwargs]")

    # -- encoding

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
            raise NotEncodable(f"{name('')}: {said(error)}") from error
        if len(data) <= self.max_bytes:  # a packer keeps its buffer: drop one that grew huge
            self._packers.append(packer)
        # Each container has a byte of its own; only where there are many, look closer.
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
            raise NotEncodable(f"{name('')}: {said(error)}") from error
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
        except EncodeError as refusal:
            raise NotEncodable(refusal.sentence(name)) from refusal.__cause__
        except Exception as error:  # a border: as a dict that changes meanwhile
            raise NotEncodable(f"{name('')}: {said(error)}") from error

    def _tree(self, value: Any, room: int) -> Any:
        """The value as JSON knows it."""
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
        except EncodeError as refusal:
            refusal.inside.append(id(value))
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
        except EncodeError as refusal:
            refusal.path.append(where(len(items)))
            raise
        return items

    # -- decoding

    def _unpack(self, data: bytes) -> Any:
        if MARK_BYTES not in data:  # no tuple, set, enum or object: no Python call for each list
            return msgpack.unpackb(data, strict_map_key=False, timestamp=3, ext_hook=read_scalar)
        open_marks = 0

        def on_extension(code: int, content: bytes) -> Any:
            nonlocal open_marks
            if code not in MARK_OF_CODE:
                return read_scalar(code, content)
            open_marks += 1
            return MARK_OF_CODE[code]

        def on_list(items: list[Any]) -> Any:
            nonlocal open_marks
            if not items or type(items[0]) is not TypeTag:
                return items
            open_marks -= 1
            return self._marked(items)

        value = msgpack.unpackb(
            data, strict_map_key=False, timestamp=3, ext_hook=on_extension, list_hook=on_list
        )
        if open_marks:
            raise NotDecodable("the mark of a type stands where it has no meaning")
        return value

    def _marked(self, items: list[Any]) -> Any:
        mark = items.pop(0)
        if mark is ENUM:
            name, member = items
            return self._entry(mark, name).make(member)
        if mark is OBJECT:
            fields = dict(zip(items[1::2], items[2::2], strict=True))
            return self._entry(mark, items[0]).make(fields)
        return SEQUENCE_OF_TAG[mark.tag](items)

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
        raise NotDecodable(f"the tag {tag[:40]!r} is unknown, or what it holds is of another form")

    def _entry(self, mark: TypeTag, name: Any) -> Registered:
        entry = self._by_name.get(name) if type(name) is str else None
        if entry is None or entry.mark is not mark:
            raise NotDecodable(
                f"no {mark.tag[1:]} is registered in this process under the name {short(name)}: "
                "register its class with app.codec.register"
            )
        return entry


def _guarded(fn: Callable[[Any], Any], value: Any) -> Any:
    try:
        return fn(value)
    except EncodeError:
        raise
    except Exception as error:  # a border: users' properties and time zones run in here
        raise EncodeError(f"{full_name(type(value))} cannot be encoded: {said(error)}") from error


def _are_texts(names: Iterable[Any]) -> bool:
    return set(map(type, names)) <= _TEXT


def _pair(value: Any) -> tuple[Any, Any]:
    if type(value) is list and len(value) == 2:
        return value[0], value[1]
    raise NotDecodable("a $dict holds something that is no pair of key and value")


def _no_constant(name: str) -> NoReturn:
    raise NotDecodable(f'{name} is no JSON: write {{"$float": "nan"}}, "inf" or "-inf"')


def _call_path(path: str) -> str:
    """``[0][2]['k']`` is ``args[2]['k']`` to the caller, ``[1]['name']`` is ``kwargs['name']``."""
    return {"[0]": "args", "[1]": "kwargs"}.get(path[:3], "arguments") + path[3:]


def _known(serializer: str) -> str:
    if serializer not in ("msgpack", "json"):
        raise ConfigError(f'serializer must be "msgpack" or "json", not {serializer!r}')
    return serializer
