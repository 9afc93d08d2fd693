"""What a decoded value must have in common with the one that was encoded: all of it."""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import datetime, time
from decimal import Decimal
from pathlib import PurePath
from typing import Any


def exactly(value: Any) -> Any:
    """A value with its type, all the way down, in a form that compares as we mean it."""
    kind = type(value).__qualname__
    match value:
        case enum.Enum():
            return kind, repr(value)
        case float() | Decimal() | complex() | PurePath() | range():
            return kind, repr(value)
        case datetime() | time():
            zone = value.tzinfo
            shown = value.replace(tzinfo=None, fold=0).isoformat()
            return kind, shown, value.utcoffset(), getattr(zone, "key", repr(zone)), value.fold
        case deque():
            return kind, value.maxlen, [exactly(item) for item in value]
        case list() | tuple():
            return kind, [exactly(item) for item in value], _state(getattr(value, "__dict__", {}))
        case set() | frozenset():
            return kind, sorted(repr(exactly(item)) for item in value)
        case defaultdict():
            return kind, value.default_factory, _pairs(value)
        case dict() | OrderedDict() | Counter():
            return kind, _pairs(value)
        case _:
            is_ours = type(value).__module__.startswith("tests.")
            return kind, _state(object.__getstate__(value)) if is_ours else value


def _state(state: Any) -> Any:
    """What is set on an object, in whatever order."""
    parts = state if isinstance(state, tuple) else (state,)
    return [sorted((key, repr(exactly(x))) for key, x in (part or {}).items()) for part in parts]


def _pairs(value: dict[Any, Any]) -> Any:
    return [(exactly(key), exactly(item)) for key, item in value.items()]
