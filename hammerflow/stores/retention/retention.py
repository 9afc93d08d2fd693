"""Retention: the policy in the database, and the walk that deletes or archives ended jobs by it."""

from __future__ import annotations

import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.events.kinds import EventKind
from hammerflow.events.record import Record
from hammerflow.ids import first_id_at, name_id
from hammerflow.jobs.retention import (
    KEPT_STATES,
    Lifetimes,
    PurgeFilter,
    RetentionPolicy,
    lifetimes_of,
    lifetimes_text,
)
from hammerflow.stores.database import Database, Tx
from hammerflow.stores.names import NameTable
from hammerflow.stores.retention.ended_groups import EndedGroups
from hammerflow.stores.transitions.archiving import archive_groups
from hammerflow.stores.transitions.removal import (
    Member,
    RemovalGroup,
    obstacle,
    parts_of,
    removable,
    remove_groups,
)
from hammerflow.stores.transitions.unit import in_chunks

__all__ = ["DeclaredLifetimes", "Progress", "Retention", "Walk"]

#: Ended jobs that are read at once, and rows of jobs that one transaction removes.
_PAGE, _CHUNK = 2_000, 1_000
#: A page gets smaller where one has taken longer than this many seconds, and larger again where it
#: has taken a quarter of that: on a busy server a transaction is not to hold its locks for long.
_LONG, _FEWEST = 0.4, 50
#: Seconds for which a transaction may hold the only writer (SQLite), as every settle waits for it:
#: it gets smaller where it has held it for longer, and larger where for a quarter of that.
_HELD = 0.04
#: Bytes that one transaction archives: of several groups, and of one, which is rather not divided.
_PACK_BYTES, _GROUP_BYTES = 2 << 20, 16 << 20
#: Roots and workflows that a walk remembers; those that it forgets are examined again.
_REMEMBERED = 100_000
#: Ids of one day from now on and later are not made by a clock: users gave them.
_DAY = 86_400.0
_FIRST, _LAST = bytes(16), b"\xff" * 16
#: All ended jobs.
_ANY = PurgeFilter(frozenset(KEPT_STATES), 0.0, None, None)


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
        removed: jobs that were deleted, since the database was made.
        archived: likewise, jobs that were archived.
        walked_at: when a walk last came to the end of all ended jobs.
    """

    due_in: float
    position: bytes | None
    removed: int
    archived: int
    walked_at: datetime | None


@dataclass(slots=True)
class Walk:
    """One pass over all ended jobs, in the order of their ids, a page at a time.

    Attributes:
        position: the last id that was read.
        is_over: there is nothing left to read.
        removed: jobs that were deleted.
        archived: jobs that were archived.
        size: how many jobs the next page has.
        rows: how many rows of jobs the next transaction removes, where there is one writer.
        waited: seconds that it has waited for the only writer.
        kept: roots and workflows that need not be examined again: they stay.
        is_trial: nothing is removed.
        spared: seconds for which ended jobs stay, whatever the policy says.
    """

    position: bytes = _FIRST
    is_over: bool = False
    removed: int = 0
    archived: int = 0
    size: int = _PAGE // 4
    rows: int = _CHUNK // 4
    waited: float = 0.0
    kept: set[bytes] = field(default_factory=set)
    is_trial: bool = False
    spared: float = 0.0


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
        """Note how many jobs a turn has deleted, and when the next one is due."""
        if walk.is_over:
            self._database.run("restored_drop")
        self._database.run(
            "retention_note", pause=pause, position=None if walk.is_over else walk.position,
            removed=removed, is_over=int(walk.is_over),
        )  # fmt: skip

    def progress(self) -> Progress | None:
        """How far the removal is; None where it has never begun."""
        row = self._database.first("retention_state")
        if row is None:
            return None
        due_in, position, removed, archived, walked_at = row
        instant = self._database.dialect.instant
        return Progress(float(due_in), position, removed, archived, instant(walked_at))

    def step(self, walk: Walk, policy: RetentionPolicy | PurgeFilter) -> None:
        """Read the next page of a walk, and delete or archive what is due in it.

        A walk that is a trial counts what would go, and changes nothing.
        """
        if (shortest := policy.shortest) is None:
            walk.is_over = True
            return
        began, waited = time.monotonic(), walk.waited
        clock = float(self._database.column("clock")[0])
        young, given = first_id_at(clock - shortest), first_id_at(clock + _DAY)
        before = young if walk.position < young else _LAST
        rows = self._database.rows("ended_page", after=walk.position, before=before, n=walk.size)
        self._remove_due([Member(*row) for row in rows], walk, policy)
        walk.position = rows[-1][0] if len(rows) == walk.size else given
        walk.is_over = len(rows) < walk.size and before == _LAST
        seconds = time.monotonic() - began - (walk.waited - waited)
        if seconds > _LONG:
            walk.size = max(_FEWEST, walk.size // 2)
        elif seconds < _LONG / 4:
            walk.size = min(_PAGE, walk.size * 2)

    def delete(self, job_id: bytes, *, is_whole: bool = False) -> int:
        """Delete an ended job for good, whatever its lifetime; how many jobs are gone.

        Args:
            is_whole: its whole workflow and spawn tree may go with it; a part never goes alone.

        Raises:
            JobNotFound: no job has this id.
            HammerflowError: it has not ended, or something else needs it.
        """
        rows = self._database.rows("members_of", ids=[job_id])
        name = f"job {uuid.UUID(bytes=job_id)}"
        if not rows:
            raise JobNotFound(f"there is no {name} in this database")
        member, walk = Member(*rows[0]), Walk()
        if reason := self._keeps(member, is_whole):
            raise HammerflowError(f"{name} cannot be deleted: {reason}")
        groups, _ = EndedGroups(self._database, _has_ended).around([member])
        if not groups:
            reason = "another job of its workflow or spawn tree has not ended"
        elif not self._without_runs(groups):
            reason = "a schedule remembers it as one of its last two runs"
        else:
            for pack in self._packs(groups, _ANY, walk):
                self._remove(pack, walk)
            if gone := walk.removed + walk.archived:
                return gone
            reason = self._database.unit(lambda tx: obstacle(tx, groups[0]))
        raise HammerflowError(f"{name} cannot be deleted: {reason}")

    def _keeps(self, member: Member, is_whole: bool) -> str | None:
        """Why the row of a job alone forbids its deletion."""
        if member.state is None:
            return "it has not ended, so cancel it first"
        is_part = member.parent_id is not None or member.workflow_id is not None
        if not is_whole and (is_part or self._parents_among([member.id])):
            return "it only goes together with all of its workflow or spawn tree"
        return None

    def _remove_due(
        self, page: Sequence[Member], walk: Walk, policy: RetentionPolicy | PurgeFilter
    ) -> None:
        def is_due(member: Member) -> bool:
            if member.state is None or member.age is None or member.queue_id is None:
                return False
            seconds = policy.seconds(member.state, member.task_id, member.queue_id)
            return seconds is not None and member.age >= max(seconds, walk.spared)

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
        groups = self._without_runs(groups) if groups else []
        if policy.spares_restored:
            groups = self._without_restored(groups)
        for pack in self._packs(groups, policy, walk):
            self._remove(pack, walk)

    def _without_runs(self, groups: Sequence[RemovalGroup]) -> list[RemovalGroup]:
        """Those without a run that a schedule remembers; a schedule never turns to an older one."""
        runs = {id_ for row in self._database.rows("schedule_runs") for id_ in row}
        return [each for each in groups if not any(part.id in runs for part in each.parts)]

    def _without_restored(self, groups: list[RemovalGroup]) -> list[RemovalGroup]:
        """Those of which nothing has come back from the archive a short time ago."""
        if not groups or not self._database.rows("restored_any"):
            return groups
        ids = sorted(part.id for group in groups for part in group.parts)
        pages = in_chunks(ids, _PAGE)
        held = {id_ for page in pages for id_ in self._database.column("restored_among", ids=page)}
        return [each for each in groups if not any(part.id in held for part in each.parts)]

    def _packs(
        self, groups: Sequence[RemovalGroup], policy: RetentionPolicy | PurgeFilter, walk: Walk
    ) -> Iterator[list[RemovalGroup]]:
        """Groups, or parts of large ones, in lists for one transaction each."""
        is_alone = self._database.dialect.one_writer

        def most() -> int:
            return walk.rows if is_alone else _CHUNK

        named = self._archive_ids(groups)
        for number, group in enumerate(groups):
            if any(
                policy.archives(m.state, m.task_id, m.queue_id)
                for m in group.members
                if m.state is not None and m.queue_id is not None
            ):
                named.setdefault(number, min(part.id for part in group.parts))
        kept = [replace(groups[number], archive_id=name) for number, name in named.items()]
        gone = [group for number, group in enumerate(groups) if number not in named]
        yield from _packed(gone, {}, most)
        yield from _packed(kept, self._sizes_of(kept), most)

    def _archive_ids(self, groups: Sequence[RemovalGroup]) -> dict[int, bytes]:
        """What names groups in the archive, by their numbers, of which a part is there already: the
        walk that has archived it was killed."""
        outside: defaultdict[bytes, set[int]] = defaultdict(set)
        for number, group in enumerate(groups):
            for link in _links(group):
                if group.inside and link not in group.inside:
                    outside[link].add(number)
        pages = in_chunks(sorted(outside), _PAGE)
        rows = [row for page in pages for row in self._database.rows("archived_of", ids=page)]
        return {number: row[2] for row in rows for number in outside[row[0]]}

    def _sizes_of(self, groups: Sequence[RemovalGroup]) -> Mapping[bytes, int]:
        """About how many bytes the rows of each job have."""
        ids = sorted(member.id for group in groups for member in group.members)
        sizes: Counter[bytes] = Counter()
        for page in in_chunks(ids, _PAGE):
            for name in ("archive_sizes", "archive_text_sizes"):
                sizes.update({id_: int(size) for id_, size in self._database.rows(name, ids=page)})
        return sizes

    def _parents_among(self, ids: Sequence[bytes]) -> set[bytes]:
        return set(self._database.column("parents_among", ids=ids)) if ids else set()

    def _remove(self, groups: Sequence[RemovalGroup], walk: Walk) -> None:
        is_archived = groups[0].archive_id is not None
        outbox = self._names.outbox
        kind = EventKind.JOB_ARCHIVED if is_archived else EventKind.JOB_PURGED
        is_wanted = outbox.wants(kind)
        asked = began = time.monotonic()

        def work(tx: Tx) -> Sequence[RemovalGroup]:
            nonlocal began
            began = time.monotonic()
            if walk.is_trial:
                return removable(tx, groups)
            if is_archived:
                gone = archive_groups(self._database, tx, groups)
            else:
                gone = remove_groups(tx, groups)
            if is_wanted:
                members = [member for group in gone for member in group.members]
                outbox.write(tx, [Record(kind, m.id, m.lease or 0) for m in members])
            return gone

        gone = sum(len(group.members) for group in self._database.unit(work))
        if self._database.dialect.one_writer:
            walk.waited += began - asked
            held = time.monotonic() - began
            if held > _HELD:
                walk.rows = max(_FEWEST, walk.rows // 2)
            elif held < _HELD / 4:
                walk.rows = min(_CHUNK, walk.rows * 2)
        if is_archived:
            walk.archived += gone
        else:
            walk.removed += gone


def _has_ended(member: Member) -> bool:
    return member.state is not None and member.queue_id is not None


def _links(group: RemovalGroup) -> Iterator[bytes]:
    """The ids by which the parts of a group name others that belong to it."""
    for member in group.members:
        yield from filter(None, (member.parent_id, member.root_id, member.workflow_id))
    yield from (workflow.parent_id for workflow in group.workflows if workflow.parent_id)


def _known_by(member: Member) -> set[bytes]:
    found = {member.root_id or member.id}
    return found if member.workflow_id is None else found | {member.workflow_id}


def _packed(
    groups: Sequence[RemovalGroup], sizes: Mapping[bytes, int], most: Callable[[], int]
) -> Iterator[list[RemovalGroup]]:
    """Groups, or parts of large ones, in lists for one transaction each.

    Args:
        sizes: bytes of jobs, where they count.
        most: how many rows of jobs one transaction removes now.
    """

    def heavy(member: Member) -> int:
        return sizes.get(member.id, 0)

    pack: list[RemovalGroup] = []
    count = weight = 0
    for part in (p for group in groups for p in parts_of(group, _CHUNK, heavy, _GROUP_BYTES)):
        more = sum(map(heavy, part.members))
        if pack and (count + len(part) > most() or weight + more > _PACK_BYTES):
            yield pack
            pack, count, weight = [], 0, 0
        pack.append(part)
        count, weight = count + len(part), weight + more
    if pack:
        yield pack
