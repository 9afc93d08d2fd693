"""Classes: how instances of a user's class are taken apart, and restored without its code.

An object is made by ``__new__`` of ``object`` or ``tuple`` and gets the state that it had.
Constructors, validators and ``__post_init__`` ran when the caller made it; a second run would
change what they have changed already.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial, reduce
from itertools import chain
from operator import or_
from types import FunctionType, MemberDescriptorType
from typing import Any, NamedTuple

from hammerflow.codec.types import (
    ENUM,
    OBJECT,
    EncodeError,
    NotMade,
    TypeTag,
    error_text,
    full_name,
    short,
)
from hammerflow.errors import ConfigError

__all__ = ["Registered", "is_registrable", "registered"]

#: Keys of state other than fields; a field's name never starts with $.
_ATTRIBUTES = "$attributes"  # set on the object, but not fields
_FIELDS_SET, _EXTRA, _PRIVATE = "$set", "$extra", "$private"  # of a pydantic model
#: Left on an object by typing, for ``Box[int](1)``; no part of its value.
_ORIGIN = "__orig_class__"
#: attrs' cache of a hash, which another process must compute again.
_HASH_CACHE = "_attrs_cached_hash"
_IS_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement

Fields = dict[str, Any]
Default = Callable[[], Any]


class Registered(NamedTuple):
    """A class of a user.

    Attributes:
        take: from a member to its name, from an object to its state; raises EncodeError.
        make: the inverse; raises NotMade.
    """

    cls: type
    name: str
    type_tag: TypeTag
    take: Callable[[Any], Any]
    make: Callable[[Any], Any]

    def to_msgpack(self, value: Any) -> list[Any]:
        """The member or object as an array with a tag."""
        taken = self.take(value)
        if self.type_tag is OBJECT:
            return [OBJECT.ext, self.name, *chain.from_iterable(taken.items())]
        return [ENUM.ext, self.name, taken]


def registered(cls: type, name: str) -> Registered:
    """How instances of an Enum, dataclass, attrs class, NamedTuple or pydantic model are encoded.

    Raises:
        ConfigError: the class is of another kind, or has state that cannot be restored.
    """
    if not is_registrable(cls):
        raise ConfigError(
            f"{full_name(cls)} cannot be registered: only an Enum, dataclass, attrs class, "
            "NamedTuple or pydantic 2 model can"
        )
    if issubclass(cls, enum.Enum):
        take, make = (_take_flag, _make_flag) if issubclass(cls, enum.Flag) else (_name, _member)
        return Registered(cls, name, ENUM, partial(take, cls), partial(make, cls))
    shape: _Shape = (_Model if is_model(cls) else _Tuple if issubclass(cls, tuple) else _Record)(
        cls
    )
    return Registered(cls, name, OBJECT, shape.take, shape.make)


def is_registrable(cls: type) -> bool:
    """Whether a class is of a kind that can be registered."""
    return not hasattr(cls, "__mapper__") and (  # SQLAlchemy's objects belong to a session
        issubclass(cls, enum.Enum)
        or dataclasses.is_dataclass(cls)
        or hasattr(cls, "__attrs_attrs__")
        or (issubclass(cls, tuple) and hasattr(cls, "_field_defaults"))
        or is_model(cls)
    )


def is_model(cls: type) -> bool:
    """Whether a class is a pydantic 2 model; works without pydantic."""
    return hasattr(cls, "__pydantic_core_schema__") and hasattr(cls, "model_fields")


def _name(cls: type[enum.Enum], member: enum.Enum) -> str:
    name = member._name_  # what member.name returns, without its descriptor
    if cls._member_map_.get(name) is not member:  # _missing_ may make any object
        raise EncodeError(
            f"this {full_name(cls)} is not a listed member of its class: pass its value"
        )
    return name


def _take_flag(cls: Any, member: Any) -> Any:
    """The names of a flag, and last what has no name."""
    value, members = member._value_, cls.__members__
    bits = {name: each._value_ for name, each in members.items() if each._name_ == name}
    names = [name for name, bit in bits.items() if bit > 0 and not bit & (bit - 1) and value & bit]
    named = reduce(or_, map(bits.__getitem__, names), 0)
    if named != value and member._name_ in members:
        return [member._name_]  # its bits have no names of their own
    return names if named == value else [*names, value & ~named]


def _make_flag(cls: Any, taken: Any) -> Any:
    if type(taken) is not list:
        return _member(cls, taken)
    bits = [_member(cls, part)._value_ if type(part) is str else part for part in taken]
    try:
        return cls(reduce(or_, bits, 0))
    except (TypeError, ValueError):
        raise NotMade(f"{full_name(cls)} has no member with the bits {bits!r:.60}") from None


def _member(cls: type[enum.Enum], name: Any) -> Any:
    found = cls._member_map_.get(name) if type(name) is str else None
    if found is None:
        raise NotMade(
            f"{full_name(cls)} has no member {short(name)} in this process; was it renamed or "
            "removed, or is this code older than the caller's?"
        )
    return found


class _Shape:
    """What the kinds of classes with fields share."""

    def __init__(self, cls: Any, defaults: Mapping[str, Default | None]) -> None:
        self.cls = cls
        self.defaults = defaults  # by field; None if a value is required
        self.name = full_name(cls)
        self.derived = frozenset(_derived(cls))

    def take(self, value: Any) -> Fields:
        """The state of an object, by field."""
        raise NotImplementedError

    def make(self, fields: Fields) -> Any:
        """An object with that state."""
        raise NotImplementedError

    def attributes(self, state: Mapping[str, Any]) -> Fields:
        """What a state holds that is neither a field nor computed from fields."""
        left_out = self.derived
        found = {
            key: item
            for key, item in state.items()
            if key not in self.defaults and key not in left_out
        }
        return {_ATTRIBUTES: found} if found else {}

    def completed(self, fields: Fields) -> Fields:
        """All fields, in their order; ``fields`` keeps what is none of them."""
        return {
            name: fields.pop(name) if name in fields else self.default(name)
            for name in self.defaults
        }

    def default(self, name: str) -> Any:
        """The value of a field that the caller's class did not have."""
        make = self.defaults[name]
        if make is None:
            raise self.not_made(
                f"the value of a {self.name} was stored without its field {name!r}, which has no "
                "default"
            )
        try:
            return make()
        except Exception as error:
            raise self.not_made(
                f"the default of {self.name}.{name} failed: {error_text(error)}"
            ) from error

    def no_value(self, field: str) -> EncodeError:
        """The error for an object that lacks a field."""
        return EncodeError(f"{self.name} cannot be encoded: its field {field!r} has no value")

    def not_made(self, reason: str) -> NotMade:
        """The error for a state that does not fit the class."""
        return NotMade(f"{reason}; does this process run other code than the caller?")

    def refuse_unknown(self, left: Fields) -> None:
        """Raise NotMade if a stored field is unknown here."""
        for name in left:
            raise self.not_made(f"{self.name} has no field {short(name)}")


class _Record(_Shape):
    """A dataclass or an attrs class: its state is in ``__dict__`` and slots."""

    def __init__(self, cls: Any) -> None:
        is_attrs = hasattr(cls, "__attrs_attrs__")
        found = _attrs_defaults(cls) if is_attrs else _dataclass_defaults(cls)
        # A field behind a property has its value under another name, which is in the state.
        super().__init__(
            cls, {name: make for name, make in found.items() if not _is_property(cls, name)}
        )
        for base in cls.__mro__[:-1]:
            if not base.__flags__ & _IS_HEAP_TYPE:
                raise ConfigError(
                    f"{self.name} cannot be registered: it is a {base.__name__}, too, whose own "
                    "state cannot be restored"
                )

    def take(self, value: Any) -> Fields:
        """The fields, then what else is set on the object."""
        state = _state_of(value)
        if state.keys() == self.defaults.keys():
            return state
        fields = {}
        for name in self.defaults:
            try:
                fields[name] = state[name] if name in state else getattr(value, name)
            except AttributeError:
                raise self.no_value(name) from None
        return fields | self.attributes(state)

    def make(self, fields: Fields) -> Any:
        """An object with these fields and attributes."""
        value = object.__new__(self.cls)
        attributes = fields.pop(_ATTRIBUTES, {})
        for name, item in self.completed(fields).items():
            object.__setattr__(value, name, item)
        self.refuse_unknown(fields)
        _set_attributes(value, attributes)
        return value


class _Tuple(_Shape):
    """A NamedTuple."""

    def __init__(self, cls: Any) -> None:
        defaults = cls._field_defaults
        super().__init__(
            cls,
            {
                name: partial(defaults.get, name) if name in defaults else None
                for name in cls._fields
            },
        )

    def take(self, value: Any) -> Fields:
        """The fields, then what else is set on the object."""
        fields = dict(zip(self.defaults, tuple(value), strict=True))
        return fields | self.attributes(getattr(value, "__dict__", {}))

    def make(self, fields: Fields) -> Any:
        """A tuple of these fields."""
        attributes = fields.pop(_ATTRIBUTES, {})
        value = tuple.__new__(self.cls, self.completed(fields).values())
        self.refuse_unknown(fields)
        _set_attributes(value, attributes)
        return value


class _Model(_Shape):
    """A pydantic 2 model: fields, which of them were set, extra and private values."""

    def __init__(self, cls: Any) -> None:
        super().__init__(
            cls,
            {
                name: None if field.is_required() else partial(_model_default, field)
                for name, field in cls.model_fields.items()
            },
        )

    def take(self, value: Any) -> Fields:
        """Fields and attributes, then the rest under keys that start with ``$``."""
        state = value.__dict__
        if state.keys() == self.defaults.keys():
            fields = {**state}
        else:
            for name in self.defaults:
                if name not in state:
                    raise self.no_value(name)
            fields = {name: state[name] for name in self.defaults} | self.attributes(state)
        extra = value.__pydantic_extra__ or {}
        is_set = value.__pydantic_fields_set__
        if is_set != {*self.defaults, *extra}:
            fields[_FIELDS_SET] = sorted(is_set)
        if extra:
            fields[_EXTRA] = dict(extra)
        if private := value.__pydantic_private__:
            fields[_PRIVATE] = dict(private)
        return fields

    def make(self, fields: Fields) -> Any:
        """A model with that state; nothing is validated."""
        cls = self.cls
        attributes, extra = fields.pop(_ATTRIBUTES, {}), fields.pop(_EXTRA, {})
        private = fields.pop(_PRIVATE, {})
        is_set = {*fields.pop(_FIELDS_SET, (*fields, *extra))}
        state = self.completed(fields)
        self.refuse_unknown(fields)
        allows_extra = cls.model_config.get("extra") == "allow"
        if not allows_extra:
            self.refuse_unknown(extra)
        value = object.__new__(cls)
        for name, item in {
            "__dict__": state | attributes,
            "__pydantic_fields_set__": is_set,
            "__pydantic_extra__": {**extra} if allows_extra else None,
            "__pydantic_private__": self._private(private),
        }.items():
            object.__setattr__(value, name, item)
        return value

    def _private(self, stored: Fields) -> Fields | None:
        known = self.cls.__private_attributes__
        for name in stored:
            if name not in known:
                raise self.not_made(f"{self.name} has no private attribute {short(name)}")
        if not known:
            return None
        made = {name: attribute.get_default() for name, attribute in known.items()}
        return {
            name: item
            for name, item in {**made, **stored}.items()
            if type(item).__name__ != "PydanticUndefinedType"
        }


def _dataclass_defaults(cls: Any) -> dict[str, Default | None]:
    found: dict[str, Default | None] = {}
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            found[field.name] = partial(_itself, field.default)
        else:
            factory: Any = field.default_factory
            found[field.name] = None if factory is dataclasses.MISSING else factory
    return found


def _attrs_defaults(cls: Any) -> dict[str, Default | None]:
    nothing = sys.modules["attr"].NOTHING
    found: dict[str, Default | None] = {}
    for field in cls.__attrs_attrs__:
        factory = getattr(field.default, "factory", None)
        is_required = field.default is nothing or getattr(field.default, "takes_self", False)
        found[field.name] = None if is_required else factory or partial(_itself, field.default)
    return found


def _model_default(field: Any) -> Any:
    return field.get_default(call_default_factory=True)


def _itself(value: Any) -> Any:
    return value


def _is_property(cls: type, name: str) -> bool:
    found = inspect.getattr_static(cls, name, None)
    return hasattr(type(found), "__set__") and not isinstance(found, MemberDescriptorType)


def _derived(cls: type) -> Iterable[str]:
    """Names of attributes that are computed again where they are missing: cached properties."""
    yield _ORIGIN
    for base in cls.__mro__:
        for name, found in vars(base).items():
            kind = type(found)
            is_method = isinstance(found, FunctionType | classmethod | staticmethod)
            if hasattr(kind, "__get__") and not hasattr(kind, "__set__") and not is_method:
                yield name


def _state_of(value: Any) -> Fields:
    """What ``__dict__`` and slots of an object hold, whatever its class has for pickle."""
    state = object.__getstate__(value)
    in_dict, in_slots = state if isinstance(state, tuple) else (state, None)
    whole: Fields = {**(in_dict or {}), **(in_slots or {})}
    if _HASH_CACHE in whole:
        whole[_HASH_CACHE] = None
    return whole


def _set_attributes(value: Any, attributes: Fields) -> None:
    cls = type(value)
    for name, item in attributes.items():
        if isinstance(inspect.getattr_static(cls, name, None), MemberDescriptorType):
            object.__setattr__(value, name, item)
        elif hasattr(value, "__dict__"):
            value.__dict__[name] = item
        else:
            raise NotMade(f"{full_name(cls)} has no attribute {short(name)}")
