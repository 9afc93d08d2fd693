"""Retention: the policy in the database, and the walk that removes ended jobs by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from hammerflow.ids import first_id_at, name_id
from hammerflow.jobs.retention import (
    Lifetimes,
    PurgeFilter,
    RetentionPolicy,
    lifetimes_of,
    lifetimes_text,
)
from hammerflow.stores.database import Database
from hammerflow.stores.ended_groups import EndedGroups
from hammerflow.stores.names import NameTable
from hammerflow.stores.transitions.removal import (
    Member,
    RemovalGroup,
    parts_of,
    removable,
    remove_groups,
)

__all__ = ["DeclaredLifetimes", "Progress", "Retention", "Walk"]

#: Ended jobs that are read at once, and rows of jobs that one transaction removes.
_PAGE, _CHUNK = 2_000, 1_000
#: Roots and workflows that a walk remembers; those that it forgets are examined again.
_REMEMBERED = 100_000
#: Ids of one day from now on and later are not made by a clock: users gave them.
_DAY = 86_400.0
_FIRST, _LAST = bytes(16), b"\xff" * 16


class DeclaredLifetimes(NamedTuple):
    """Lifetimes that are written in the database."""

    kind: str  # queue or task
    name: str
    lifetimes: Lifetimes


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the removal of ended jobs is.

    Attributes:
        due_in: seconds until the next page is due.
        position: the id of the last job that the walk under way has read; None between two walks.
        removed: jobs, since the database was made.
        walked_at: when a walk last came to the end of all ended jobs.
    """

    due_in: float
    position: bytes | None
    removed: int
    walked_at: datetime | None


@dataclass(slots=True)
class Walk:
    """One pass over all ended jobs, in the order of their ids, a page at a time.

    Attributes:
        position: the last id that was read.
        is_over: there is nothing left to read.
        removed: jobs.
        kept: roots and workflows that need not be examined again: they stay.
        is_trial: nothing is removed.
    """

    position: bytes = _FIRST
    is_over: bool = False
    removed: int = 0
    kept: set[bytes] = field(default_factory=set)
    is_trial: bool = False


class Retention:
    """Removes ended jobs whose time is over, in whole groups that nothing else needs.

    It walks along the primary key of ``done``, so the end of a job pays for no index. An id begins
    with the time at which it was made; what is younger than the shortest lifetime is not read.
    """

    def __init__(self, database: Database, names: NameTable) -> None:
        self._database = database
        self._names = names

    def policy(self, default: Lifetimes) -> RetentionPolicy:
        """The policy that holds now; ``default`` is of the settings."""
        found: dict[str, dict[int, Lifetimes]] = {"queue": {}, "task": {}}
        for kind, number, _, text in self._database.rows("retention_policies"):
            found[kind][number] = lifetimes_of(text)
        return RetentionPolicy(default, found["task"], found["queue"])

    def declared(self) -> Sequence[DeclaredLifetimes]:
        """The lifetimes of queues and tasks, by name."""
        rows = self._database.rows("retention_policies")
        found = [DeclaredLifetimes(kind, name, lifetimes_of(text)) for kind, _, name, text in rows]
        return sorted(found, key=lambda each: each[:2])

    def keep_queue(self, name: str, lifetimes: Lifetimes) -> None:
        """Set the lifetimes of a queue, for all workers from their next page on; none resets it."""
        self._names.register(queues=[name])
        text = lifetimes_text(lifetimes) if lifetimes else None
        self._database.run("queue_keep", id=name_id(name), retention=text)

    def keep_tasks(self, lifetimes: Mapping[str, Lifetimes]) -> None:
        """Write the lifetimes of tasks that differ from what is written."""
        rows = self._database.rows("retention_policies")
        written = {number: text for kind, number, _, text in rows if kind == "task"}
        for name, each in sorted(lifetimes.items()):
            if written.get(name_id(name)) != (text := lifetimes_text(each)):
                self._database.run("task_keep", id=name_id(name), retention=text)

    def take_turn(self, hold: float) -> bool:
        """Whether this process is to do the next page; it has ``hold`` seconds for it."""
        if self._database.run("retention_take", hold=hold):
            return True
        if self.progress() is None:  # the first worker of all
            self._database.run("retention_begin")
        return False

    def end_turn(self, walk: Walk, removed: int, pause: float) -> None:
        """Note what a turn has done, and when the next one is due."""
        self._database.run(
            "retention_note", pause=pause, position=None if walk.is_over else walk.position,
            removed=removed, is_over=int(walk.is_over),
        )  # fmt: skip

    def progress(self) -> Progress | None:
        """How far the removal is; None where it has never begun."""
        row = self._database.first("retention_state")
        if row is None:
            return None
        due_in, position, removed, walked_at = row
        instant = self._database.dialect.instant
        return Progress(float(due_in), position, removed, instant(walked_at))

    def step(self, walk: Walk, policy: RetentionPolicy | PurgeFilter) -> int:
        """Read the next page of a walk and remove what is due in it; how many jobs.

        A walk that is a trial counts what may be removed, and removes nothing.
        """
        if (shortest := policy.shortest) is None:
            walk.is_over = True
            return 0
        clock = float(self._database.column("clock")[0])
        young, given = first_id_at(clock - shortest), first_id_at(clock + _DAY)
        before = young if walk.position < young else _LAST
        rows = self._database.rows("ended_page", after=walk.position, before=before, n=_PAGE)
        removed = self._remove_due([Member(*row) for row in rows], walk, policy)
        walk.position = rows[-1][0] if len(rows) == _PAGE else given
        walk.is_over = len(rows) < _PAGE and before == _LAST
        walk.removed += removed
        return removed

    def _remove_due(
        self, page: Sequence[Member], walk: Walk, policy: RetentionPolicy | PurgeFilter
    ) -> int:
        def is_due(member: Member) -> bool:
            if member.state is None or member.age is None or member.queue_id is None:
                return False
            seconds = policy.seconds(member.state, member.task_id, member.queue_id)
            return seconds is not None and member.age >= seconds

        due = [m for m in page if is_due(m) and not walk.kept.intersection(_known_by(m))]
        parents = self._parents_among([m.id for m in due])
        linked = [m for m in due if m.is_linked or m.id in parents]
        alone = {m.id for m in due} - {m.id for m in linked}
        groups, kept = EndedGroups(self._database, is_due).around(linked)
        if len(walk.kept) > _REMEMBERED:
            walk.kept.clear()
        walk.kept |= kept
        if walk.is_trial:  # a group that stays would be counted again from its next member
            walk.kept |= {name for group in groups for m in group.members for name in _known_by(m)}
        groups += [RemovalGroup([m]) for m in due if m.id in alone]
        free = self._without_runs(groups) if groups else []
        return sum(self._remove(pack, walk.is_trial) for pack in _packed(free))

    def _without_runs(self, groups: Sequence[RemovalGroup]) -> list[RemovalGroup]:
        """Those without a run that a schedule remembers; a schedule never turns to an older one."""
        runs = {id_ for row in self._database.rows("schedule_runs") for id_ in row}
        return [each for each in groups if not any(part.id in runs for part in each.parts)]

    def _parents_among(self, ids: Sequence[bytes]) -> set[bytes]:
        return set(self._database.column("parents_among", ids=ids)) if ids else set()

    def _remove(self, groups: Sequence[RemovalGroup], is_trial: bool) -> int:
        act = removable if is_trial else remove_groups
        gone = self._database.unit(lambda tx: act(tx, groups))
        return sum(len(group.members) for group in gone)


def _known_by(member: Member) -> set[bytes]:
    found = {member.root_id or member.id}
    return found if member.workflow_id is None else found | {member.workflow_id}


def _packed(groups: Sequence[RemovalGroup]) -> Iterator[list[RemovalGroup]]:
    """Groups, or parts of large ones, in lists for one transaction each."""
    pack: list[RemovalGroup] = []
    size = 0
    for part in (part for group in groups for part in parts_of(group, _CHUNK)):
        if pack and size + len(part) > _CHUNK:
            yield pack
            pack, size = [], 0
        pack.append(part)
        size += len(part)
    if pack:
        yield pack
