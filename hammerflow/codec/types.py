"""Types: how the codec encodes each type, and the classes that users register."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from types import NoneType
from typing import Any, NamedTuple
from uuid import UUID

import msgpack

from hammerflow.errors import ConfigError, NotDecodable

__all__ = ["EncodeError", "Registered", "Scalar", "TypeTag", "registered"]

MAX_DIGITS = 4300  # Python's own default limit between int and str
BIG = 10**MAX_DIGITS
_US = timedelta(microseconds=1)


class Scalar(NamedTuple):
    """A type that is encoded as text."""

    code: int  # of the msgpack extension
    tag: str  # of the JSON object
    write: Callable[[Any], str]
    read: Callable[[str], Any]

    def to_msgpack(self, value: Any) -> Any:
        """The value as a msgpack extension."""
        return msgpack.ExtType(self.code, self.write(value).encode())


class TypeTag(NamedTuple):
    """Marks a msgpack array as a tuple, set, enum or object: its first element is an extension.

    An array, and not one extension around all, because the packer then encodes the elements in C
    and counts the depth.
    """

    name: str  # as in JSON, with the $
    ext: Any  # made once: making it costs more than the rest of a small tuple

    def to_msgpack(self, value: Any) -> list[Any]:
        """The sequence as an array with this tag."""
        return [self.ext, *value]


class Registered(NamedTuple):
    """A class of a user."""

    cls: type
    name: str
    type_tag: TypeTag
    take: Callable[[Any], Any]  # from a member to its name or value, from an object to its fields
    make: Callable[[Any], Any]  # the inverse

    def to_msgpack(self, value: Any) -> list[Any]:
        """The member or object as an array with a tag."""
        taken = self.take(value)
        if self.type_tag is OBJECT:
            return OBJECT.to_msgpack((self.name, *chain.from_iterable(taken.items())))
        return ENUM.to_msgpack((self.name, taken))


class EncodeError(Exception):
    """A value cannot be encoded; the containers around it add the path, innermost step first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []
        self.inside: list[int] = []  # ids of the containers around it

    def sentence(self, name: Callable[[str], str]) -> str:
        """Path and reason; the path is cut, as that of a cycle is long."""
        steps = self.path[::-1]
        shown = "".join(steps[:8]) + ("..." if len(steps) > 8 else "")
        is_cycle = self.reason == TOO_DEEP and len(set(self.inside)) < len(self.inside)
        return f"{name(shown)}: {_CYCLE if is_cycle else self.reason}"


TOO_DEEP = "containers are nested too deep to be encoded; make the data flatter"
_CYCLE = "a container that contains itself cannot be encoded"


def int_text(value: int) -> str:
    """The digits of an int, unless there are too many."""
    if not -BIG < value < BIG:
        raise EncodeError(f"an int of more than {MAX_DIGITS} digits cannot be encoded")
    return str(value)


def whole_text(value: str) -> str:
    """The text itself, unless it holds a lone surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(f"the text holds a lone surrogate at index {error.start}") from error
    return value


def _moment_text(value: datetime | time) -> str:
    if value.tzinfo is not None:
        offset = value.utcoffset()
        if offset is None:
            raise EncodeError("its time zone has no offset; use one with an offset, or pass text")
        if offset.microseconds:  # Python reads back +00:00:00.000001 as UTC
            raise EncodeError("the offset of its time zone must be a whole number of seconds")
    return value.isoformat() + ("~" if value.fold else "")


def _moment_reader(kind: type[datetime | time]) -> Callable[[str], datetime | time]:
    parse = kind.fromisoformat
    return lambda text: parse(text.removesuffix("~")).replace(fold=text.endswith("~"))


SCALARS: Mapping[type, Scalar] = {
    int: Scalar(16, "$int", int_text, int),  # msgpack: beyond 64 bits
    Decimal: Scalar(17, "$decimal", str, Decimal),
    datetime: Scalar(18, "$datetime", _moment_text, _moment_reader(datetime)),
    date: Scalar(19, "$date", date.isoformat, date.fromisoformat),
    time: Scalar(20, "$time", _moment_text, _moment_reader(time)),
    timedelta: Scalar(21, "$timedelta", lambda span: str(span // _US), lambda us: int(us) * _US),
    UUID: Scalar(22, "$uuid", str, UUID),
}
SCALAR_OF_CODE = {scalar.code: scalar for scalar in SCALARS.values()}
SCALAR_OF_TAG = {scalar.tag: scalar for scalar in SCALARS.values()}

BYTES = frozenset({bytes, bytearray, memoryview})
INDEXED = frozenset({list, tuple})
SEQUENCES = frozenset({list, tuple, set, frozenset})
SEQUENCE_OF_TAG: Mapping[str, type] = {"$tuple": tuple, "$set": set, "$frozenset": frozenset}

TUPLE = TypeTag("$tuple", msgpack.ExtType(1, b""))
SET = TypeTag("$set", msgpack.ExtType(2, b""))
FROZENSET = TypeTag("$frozenset", msgpack.ExtType(3, b""))
ENUM = TypeTag("$enum", msgpack.ExtType(4, b""))
OBJECT = TypeTag("$object", msgpack.ExtType(5, b""))
TYPE_TAG_OF_CODE = {tag.ext.code: tag for tag in (TUPLE, SET, FROZENSET, ENUM, OBJECT)}
TYPE_TAG_BYTES = b"\xc7\x00"  # an extension of length 0: every type tag starts with it

#: Encodes types that msgpack does not know, such as ints beyond 64 bits.
HOOKS: Mapping[type, Callable[[Any], Any]] = {
    **{kind: scalar.to_msgpack for kind, scalar in SCALARS.items()},
    **{SEQUENCE_OF_TAG[tag.name]: tag.to_msgpack for tag in (TUPLE, SET, FROZENSET)},
}


def read_scalar(code: int, content: bytes) -> Any:
    """The value of a msgpack extension."""
    if code not in SCALAR_OF_CODE:
        raise NotDecodable(f"msgpack extension {code} is unknown to this version")
    return SCALAR_OF_CODE[code].read(bytes(content).decode())


def registered(cls: type, name: str) -> Registered:
    """How instances of an Enum, dataclass or pydantic model are encoded."""
    if issubclass(cls, enum.Enum):
        return Registered(cls, name, ENUM, _member, _member_maker(cls))
    if is_model(cls):
        return _model(cls, name)
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls, name)
    raise ConfigError(
        f"{full_name(cls)} cannot be registered: only an Enum, dataclass or pydantic 2 model can"
    )


def is_model(cls: type) -> bool:
    """Whether a class is a pydantic 2 model; works without pydantic."""
    return hasattr(cls, "model_validate") and hasattr(cls, "model_fields")


def _member(member: enum.Enum) -> Any:
    return member.value if isinstance(member, enum.Flag) else member.name


def _member_maker(cls: type[enum.Enum]) -> Callable[[Any], enum.Enum]:
    return lambda member: cls[member] if type(member) is str else cls(member)


def _dataclass(cls: Any, name: str) -> Registered:
    names = [field.name for field in dataclasses.fields(cls)]
    later = {field.name for field in dataclasses.fields(cls) if not field.init}
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.default is parameter.empty and parameter.name not in names:
            raise ConfigError(
                f"{full_name(cls)} cannot be registered: its parameter {parameter.name!r} is not a "
                "field, so it cannot be rebuilt from its fields"
            )

    def take(value: Any) -> dict[str, Any]:
        return {field: getattr(value, field) for field in names}

    def make(fields: dict[str, Any]) -> Any:
        value = cls(**{key: item for key, item in fields.items() if key not in later})
        for key, item in fields.items():  # the stored values, whatever __post_init__ has changed
            object.__setattr__(value, key, item)
        return value

    return Registered(cls, name, OBJECT, take, make)


def _model(cls: Any, name: str) -> Registered:
    keys = {field: _input_key(cls, field) for field in cls.model_fields}
    is_root = bool(getattr(cls, "__pydantic_root_model__", False))

    def take(value: Any) -> dict[str, Any]:
        return {**{field: getattr(value, field) for field in keys}, **(value.model_extra or {})}

    def make(fields: dict[str, Any]) -> Any:
        if is_root:
            return cls.model_validate(fields["root"])
        return cls.model_validate({keys.get(key, key): item for key, item in fields.items()})

    return Registered(cls, name, OBJECT, take, make)


def _input_key(cls: Any, field: str) -> str:
    """The key under which a model accepts a field: its alias, if only that is accepted."""
    alias = cls.model_fields[field].validation_alias
    by_name = cls.model_config.get("populate_by_name") or cls.model_config.get("validate_by_name")
    if alias is None or by_name:
        return field
    choices = getattr(alias, "choices", [alias])  # an AliasChoices
    key = next((choice for choice in choices if isinstance(choice, str)), None)
    if key is None:
        raise ConfigError(
            f"{full_name(cls)} cannot be registered: its field {field!r} is only accepted under "
            "an alias path; set validate_by_name=True in its model_config"
        )
    return key


def no_such_type(kind: type) -> str:
    """Why a type is refused, and what to do instead."""
    if issubclass(kind, enum.Enum) or dataclasses.is_dataclass(kind) or is_model(kind):
        advice = f"register it with app.codec.register({kind.__name__})"
    elif base := next((known for known in kind.__mro__[1:] if known in _CONVERTIBLE), None):
        advice = f"it would come back as another type: convert it to {base.__name__} first"
    else:
        advice = "pass plain data instead, for instance an id or a path"
    return f"type {full_name(kind)} cannot be encoded; {advice}"


_CONVERTIBLE = frozenset({float, str, bytes, dict, *SEQUENCES, *SCALARS})


def full_name(cls: type) -> str:
    """Module and name of a class for an error message."""
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"


def short(value: Any) -> str:
    """A key of a dict, or a name, for an error message."""
    if type(value) in (str, bytes):
        return repr(value[:60])
    if type(value) in (bool, float, NoneType) or (type(value) is int and -BIG < value < BIG):
        return repr(value)[:60]
    return f"<{full_name(type(value))}>"


def error_text(error: Exception) -> str:
    """Type and text of an error in one line that every database can store."""
    try:
        text = f"{type(error).__name__}: {error}"[:300]
    except Exception:  # noqa: BLE001  a border: __str__ of users' errors
        text = type(error).__name__
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()
