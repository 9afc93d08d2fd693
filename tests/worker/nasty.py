"""Exceptions of users who mean no harm or much: their classes run code wherever one looks.

They are used as ``nasty.RAISED[name]``; pytest looks at names that a test module imports itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hammerflow import Cancel, Retry, Snooze
from hammerflow.jobs.outcome import Cancelled, Failed, Retrying, Snoozed

__all__ = ["RAISED"]


class MuteRetry(Retry):
    def __init__(self) -> None: ...


class MuteSnooze(Snooze):
    def __init__(self) -> None: ...


class BadCancel(Cancel):
    def __str__(self) -> str:
        raise SystemExit(3)


class Unspeakable:
    def __repr__(self) -> str:
        raise KeyboardInterrupt


class LateRetry(Retry):
    @property
    def after(self) -> Any:
        raise SystemExit(4)

    @after.setter
    def after(self, value: Any) -> None: ...


class Exits(Exception):
    def __str__(self) -> str:
        raise SystemExit(5)


class Slippery(str):
    """A text whose methods the worker must not trust."""

    def isascii(self) -> bool:
        raise SystemExit(6)

    encode = replace = __format__ = isascii  # type: ignore[assignment]


class Slips(Exception):
    def __str__(self) -> str:
        return Slippery("slips")


class Closed(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(7)


class Liar(Exception):
    @property
    def __class__(self) -> Any:
        return Retry

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


class Strict(type):
    """Of classes that answer no question."""

    def __getattribute__(cls, name: str) -> Any:
        raise SystemExit(8)

    def __instancecheck__(cls, instance: object) -> bool:
        raise SystemExit(9)

    def __eq__(cls, other: object) -> bool:
        raise SystemExit(10)

    __hash__ = type.__hash__


class Opaque(Exception, metaclass=Strict): ...


class BadNotes(Exception):
    @property
    def __notes__(self) -> Any:
        raise SystemExit(11)


class BadTraceback(Exception):
    @property
    def __traceback__(self) -> Any:
        raise SystemExit(12)

    @property
    def __cause__(self) -> Any:
        raise SystemExit(13)


class OwnCancelled(asyncio.CancelledError): ...


class Anything(BaseException): ...


def circle() -> BaseException:
    first, second = Retry("first"), Retry("second")
    first.__cause__, second.__cause__ = second, first
    return first


#: What a body raises, what becomes of it at the first of three attempts, and the class it names.
RAISED: dict[str, tuple[Callable[[], BaseException], type[Any], str]] = {
    "mute retry": (MuteRetry, Retrying, "MuteRetry"),
    "mute snooze": (MuteSnooze, Failed, "MuteSnooze"),
    "cancel without a text": (BadCancel, Cancelled, ""),
    "retry with a property": (LateRetry, Failed, "LateRetry"),
    "retry soon": (lambda: Retry(after="soon"), Failed, "Retry"),  # type: ignore[arg-type]
    "retry after anything": (
        lambda: Retry(after=Unspeakable()), Failed, "Retry",  # type: ignore[arg-type]
    ),
    "snooze for NaN": (lambda: Snooze(float("nan")), Failed, "Snooze"),
    "snooze for True": (lambda: Snooze(True), Failed, "Snooze"),
    "snooze": (lambda: Snooze(2), Snoozed, ""),
    "circle of causes": (circle, Retrying, "Retry"),
    "exits in str": (Exits, Retrying, "Exits"),
    "own kind of str": (Slips, Retrying, "Slips"),
    "own kind of reason": (lambda: Retry(Slippery("r"), after=1), Retrying, "Retry"),
    "closed": (Closed, Retrying, "Closed"),
    "liar": (Liar, Retrying, "Liar"),
    "opaque": (Opaque, Retrying, "Opaque"),
    "bad notes": (BadNotes, Retrying, "BadNotes"),
    "bad traceback": (BadTraceback, Retrying, "BadTraceback"),
    "own kind of cancel": (OwnCancelled, Retrying, "OwnCancelled"),
    "any base": (Anything, Retrying, "Anything"),
    "generator exit": (GeneratorExit, Retrying, "GeneratorExit"),
    "group": (lambda: BaseExceptionGroup("g", [Exits(), Anything()]), Retrying, "BaseExceptionGroup"),  # noqa: E501
    "system exit": (lambda: SystemExit(Unspeakable()), Retrying, "SystemExit"),
}  # fmt: skip
