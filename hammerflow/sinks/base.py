"""Sink: what a kind of sink implements, and the messages that it gets."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable
from urllib.parse import SplitResult, urlsplit

from hammerflow.errors import ConfigError, HammerflowError
from hammerflow.events.event import Event
from hammerflow.jobs.job import NewJob
from hammerflow.options.checks import Unfit, ValueCheck
from hammerflow.options.option import OptionTable

__all__ = [
    "HEADERS", "Message", "PositionKeeper", "Refused", "Report", "Sink", "SinkError", "split_url",
]  # fmt: skip


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise Unfit
    found = {str(name): str(one) for name, one in value.items()}
    if any(not name or not (name + one).isprintable() for name, one in found.items()):
        raise Unfit
    return found


#: Headers of requests or messages; on the command line a JSON object.
HEADERS = ValueCheck(
    "Mapping[str, str]", "a mapping of printable names and values", _headers, parse=json.loads
)


class SinkError(HammerflowError):
    """A sink cannot take events now; they are sent again later."""


class Refused(HammerflowError):
    """A sink will never take this message; raised by an ``encode=`` function, too."""


def split_url(name: str, url: str, schemes: Sequence[str]) -> SplitResult:
    """The parts of the URL of a sink.

    Args:
        name: of the sink.
        schemes: with which it may begin.

    Raises:
        ConfigError: it cannot be read; the message has nothing of it, as it may hold a password.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        _ = parts.port  # raises an error that quotes it, and it may be a part of the password
        if parts.scheme in schemes:
            return parts
        *others, last = [f"{scheme}://" for scheme in schemes]
        known = f"{', '.join(others)} or {last}"
        raise ConfigError(f"the url of the sink {name} must begin with {known}")
    raise ConfigError(
        f"the url of the sink {name} cannot be read: a special character in its user or password "
        "must be percent-encoded (@ is %40, / is %2F, % is %25)"
    )


class Message(NamedTuple):
    """One event, encoded for a sink.

    Attributes:
        event: what was encoded.
        id: the same at every delivery, for receivers that drop what they know.
        key: messages of one key are to stay in order.
        body: the event as JSON of CloudEvents, or its data alone, or what ``encode=`` has made.
        content_type: the media type of the body.
        attributes: the attributes of CloudEvents, for transports with headers.
    """

    event: Event
    id: str
    key: str
    body: bytes
    content_type: str
    attributes: Mapping[str, str]

    @property
    def position(self) -> int:
        """The number of the event in the log."""
        return self.event.position


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a batch. What is neither delivered nor refused is sent again.

    Attributes:
        delivered: positions of the messages that the other side has acknowledged.
        refused: positions of those that it will never take, with the reason.
        error: why the others were not delivered; empty if there are none.
        jobs: by the position of a delivered message, the jobs that it causes: inserted by the
            transaction that moves the sink's cursor behind it (see ``hammerflow.sinks.jobs``).
    """

    delivered: frozenset[int]
    refused: Mapping[int, str] = field(default_factory=dict)
    error: str = ""
    jobs: Mapping[int, Sequence[NewJob]] = field(default_factory=dict)

    @classmethod
    def all(cls, messages: Sequence[Message]) -> Report:
        """Everything was delivered."""
        return cls(frozenset(message.position for message in messages))


class Sink(Protocol):
    """One connection to whoever gets the events; made, used and closed by one thread.

    The constructor gets the options of OPTIONS, checked, with secrets in plain text; it connects
    nothing.

    Attributes:
        OPTIONS: what the kind takes besides the options of all sinks.
        SECRETS: names of options that are never printed; URLs among the others are shown without
            their passwords.
    """

    OPTIONS: ClassVar[OptionTable]
    SECRETS: ClassVar[frozenset[str]]

    def __init__(self, name: str, options: Mapping[str, Any]) -> None: ...

    def open(self) -> None:
        """Connect; called before the first batch, and again after an error and :meth:`close`.

        Raises:
            SinkError: it cannot connect now; tried again later. So is any other exception.
        """

    def send(self, messages: Sequence[Message]) -> Report:
        """Deliver a batch, in order, and wait for the acknowledgement.

        Returns once nothing of the batch is on its way any more, within a minute: whoever holds the
        sink must show that it lives.

        Raises:
            SinkError: nothing is known to be delivered; all of it is sent again. So is any other
                exception.
        """

    def close(self) -> None:
        """Close the connection, whatever its state; never raises."""


@runtime_checkable
class PositionKeeper(Protocol):
    """A sink whose other side knows how far it is: what it has lost is noticed."""

    def last_position(self) -> int:
        """The last position that the other side had when the sink was opened."""
