"""Scalars: types that are encoded as one text, such as dates with their time zone."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack

from hammerflow.codec.types import EncodeError, NotMade, full_name, int_text, short, whole_text
from hammerflow.errors import NotDecodable

__all__ = ["SCALARS", "Scalar", "read_scalar", "scalar_by_value"]

_US = timedelta(microseconds=1)
#: No dot, so that a key of a row never names a module below the package ``tzdata``.
_ZONE_KEY = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


class Scalar(NamedTuple):
    """A type that is encoded as text."""

    code: int  # of the msgpack extension
    tag: str  # of the JSON object
    write: Callable[[Any], str]
    read: Callable[[str], Any]

    def to_msgpack(self, value: Any) -> Any:
        """The value as a msgpack extension."""
        return msgpack.ExtType(self.code, self.write(value).encode())


def _moment_text(value: datetime | time) -> str:
    zone = value.tzinfo
    key = "" if zone is None else _zone_suffix(value, zone)
    return value.isoformat() + key + ("~" if value.fold else "")


def _zone_suffix(value: datetime | time, zone: tzinfo) -> str:
    """The key of a ZoneInfo, as in RFC 9557, or the name of a fixed offset, which the text has."""
    offset = value.utcoffset()
    if offset is not None and offset.microseconds:  # Python reads back +00:00:00.000001 as UTC
        raise EncodeError("the offset of its time zone must be a whole number of seconds")
    if type(zone) is ZoneInfo:
        key = _zone_text(zone)
        known = ZoneInfo(key)
        if known is not zone and value.replace(tzinfo=known).utcoffset() != offset:
            raise EncodeError(f"its time zone is not the one that {key!r} names here")
        return f"[{key}]"
    if type(zone) is timezone:
        fixed: Any = zone
        _, *name = fixed.__getinitargs__()
        return f"[={whole_text(name[0])}]" if name else ""
    # Only a zone with a fixed offset has one at no time. Its class may differ (pydantic's TzInfo,
    # dateutil's tzoffset): the moment and its offset are all there is.
    if offset is None or zone.utcoffset(None) != offset:
        raise EncodeError(
            f"its time zone, a {full_name(type(zone))}, would be lost except for the offset at "
            "that moment; use zoneinfo.ZoneInfo or a fixed offset"
        )
    return ""


def _moment_reader(kind: type[datetime | time]) -> Callable[[str], datetime | time]:
    parse = kind.fromisoformat

    def read(text: str) -> datetime | time:
        fold = text.endswith("~")
        moment, _, key = text.removesuffix("~").removesuffix("]").partition("[")
        value = parse(moment)
        if key.startswith("="):
            value = value.replace(tzinfo=timezone(value.utcoffset(), key[1:]))  # type: ignore[arg-type]
        elif key:
            value = value.replace(tzinfo=_zone_of(key))
        return value.replace(fold=fold)

    return read


def _zone_text(zone: ZoneInfo) -> str:
    key = zone.key
    if key is None or not _ZONE_KEY.fullmatch(key):
        raise EncodeError(f"a time zone with the key {short(key)} cannot be looked up by its key")
    return key


def _zone_of(key: str) -> ZoneInfo:
    try:
        if _ZONE_KEY.fullmatch(key):
            return ZoneInfo(key)
    except (LookupError, ValueError, OSError):
        pass
    raise NotMade(
        f"the time zone {short(key)} is unknown in this process: install the package tzdata, "
        "in a version that has it"
    )


def _range_text(value: range) -> str:
    return " ".join(map(int_text, (value.start, value.stop, value.step)))


def _fraction_text(value: Fraction) -> str:
    return f"{int_text(value.numerator)}/{int_text(value.denominator)}"


def _scalar(
    code: int, name: str, write: Callable[[Any], str], read: Callable[[str], Any]
) -> Scalar:
    return Scalar(code, "$" + name, write, read)


_PATH_TEXT: Callable[[Any], str] = lambda path: whole_text(str(path))  # noqa: E731
_IP = _scalar(29, "ip", str, ip_address)
_NETWORK = _scalar(30, "network", str, ip_network)
_INTERFACE = _scalar(31, "interface", str, ip_interface)

SCALARS: Mapping[type, Scalar] = {
    int: _scalar(16, "int", int_text, int),  # msgpack: beyond 64 bits
    Decimal: _scalar(17, "decimal", str, Decimal),
    datetime: _scalar(18, "datetime", _moment_text, _moment_reader(datetime)),
    date: _scalar(19, "date", date.isoformat, date.fromisoformat),
    time: _scalar(20, "time", _moment_text, _moment_reader(time)),
    timedelta: _scalar(21, "timedelta", lambda span: str(span // _US), lambda us: int(us) * _US),
    UUID: _scalar(22, "uuid", str, UUID),
    bytearray: _scalar(
        23,
        "bytearray",
        lambda value: base64.b64encode(value).decode(),
        lambda text: bytearray(base64.b64decode(text, validate=True)),
    ),
    complex: _scalar(
        24,
        "complex",
        lambda value: f"{value.real!r} {value.imag!r}",
        lambda text: complex(*map(float, text.split(" "))),
    ),
    Fraction: _scalar(
        25, "fraction", _fraction_text, lambda text: Fraction(*map(int, text.split("/")))
    ),
    type(Path()): _scalar(26, "path", _PATH_TEXT, Path),
    PurePosixPath: _scalar(27, "posixpath", _PATH_TEXT, PurePosixPath),
    PureWindowsPath: _scalar(28, "windowspath", _PATH_TEXT, PureWindowsPath),
    **dict.fromkeys((IPv4Address, IPv6Address), _IP),
    **dict.fromkeys((IPv4Network, IPv6Network), _NETWORK),
    **dict.fromkeys((IPv4Interface, IPv6Interface), _INTERFACE),
    range: _scalar(32, "range", _range_text, lambda text: range(*map(int, text.split(" ")))),
    ZoneInfo: _scalar(33, "zone", _zone_text, _zone_of),
}
SCALAR_OF_CODE = {scalar.code: scalar for scalar in SCALARS.values()}
SCALAR_OF_TAG = {scalar.tag: scalar for scalar in SCALARS.values()}

#: A value of each class that a test's frozen clock replaces by a class of its own.
_SAMPLES = {datetime: datetime(2000, 1, 1), date: date(2000, 1, 1)}  # noqa: DTZ001


def scalar_by_value(kind: type) -> Scalar | None:
    """How a subclass of datetime or date is encoded that takes plain ones for its instances.

    Such a class replaces the plain one in a test, as freezegun's FakeDatetime, and adds nothing.
    """
    for base, sample in _SAMPLES.items():
        if issubclass(kind, base) and isinstance(sample, kind):
            return SCALARS[base]
    return None


def read_scalar(code: int, content: bytes) -> Any:
    """The value of a msgpack extension."""
    if code not in SCALAR_OF_CODE:
        raise NotDecodable(f"msgpack extension {code} is unknown to this version")
    return SCALAR_OF_CODE[code].read(bytes(content).decode())
