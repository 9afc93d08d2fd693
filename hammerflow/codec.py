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
dataclasses, pydantic        after :meth:`Codec.register`; field by field, so the types of the fields
                             must be in this table too. Decoding calls the class: it is validated
===========================  ======================================================================

Types count, not likenesses: a subclass (``OrderedDict``, a namedtuple, ``numpy.float64``) is
refused, because it would come back as something else. Containers nest 100 levels at most.

The first byte names the serializer: ``M`` is msgpack, ``J`` is JSON in UTF-8. A call is the pair
``[args, kwargs]``, so another system may insert ``J[[1,2],{"k":"v"}]``. What JSON lacks is an object
with one key that begins with ``$``::

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
import dataclasses
import enum
import inspect
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar
from uuid import UUID

import msgpack

from hammerflow.errors import ConfigError, NotDecodable, NotEncodable

__all__ = ["Codec", "Serializer", "clean_text"]

Serializer = Literal["msgpack", "json"]
T = TypeVar("T")

MAX_DIGITS = 4300  # Python's own default limit between int and str
_BIG = 10**MAX_DIGITS
_MICROSECOND = timedelta(microseconds=1)


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
        _check_serializer(serializer)
        if not 1 <= max_depth <= 200:
            raise ConfigError(f"max_depth must be from 1 to 200, not {max_depth}")
        self.serializer = serializer
        self.max_bytes = max_bytes
        self.max_depth = max_depth
        self._by_type: dict[type, _Registered] = {}
        self._by_name: dict[str, _Registered] = {}
        self._containers: set[type] = {dict, *_SEQUENCES}
        self._hooks: dict[type, Callable[[Any], Any]] = dict(_HOOKS)
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
        entry = _registered(cls, name or cls.__qualname__)
        taken = self._by_name.get(entry.name)
        if taken is not None and _full_name(taken.cls) != _full_name(cls):
            raise ConfigError(
                f"the name {entry.name!r} is taken by {_full_name(taken.cls)}: "
                f"register {_full_name(cls)} under another one with name="
            )
        self._by_name[entry.name] = entry
        self._by_type[cls] = entry
        self._hooks[cls] = entry.to_msgpack
        if entry.tag == "$object":
            self._containers.add(cls)
        return cls

    def encode(self, value: Any, what: str = "result", serializer: str | None = None) -> bytes:
        """One value as bytes; ``what`` names it in the error.

        Raises:
            NotEncodable: with the path to the offending part.
        """
        return self._encode(value, serializer, self.max_depth, lambda path: what + path, what)

    def encode_call(
        self, args: Iterable[Any], kwargs: Mapping[str, Any], serializer: str | None = None
    ) -> bytes:
        """The arguments of one call as bytes.

        Raises:
            NotEncodable: with the path to the offending part, such as ``args[1]['when']``.
        """
        call = [[*args], kwargs if kwargs.__class__ is dict else dict(kwargs)]
        return self._encode(call, serializer, self.max_depth + 2, _call_path, "arguments")

    def decode(self, data: bytes | str) -> Any:
        """The inverse of :meth:`encode`.

        Raises:
            NotDecodable: whatever the bytes are; nothing is imported or evaluated.
        """
        try:
            raw = data.encode() if isinstance(data, str) else bytes(data)
            match raw[:1]:
                case b"M":
                    return self._unpack(raw[1:])
                case b"J":
                    return self._parse(raw[1:].decode())
                case first:
                    raise NotDecodable(f"stored bytes begin with {first!r}, not with M or J")
        except NotDecodable:
            raise
        except Exception as error:  # a border: the bytes may come from anywhere
            raise NotDecodable(f"stored bytes cannot be decoded: {_said(error)}") from error

    def decode_call(self, data: bytes | str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inverse of :meth:`encode_call`.

        Raises:
            NotDecodable: as :meth:`decode`, and when the value is no pair of args and kwargs.
        """
        match self.decode(data):
            case [list() | tuple() as args, dict() as kwargs]:
                if all(key.__class__ is str for key in kwargs):
                    return tuple(args), kwargs
        raise NotDecodable(
            "stored arguments are not a pair of a list and an object: [args, kwargs]"
        )

    # -- encoding

    def _encode(
        self,
        value: Any,
        serializer: str | None,
        room: int,
        name: Callable[[str], str],
        what: str,
    ) -> bytes:
        if (serializer or self.serializer) == "msgpack":
            data = self._pack(value, room, name)
        else:
            _check_serializer(serializer or self.serializer)
            data = self._dump(value, room, name)
        if len(data) > self.max_bytes:
            raise NotEncodable(
                f"{what}: {len(data):,} bytes encoded are above the limit of {self.max_bytes:,}: "
                "store the data elsewhere and pass a reference to it, or raise max_payload"
            )
        return data

    def _pack(self, value: Any, room: int, name: Callable[[str], str]) -> bytes:
        try:
            packer = self._packers.pop()
        except IndexError:
            packer = msgpack.Packer(default=self._hook, strict_types=True)
        try:
            data: bytes = b"M" + packer.pack(value)
        except Exception as error:  # a border: properties of users' classes run in here
            self._refuse(value, room, name, error)
        if len(data) <= self.max_bytes:  # a packer keeps its buffer: drop one that grew huge
            self._packers.append(packer)
        # Each container has a byte of its own; only where there are many, look closer.
        if len(data) > room and len(data.translate(None, _LEAVES)) > room:
            if self._is_deeper(value, room):
                self._refuse(value, room, name, None)
        return data

    def _hook(self, value: Any) -> Any:
        return self._hooks[value.__class__](value)

    def _dump(self, value: Any, room: int, name: Callable[[str], str]) -> bytes:
        try:
            tree = self._tree(value, room)
            text = json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            return b"J" + text.encode()
        except _Refusal as refusal:
            raise NotEncodable(refusal.sentence(name)) from refusal.__cause__
        except Exception as error:  # a border: properties of users' classes run in here
            raise NotEncodable(f"{name('')}: {_said(error)}") from error

    def _refuse(
        self, value: Any, room: int, name: Callable[[str], str], error: Exception | None
    ) -> NoReturn:
        """Find out why msgpack refused, by walking as the JSON form is walked."""
        self._dump(value, room, name)
        raise NotEncodable(f"{name('')}: {_said(error)}") from error

    def _is_deeper(self, value: Any, room: int) -> bool:
        layer = [value]
        for _ in range(room):
            layer = [
                part
                for whole in layer
                for part in self._inside(whole)
                if part.__class__ in self._containers
            ]
            if not layer:
                return False
        return True

    def _inside(self, container: Any) -> Iterable[Any]:
        kind = container.__class__
        if kind is dict:
            return (*container, *container.values())
        return container if kind in _SEQUENCES else self._by_type[kind].take(container).values()

    def _tree(self, value: Any, room: int) -> Any:
        """The value as JSON knows it; ``room`` is how many levels of containers may follow."""
        kind = value.__class__
        if kind is str:
            return value if value.isascii() else _whole_text(value)
        if kind is int:
            return value if -_BIG < value < _BIG else int(_int_text(value))
        if kind is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if value is None or kind is bool:
            return value
        if kind in self._containers:
            return self._container(value, kind, room)
        if kind in _BYTES:
            return {"$bytes": _guarded(base64.b64encode, value).decode()}
        if kind in _SCALARS:
            return {_SCALARS[kind].tag: _guarded(_SCALARS[kind].write, value)}
        if kind in self._by_type:
            entry = self._by_type[kind]
            return {"$enum": [entry.name, _guarded(entry.take, value)]}
        raise _Refusal(_no_such_type(kind))

    def _container(self, value: Any, kind: type, room: int) -> Any:
        try:
            if room == 0:
                raise _Refusal(_TOO_DEEP)
            if kind is dict:
                return self._dict(value, room - 1, lambda key: f"[{_short(key)}]")
            if kind not in _SEQUENCES:
                entry = self._by_type[kind]
                fields = _guarded(entry.take, value)
                return {"$object": [entry.name, self._dict(fields, room - 1, ".{}".format)]}
            where = "[{}]".format if kind in _INDEXED else " (an element)".format
            items = self._each(value, room - 1, where)
            return items if kind is list else {"$" + kind.__name__: items}
        except _Refusal as refusal:
            refusal.inside.append(id(value))
            raise

    def _dict(self, value: dict[Any, Any], room: int, where: Callable[[Any], str]) -> Any:
        names = list(value)
        keys = self._each(names, room, " (a key)".format)
        items = self._each(value.values(), room, lambda index: where(names[index]))
        is_plain = all(name.__class__ is str for name in names)
        if not is_plain or (len(names) == 1 and names[0][:1] == "$"):
            return {"$dict": [list(pair) for pair in zip(keys, items, strict=True)]}
        return dict(zip(keys, items, strict=True))

    def _each(self, values: Iterable[Any], room: int, where: Callable[[int], str]) -> list[Any]:
        items = []
        try:
            for value in values:
                items.append(self._tree(value, room))
        except _Refusal as refusal:
            refusal.path.append(where(len(items)))
            raise
        return items

    # -- decoding

    def _unpack(self, data: bytes) -> Any:
        if _MARK_BYTES not in data:  # no tuple, set, enum or object in it: no Python call per list
            return msgpack.unpackb(data, strict_map_key=False, timestamp=3, ext_hook=_read_scalar)
        open_marks = 0

        def on_ext(code: int, content: bytes) -> Any:
            nonlocal open_marks
            if code not in _MARK_OF_CODE:
                return _read_scalar(code, content)
            open_marks += 1
            return _MARK_OF_CODE[code]

        def on_list(items: list[Any]) -> Any:
            nonlocal open_marks
            if not items or items[0].__class__ is not _Mark:
                return items
            open_marks -= 1
            return self._marked(items)

        value = msgpack.unpackb(
            data, strict_map_key=False, timestamp=3, ext_hook=on_ext, list_hook=on_list
        )
        if open_marks:
            raise NotDecodable("a mark of a type stands where it has no meaning")
        return value

    def _marked(self, items: list[Any]) -> Any:
        tag = items[0].tag
        if tag == "$enum":
            _, name, member = items
            return self._entry(tag, name).make(member)
        if tag == "$object":
            names, values = items[2::2], items[3::2]
            return self._entry(tag, items[1]).make(dict(zip(names, values, strict=True)))
        del items[0]
        return _SEQUENCE_OF_TAG[tag](items)

    def _parse(self, text: str) -> Any:
        if _SURROGATE_ESCAPE.search(text) is not None:
            json.dumps(json.loads(text), ensure_ascii=False).encode()  # raises for a lone one
        return json.loads(text, object_hook=self._untag, parse_constant=_no_constant)

    def _untag(self, fields: dict[str, Any]) -> Any:
        if len(fields) != 1:
            return fields
        ((tag, value),) = fields.items()
        if tag[:1] != "$":
            return fields
        match tag, value:
            case "$tuple" | "$set" | "$frozenset", list():
                return _SEQUENCE_OF_TAG[tag](value)
            case "$dict", list():
                return {key: item for key, item in map(_pair, value)}  # noqa: C416  checked pairs
            case ("$enum", [str() as name, member]) | (
                "$object",
                [str() as name, dict() as member],
            ):
                return self._entry(tag, name).make(member)
            case "$bytes", str():
                return base64.b64decode(value, validate=True)
            case "$float", "nan" | "inf" | "-inf":
                return float(value)
            case _, str() if tag in _SCALAR_OF_TAG:
                return _SCALAR_OF_TAG[tag].read(value)
        raise NotDecodable(f"the tag {tag[:40]!r} is unknown, or what it holds is of another form")

    def _entry(self, tag: str, name: Any) -> _Registered:
        entry = self._by_name.get(name) if name.__class__ is str else None
        if entry is None or entry.tag != tag:
            raise NotDecodable(
                f"no {tag[1:]} is registered in this process under the name {_short(name)}: "
                "register its class with app.codec.register"
            )
        return entry


def clean_text(value: str, what: str, limit: int | None = 255) -> str:
    """The value itself, if every database can hold it as a name, key or header.

    Args:
        value: the text.
        what: names it in the error.
        limit: characters at most; None for no limit.

    Raises:
        ConfigError: it is no text, empty or too long, or holds a NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{what} must be a text, not {type(value).__name__}")
    if "\0" in value:
        raise ConfigError(f"{what} holds a NUL character, which PostgreSQL cannot store: {value!r}")
    if not value.isascii() and _SURROGATE.search(value) is not None:
        raise ConfigError(f"{what} holds a lone surrogate, which is no valid text: {value!r}")
    if limit is not None and not 0 < len(value) <= limit:
        raise ConfigError(f"{what} must have 1 to {limit} characters, not {len(value)}")
    return value


# -- the table


class _Scalar(NamedTuple):
    """A type that travels as text."""

    code: int
    tag: str
    write: Callable[[Any], str]
    read: Callable[[str], Any]


class _Mark(NamedTuple):
    """What makes a msgpack array a tuple, set, enum or object: an extension as first item."""

    tag: str
    code: int

    def to_msgpack(self) -> msgpack.ExtType:
        return msgpack.ExtType(self.code, b"")


class _Registered(NamedTuple):
    """A user's class."""

    cls: type
    name: str
    tag: Literal["$enum", "$object"]
    take: Callable[[Any], Any]
    make: Callable[[Any], Any]

    def to_msgpack(self, value: Any) -> list[Any]:
        taken = self.take(value)
        if self.tag == "$enum":
            return [_ENUM.to_msgpack(), self.name, taken]
        parts = (part for pair in taken.items() for part in pair)
        return [_OBJECT.to_msgpack(), self.name, *parts]


class _Refusal(Exception):
    """Why a value cannot be encoded; gathers the path to it, innermost step first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []
        self.inside: list[int] = []

    def sentence(self, name: Callable[[str], str]) -> str:
        """Path and reason, the path cut short, as that of a cycle is long."""
        steps = self.path[::-1]
        shown = "".join(steps[:8]) + ("..." if len(steps) > 8 else "")
        is_cycle = self.reason == _TOO_DEEP and len(set(self.inside)) < len(self.inside)
        return f"{name(shown)}: {_CYCLE if is_cycle else self.reason}"


_TOO_DEEP = "containers are nested too deep to be encoded; make the data flatter"
_CYCLE = "a container that contains itself cannot be encoded"


def _guarded(fn: Callable[[Any], Any], value: Any) -> Any:
    try:
        return fn(value)
    except _Refusal:
        raise
    except Exception as error:  # a border: users' properties and time zones run in here
        raise _Refusal(f"{_full_name(type(value))} cannot be encoded: {_said(error)}") from error


def _whole_text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _Refusal(f"the text holds a lone surrogate at index {error.start}") from error
    return value


def _int_text(value: int) -> str:
    if not -_BIG < value < _BIG:
        raise _Refusal(f"an int of more than {MAX_DIGITS} digits cannot be encoded")
    return str(value)


def _moment_text(value: datetime | time) -> str:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise _Refusal("its time zone has no offset; pass one with an offset, or a text")
    return value.isoformat() + ("~" if value.fold else "")


def _read_datetime(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix("~")).replace(fold=text.endswith("~"))


def _read_time(text: str) -> time:
    return time.fromisoformat(text.removesuffix("~")).replace(fold=text.endswith("~"))


def _duration_text(value: timedelta) -> str:
    return str(value // _MICROSECOND)


def _read_duration(text: str) -> timedelta:
    return timedelta(microseconds=int(text))


_SCALARS: dict[type, _Scalar] = {
    int: _Scalar(16, "$int", _int_text, int),
    Decimal: _Scalar(17, "$decimal", str, Decimal),
    datetime: _Scalar(18, "$datetime", _moment_text, _read_datetime),
    date: _Scalar(19, "$date", date.isoformat, date.fromisoformat),
    time: _Scalar(20, "$time", _moment_text, _read_time),
    timedelta: _Scalar(21, "$timedelta", _duration_text, _read_duration),
    UUID: _Scalar(22, "$uuid", str, UUID),
}
_SCALAR_OF_CODE = {scalar.code: scalar for scalar in _SCALARS.values()}
_SCALAR_OF_TAG = {scalar.tag: scalar for scalar in _SCALARS.values()}
_BYTES = frozenset({bytes, bytearray, memoryview})
_INDEXED = frozenset({list, tuple})
_SEQUENCES = frozenset({list, tuple, set, frozenset})
_SEQUENCE_OF_TAG: dict[str, type] = {"$tuple": tuple, "$set": set, "$frozenset": frozenset}

_ENUM, _OBJECT = _Mark("$enum", 4), _Mark("$object", 5)
_MARKS = (_Mark("$tuple", 1), _Mark("$set", 2), _Mark("$frozenset", 3), _ENUM, _OBJECT)
_MARK_OF_CODE = {mark.code: mark for mark in _MARKS}
_MARK_BYTES = b"\xc7\x00"  # ext 8 of length 0: how every mark begins
_LEAVES = bytes({*range(256)} - {*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF})

_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def _scalar_hook(scalar: _Scalar) -> Callable[[Any], msgpack.ExtType]:
    return lambda value: msgpack.ExtType(scalar.code, scalar.write(value).encode())


def _sequence_hook(mark: _Mark) -> Callable[[Any], list[Any]]:
    ext = mark.to_msgpack()
    return lambda value: [ext, *value]


_HOOKS: dict[type, Callable[[Any], Any]] = {
    **{kind: _scalar_hook(scalar) for kind, scalar in _SCALARS.items()},
    **{_SEQUENCE_OF_TAG[mark.tag]: _sequence_hook(mark) for mark in _MARKS[:3]},
}


def _read_scalar(code: int, content: bytes) -> Any:
    if code not in _SCALAR_OF_CODE:
        raise NotDecodable(f"msgpack extension {code} is not known to this version")
    return _SCALAR_OF_CODE[code].read(bytes(content).decode())


def _pair(value: Any) -> tuple[Any, Any]:
    if value.__class__ is list and len(value) == 2:
        return value[0], value[1]
    raise NotDecodable("a $dict holds something that is no pair of key and value")


def _no_constant(name: str) -> NoReturn:
    raise NotDecodable(f'{name} is no JSON: write {{"$float": "nan"}}, "inf" or "-inf"')


# -- users' classes


def _registered(cls: type, name: str) -> _Registered:
    clean_text(name, f"the name of {_full_name(cls)} in the codec")
    if issubclass(cls, enum.Enum):
        return _Registered(cls, name, "$enum", _member, _member_maker(cls))
    if hasattr(cls, "model_validate") and hasattr(cls, "model_fields"):
        return _model(cls, name)
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls, name)
    raise ConfigError(
        f"{_full_name(cls)} cannot be registered: it is no Enum, dataclass or pydantic 2 model"
    )


def _member(member: enum.Enum) -> Any:
    return member.value if isinstance(member, enum.Flag) else member.name


def _member_maker(cls: type[enum.Enum]) -> Callable[[Any], enum.Enum]:
    return lambda member: cls[member] if member.__class__ is str else cls(member)


def _dataclass(cls: type, name: str) -> _Registered:
    names = [field.name for field in dataclasses.fields(cls)]
    given = {field.name for field in dataclasses.fields(cls) if field.init}
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.default is parameter.empty and parameter.name not in given:
            raise ConfigError(
                f"{_full_name(cls)} cannot be registered: it is made with {parameter.name!r}, "
                "which is no field, so it could not be made again"
            )

    def take(value: Any) -> dict[str, Any]:
        return {field: getattr(value, field) for field in names}

    def make(fields: dict[str, Any]) -> Any:
        later = {key: item for key, item in fields.items() if key in names}
        value = cls(
            **{key: item for key, item in fields.items() if key not in later or key in given}
        )
        for key, item in later.items():  # as it was, even if __post_init__ changes things
            object.__setattr__(value, key, item)
        return value

    return _Registered(cls, name, "$object", take, make)


def _model(cls: Any, name: str) -> _Registered:
    names = list(cls.model_fields)
    keys = {field: _input_key(field, info) for field, info in cls.model_fields.items()}
    is_root = bool(getattr(cls, "__pydantic_root_model__", False))

    def take(value: Any) -> dict[str, Any]:
        return {**{field: getattr(value, field) for field in names}, **(value.model_extra or {})}

    def make(fields: dict[str, Any]) -> Any:
        if is_root:
            return cls.model_validate(fields["root"])
        return cls.model_validate({keys.get(key, key): item for key, item in fields.items()})

    return _Registered(cls, name, "$object", take, make)


def _input_key(field: str, info: Any) -> str:
    """The key under which a model takes a field: its alias, if it has one."""
    alias = info.validation_alias
    choices = getattr(alias, "choices", [alias])  # AliasChoices
    return next((choice for choice in choices if isinstance(choice, str)), field)


# -- words of the errors


def _call_path(path: str) -> str:
    """``[0][2]['k']`` is ``args[2]['k']`` to the caller, ``[1]['name']`` is ``kwargs['name']``."""
    return {"[0]": "args", "[1]": "kwargs"}.get(path[:3], "arguments") + path[3:]


def _no_such_type(kind: type) -> str:
    if (
        issubclass(kind, enum.Enum)
        or dataclasses.is_dataclass(kind)
        or hasattr(kind, "model_validate")
    ):
        advice = f"register it: app.codec.register({kind.__name__})"
    else:
        base = next((c for c in kind.__mro__[1:] if c in _CONVERTIBLE), None)
        advice = (
            f"convert it, for instance with {base.__name__}(...)"
            if base is not None
            else "pass plain data instead, for instance an id or a path"
        )
    return f"type {_full_name(kind)} cannot be encoded; {advice}"


_CONVERTIBLE = (bool, int, float, str, bytes, dict, *_SEQUENCES, *_SCALARS)


def _full_name(cls: type) -> str:
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"


def _short(value: Any) -> str:
    """A dict's key or a name as it stands in a path."""
    if value.__class__ in (str, int, float, bool, bytes, NoneType):
        return repr(value) if value.__class__ is not str else repr(value[:60])
    return f"<{_full_name(type(value))}>"


def _said(error: BaseException) -> str:
    """An error in a line that any database can hold."""
    text = f"{type(error).__name__}: {error}"[:300].replace("\0", "\\0")
    return text.encode(errors="backslashreplace").decode()


def _check_serializer(serializer: str) -> None:
    if serializer not in ("msgpack", "json"):
        raise ConfigError(f'serializer must be "msgpack" or "json", not {serializer!r}')
