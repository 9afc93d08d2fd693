"""Order: which schedules come after which, and the circle in which none could ever run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hammerflow.errors import ConfigError

__all__ = ["circle_of", "refuse_circle"]


def circle_of(name: str, after: Mapping[str, str | None]) -> Sequence[str]:
    """The schedules of the circle that a schedule is part of, from the schedule on; empty if it is
    part of none.

    Args:
        after: of each schedule the one that it comes after.
    """
    found: list[str] = []
    at: str | None = name
    while at is not None and at not in found:
        found.append(at)
        at = after.get(at)
    return found if at == name else ()


def refuse_circle(name: str, after: Mapping[str, str | None]) -> None:
    """Raise ConfigError if a schedule is part of a circle."""
    if found := circle_of(name, after):
        raise ConfigError(f"schedule {name}: it cannot come after itself{_by_way_of(found[1:])}")


def _by_way_of(others: Sequence[str]) -> str:
    return f" ({' after '.join([*others, '...'])})" if others else ""
