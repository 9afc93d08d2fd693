"""How many children a worker has, and how that is changed by hand while it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.text import counted
from hammerflow.worker.limits import cannot_hold, raise_open_files
from hammerflow.worker.logs import facts
from hammerflow.worker.memory import available_bytes
from hammerflow.worker.options import WORKER_OPTIONS, ChildRange
from hammerflow.worker.supervisor.child_group import Group
from hammerflow.worker.supervisor.child_lifecycle import ChildLifecycle
from hammerflow.worker.supervisor.child_sizer import ChildSizer, memory_room

__all__ = ["PoolSize", "changed_range"]

log = logging.getLogger("hammerflow.pool")

_CHILDREN = WORKER_OPTIONS.by_name["children"].check


def changed_range(limits: ChildRange, change: Mapping[str, Any]) -> ChildRange:
    """A range after a change by hand.

    A fixed number grows or shrinks. Of a range it is the second number that does, and the first one
    follows where it would be larger.

    Args:
        change: ``{"grow": 2}``, ``{"shrink": 2}``, or ``{"set": "2:16"}`` with what ``-c`` takes.

    Raises:
        ConfigError: the new range is none.
    """
    (how, value) = next(iter(change.items()))
    least, most = limits
    if how == "set":
        return ChildRange.of(_CHILDREN.from_text(str(value), "the number of children"))
    new = most + int(value) * (1 if how == "grow" else -1)
    if new < 1:
        fewer = f"shrink it by {most - 1} at most" if most > 1 else "it cannot shrink"
        raise ConfigError(
            f"the worker has {_shown(limits)} and keeps at least one: {fewer}, or end it with "
            "hammerflow worker stop"
        )
    least = new if limits.is_fixed else min(least, new)
    return ChildRange.of(_CHILDREN(ChildRange(least, new).to_plain(), "the number of children"))


class PoolSize:
    """The sizes of the groups of one pool. Callers hold its lock.

    Attributes:
        limits: children of a kind, at least and at most.
        sizers: of the groups, where these differ.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        children: ChildLifecycle,
        limits: ChildRange,
        cooldown: float,
        available: Callable[[], float] = available_bytes,
    ) -> None:
        self._groups = groups
        self._children = children
        self._cooldown = cooldown
        self._available = available
        self._use(limits)

    @property
    def size(self) -> int:
        """How many children of a kind there should be now."""
        return max(group.wanted for group in self._groups)

    def change(self, change: Mapping[str, Any], by: str, now: float) -> dict[str, Any]:
        """Change the number of children, up to what memory is left for.

        Children beyond the new number get no more jobs, and end once those that they run have
        ended; what they have not started goes to others.

        Args:
            change: as in :func:`changed_range`.
            by: who has asked.

        Returns:
            ``before`` and ``children`` of a kind, ``kinds``, the range as ``least`` and ``most``,
            the number that was ``asked`` for, and how many children are ``ending`` their jobs.

        Raises:
            ConfigError: the range is none, or this host cannot have as many.
        """
        used = [group for group in self._groups if group.wanted]
        limits, before = changed_range(self.limits, change), self.size
        raise_open_files(2 * limits.most)
        if limits.most > self.limits.most and (why := cannot_hold(limits.most * len(used))):
            raise ConfigError(why)
        asked = min(max(before, limits.least), limits.most)
        count = asked if asked <= before else self._affordable(used, before, asked)
        least = min(limits.least, count)
        self._use(ChildRange(least, least if limits.is_fixed else limits.most))
        for group in used:
            group.wanted = min(max(group.wanted, least), self.limits.most)
            group.retire_surplus(now, with_busy=True)
            group.has_room.notify_all()
        log.info(
            "%s has set the children of this worker: %s", by, _shown(self.limits),
            extra=facts(children=count),
        )  # fmt: skip
        ending = sum(c.is_retiring and c.is_busy for group in used for c in group.children)
        return {
            "before": before, "children": count, "kinds": len(used), "least": self.limits.least,
            "most": self.limits.most, "asked": asked, "ending": ending,
        }  # fmt: skip

    def _use(self, limits: ChildRange) -> None:
        self.limits = limits
        self._children.wanted = limits.least
        self.sizers = [
            ChildSizer(group, limits, self._cooldown, self._available)
            for group in (() if limits.is_fixed else self._groups)
        ]
        for group in self._groups:
            group.spare = 0

    def _affordable(self, groups: Sequence[Group], before: int, asked: int) -> int:
        """The most children of a kind, up to ``asked``, that memory is left for."""
        room = memory_room([c for g in groups for c in g.children], self._available)
        count = asked  # each group that has fewer gets as many
        while count > before and sum(max(0, count - g.wanted) for g in groups) > room.children:
            count -= 1
        if count == before:
            raise ConfigError(f"no memory is left for more children: {room.says}")
        return count


def _shown(limits: ChildRange) -> str:
    if limits.is_fixed:
        return counted(limits.least, "child", "children")
    return f"{limits.least} to {limits.most} children with its load"
