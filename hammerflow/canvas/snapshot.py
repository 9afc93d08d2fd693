"""Snapshot: what a call was given, kept from changes that its caller makes before it is sent."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

__all__ = ["snapshot", "snapshot_of_args", "snapshot_of_kwargs"]

#: Types whose values never change; most arguments have one of them.
_FIXED = frozenset({
    int, str, float, bool, NoneType, bytes, complex, range, date, datetime, time, timedelta,
    Decimal, UUID,
})  # fmt: skip


def snapshot_of_args(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """A snapshot of positional arguments; the same tuple if none of them can change."""
    try:
        return args if _FIXED.issuperset(map(type, args)) else tuple(map(snapshot, args))
    except (Exception, SystemExit):  # noqa: BLE001 - a border: a metaclass defines how to hash
        return tuple(map(snapshot, args))


def snapshot_of_kwargs(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A snapshot of keyword arguments."""
    return dict(zip(kwargs, snapshot_of_args((*kwargs.values(),)), strict=True))


def snapshot(value: Any) -> Any:
    """A copy of a value that can change, with all that is in it; else the value itself.

    A value that cannot be copied is returned as it is: the codec says what is wrong with it.
    """
    try:
        return _copy(value)
    except (Exception, SystemExit):  # noqa: BLE001 - a border: classes define how they are copied
        return value


def _copy(value: Any) -> Any:
    """Containers without further containers take one call of C code, unlike in ``deepcopy``."""
    kind = type(value)
    if kind in _FIXED:
        return value
    if kind is list or kind is tuple:
        if _FIXED.issuperset(map(type, value)):
            return kind(value)
        return kind([_copy(item) for item in value])
    if kind is dict:
        if _FIXED.issuperset(map(type, value.values())):
            return value.copy()
        return {key: _copy(item) for key, item in value.items()}
    return copy.deepcopy(value)
