"""Text: checked names, messages that every database can store, and text that is safe to print."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeVar

from hammerflow.errors import ConfigError

__all__ = [
    "NAME", "REASON", "TRACE", "checked_name", "counted", "counts_text", "either", "host_name",
    "one_line", "placed", "plain_text", "safe_repr", "storable", "timestamp", "user_at_host",
    "visible", "visible_lines",
]  # fmt: skip

E = TypeVar("E", bound=Exception)

#: Most characters of a note in a table.
_WIDEST_NOTE: Final = 80
#: Most characters of a name or key.
NAME: Final = 255

#: Most characters kept of a reason or note; MySQL's TEXT holds 65 535 bytes, 4 for a character.
REASON: Final = 16_000
#: Most characters kept of a message or traceback.
TRACE: Final = 200_000

#: Characters that a terminal obeys or that nobody sees: C0, DEL, C1, soft hyphen, bidi controls
#: (https://unicode.org/reports/tr9), zero-width ones but the joiners of emoji and Persian, line
#: separators, lone surrogates, annotations and tags.
_HIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_BRACKETS: Final[dict[type, Sequence[str]]] = {
    list: "[]", tuple: "()", set: "{}", frozenset: ("frozenset({", "})"), dict: "{}",
}  # fmt: skip
_DEEPEST: Final = 100  # levels of containers that are shown, as many as the codec takes


def plain_text(value: Any) -> str | None:
    """The text itself; of a subclass, such as a member of a StrEnum, its plain value; None for
    anything else."""
    if type(value) is str:
        return value
    return str.__str__(value) if issubclass(type(value), str) else None


def checked_name(value: str, what: str) -> str:
    """The value itself, if it can be a name or key in every database.

    It has 1 to 255 printable characters, so no NUL or lone surrogate; ``what`` names it in errors.
    """
    plain = plain_text(value)
    if plain is None or not 0 < len(plain) <= NAME or not plain.isprintable():
        shown = safe_repr(value)
        raise ConfigError(f"{what} must have 1 to {NAME} printable characters, not {shown}")
    return plain


def storable(text: str, most: int = REASON) -> str:
    """The text in a form that every database accepts, cut in its middle to ``most`` characters.

    PostgreSQL refuses NUL, and UTF-8 has no lone surrogates. One such text would roll back the
    transaction of all jobs that are settled with it, at each retry.
    """
    if not text.isascii():
        text = text.encode(errors="backslashreplace").decode()
    text = text.replace("\0", "\\0")
    if len(text) <= most:
        return text
    kept = most - 50  # room for the words below
    head = kept // 3
    left_out = f"\n... {len(text) - kept} characters left out ...\n"
    return text[:head] + left_out + text[head - kept :]


def host_name() -> str:
    """The name of this host, in a form that every database accepts, whatever its bytes are."""
    return storable(socket.gethostname(), NAME) or "unnamed"


def user_at_host() -> str:
    """Who runs this process: ``user@host``."""
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "someone"
    return f"{storable(user, NAME)}@{host_name()}"


def visible(text: str) -> str:
    r"""The text on one line, characters that a terminal obeys or hides shown as ``\x1b``.

    Every text that comes from a row or a user passes here, or through :func:`visible_lines`, before
    it reaches a terminal or a line of a log: ESC, BEL and bidi overrides could else make the
    terminal of an operator obey whoever sent the job.
    """
    return text if text.isprintable() else _HIDDEN.sub(_escaped, text)


def visible_lines(text: str) -> str:
    """The same for a text whose lines are kept, as a traceback's; the caller indents them."""
    if text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(visible(line.expandtabs(4)) for line in lines)


def timestamp(instant: datetime) -> str:
    """The one form in which an instant is written: ``2026-11-26T02:08:03.123+01:00``.

    That is ISO 8601 with milliseconds and the offset from UTC. What people read is in their zone,
    JSON in UTC: the caller chooses by ``astimezone``.
    """
    return instant.isoformat(timespec="milliseconds")


def placed(error: E, place: str) -> E:
    """An error of one call among many with the place of that call.

    Args:
        error: one that takes its text as its only argument.
        place: such as ``"group[3]"``.
    """
    return type(error)(f"{place}: {error}")


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number of things, such as "1 job" and "2 jobs".

    Args:
        plural: where it is not the noun and an s.
    """
    return f"1 {noun}" if count == 1 else f"{count:,} {plural or noun + 's'}"


def either(names: Sequence[str]) -> str:
    """A choice of names, such as "a", "a or b" and "a, b or c"."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def safe_repr(value: object, most: int = 80) -> str:
    """``repr(value)`` on one line, cut to ``most`` characters; it never raises.

    A value whose ``__repr__`` raises or returns no text is ``‹Order: repr failed›``. Of large
    texts and containers only the part that is shown is formatted.
    """
    text = visible(_repr(value, most, ())[: most + 1])
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _repr(value: Any, most: int, inside: tuple[int, ...]) -> str:
    """``inside`` has the ids of the containers around the value."""
    cls = type(value)
    try:
        if cls is str or cls is bytes or cls is bytearray:
            return repr(value[: most + 1])
        if cls not in _BRACKETS or not value:
            return repr(value)
        opening, closing = _BRACKETS[cls]
        if id(value) in inside or len(inside) == _DEEPEST:
            return f"{opening}...{closing}"
        comma = "," if cls is tuple and len(value) == 1 else ""
        parts = ", ".join(_parts(value, most, (*inside, id(value))))
        return f"{opening}{parts}{comma}{closing}"
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a border: the user's __repr__ runs, and may sys.exit()
        return f"‹{_name(cls)}: repr failed›"


def _name(cls: type) -> str:
    name: str = type.__dict__["__name__"].__get__(cls)  # a metaclass may have another __name__
    return name


def _parts(value: Iterable[Any], most: int, inside: tuple[int, ...]) -> Iterator[str]:
    """The elements of a container until they have more than ``most`` characters."""
    left = most
    for key in islice(value, most + 1):
        part = _repr(key, left, inside)
        if isinstance(value, dict):
            part += f": {_repr(value[key], left, inside)}"
        yield part
        left -= len(part)
        if left < 0:  # the text is longer than is shown already
            return


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def counts_text(counts: Mapping[str, int]) -> str:
    """``5 completed, 1 failed``."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def one_line(*parts: str | None) -> str:
    """The parts that are not empty, joined by commas and cut to the width of a table's note."""
    line = " ".join(", ".join(filter(None, parts)).split())
    return line if len(line) <= _WIDEST_NOTE else f"{line[: _WIDEST_NOTE - 3]}..."
