"""Removal: the rows of groups of ended jobs are deleted, unless something still needs them."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from hammerflow.jobs.job import RowFlags
from hammerflow.jobs.status import WorkflowState
from hammerflow.stores.database import Tx
from hammerflow.stores.rows import Row

__all__ = [
    "GroupKeys", "GroupWorkflow", "Member", "RemovalGroup", "delete_groups", "is_over", "nodes_of",
    "obstacle", "parts_of", "removable", "remove_groups",
]  # fmt: skip


class Member(NamedTuple):
    """A job with what decides whether it may be removed."""

    id: bytes
    state: int | None  # None: it has not ended
    lease: int | None
    age: float | None  # seconds since its end
    queue_id: int | None  # None: its row of ``jobs`` was deleted by hand
    task_id: int
    parent_id: bytes | None
    root_id: bytes | None
    workflow_id: bytes | None
    dependent_id: bytes | None
    flags: int
    awaits: int | None
    unique_key: str | None

    @property
    def is_linked(self) -> bool:
        """Whether other rows than its own may name it; children are not looked at."""
        links = (self.parent_id, self.workflow_id, self.dependent_id, self.awaits, self.unique_key)
        return bool(self.flags & RowFlags.HAS_EDGES) or any(link is not None for link in links)


class GroupWorkflow(NamedTuple):
    """A workflow of a group."""

    id: bytes
    parent_id: bytes | None
    dependent_id: bytes | None
    flags: int
    status: int


@dataclass(frozen=True, slots=True)
class RemovalGroup:
    """Ended jobs and workflows that go together: a spawn tree, a workflow with all inside it.

    Attributes:
        inside: the ids of the whole group, where this is a part of it.
        sizes: likewise how many nodes each of its workflows has.
        archive_id: what names the group in the archive; None if it is deleted.
    """

    members: Sequence[Member]
    workflows: Sequence[GroupWorkflow] = ()
    inside: AbstractSet[bytes] = field(default_factory=frozenset)
    sizes: Counter[bytes] = field(default_factory=Counter)
    archive_id: bytes | None = None

    def __len__(self) -> int:
        return len(self.members) + len(self.workflows)

    @property
    def parts(self) -> list[Member | GroupWorkflow]:
        """All jobs and workflows."""
        return [*self.members, *self.workflows]

    @property
    def nodes(self) -> Iterable[tuple[bytes, bytes]]:
        """(workflow, job or workflow in it) of all that are nodes."""
        for member in self.members:
            if member.workflow_id is not None:
                yield member.workflow_id, member.id
        for workflow in self.workflows:
            if workflow.parent_id is not None:
                yield workflow.parent_id, workflow.id


class GroupKeys(NamedTuple):
    """By what the rows of groups are found, each in order."""

    jobs: list[bytes]
    workflows: list[bytes]  # the youngest first, as everywhere
    linked: list[bytes]  # jobs and workflows that may have edges or a barrier

    @classmethod
    def of(cls, groups: Sequence[RemovalGroup]) -> GroupKeys:
        """Those of these groups."""
        members = [member for group in groups for member in group.members]
        workflows = sorted({w.id for group in groups for w in group.workflows}, reverse=True)
        linked = {m.id for m in members if m.is_linked or m.flags} | set(workflows)
        return cls(sorted(member.id for member in members), workflows, sorted(linked))


def is_over(status: int) -> bool:
    """Whether a workflow has ended, by its number in the table."""
    return status >= WorkflowState.COMPLETED


def parts_of(
    group: RemovalGroup, size: int, heavy: Callable[[Member], int] = lambda _: 0, most: int = 1
) -> list[RemovalGroup]:
    """A group in parts that one transaction each removes.

    The workflows go first: a rerun needs them, so none begins in a group that is half removed. The
    outer ones come before the inner ones, and a root before what it has spawned: what is left if
    the process is killed names something that is gone, by which the archive knows it again.

    Args:
        size: the most jobs or workflows of a part.
        heavy: the bytes of a member, of which a part has no more than ``most``, unless it has a
            single job.
    """
    if len(group) <= size and sum(map(heavy, group.members)) <= most:
        return [group]
    workflows = sorted(group.workflows)  # by id, and an inner one is younger
    parts = [
        replace(group, members=(), workflows=workflows[at : at + size])
        for at in range(0, len(workflows), size)
    ]
    part: list[Member] = []
    weight = 0
    for member in sorted(
        group.members, key=lambda member: (member.workflow_id or b"", member.root_id or b"")
    ):
        if part and (len(part) == size or weight + heavy(member) > most):
            parts.append(replace(group, members=part, workflows=()))
            part, weight = [], 0
        part.append(member)
        weight += heavy(member)
    return [*parts, replace(group, members=part, workflows=())] if part else parts


def remove_groups(tx: Tx, groups: Sequence[RemovalGroup]) -> Sequence[RemovalGroup]:
    """Delete the rows of those groups that are :func:`removable`; these."""
    free = removable(tx, groups)
    if free:
        delete_groups(tx, free)
    return free


def removable(tx: Tx, groups: Sequence[RemovalGroup]) -> Sequence[RemovalGroup]:
    """Lock the groups; those that are as they were read and that nothing needs.

    It waits for no lock: a group with a row that another transaction has locked is left alone. What
    gets a dependent or is retried is locked by that, so neither can happen between the check and
    the commit.
    """
    free = _unchanged(tx, groups)
    needed = {needed for needed, _ in _open_dependents(tx, free)} | _key_holders(tx, free)
    return [group for group in free if not needed.intersection(_ids(group))]


def obstacle(tx: Tx, group: RemovalGroup) -> str:
    """Why a group is not :func:`removable`, as a part of a sentence about its jobs."""
    for _, by in _open_dependents(tx, [group]):
        return f"job or workflow {uuid.UUID(bytes=by)} depends on it and has not completed"
    if _key_holders(tx, [group]):
        return "it still holds its unique key"
    return "something else is changing it just now: try again"


def _ids(group: RemovalGroup) -> Iterable[bytes]:
    return (part.id for part in group.parts)


def _unchanged(tx: Tx, groups: Sequence[RemovalGroup]) -> list[RemovalGroup]:
    """Lock all rows; the groups of which every row is ours and as it was read."""
    workflow_ids = sorted({w.id for group in groups for w in group.workflows}, reverse=True)
    ids = sorted({member.id for group in groups for member in group.members})
    states = {row[0]: row[1:] for row in _rows(tx, "workflows_take", workflow_ids)}
    flags = {row[0]: row[1] for row in _rows(tx, "jobs_take", ids)}
    leases = {row[0]: row[1] for row in _rows(tx, "done_take", ids)}
    return [
        group
        for group in groups
        if all(flags.get(m.id) == m.flags and leases.get(m.id) == m.lease for m in group.members)
        and all(states.get(w.id) == (w.flags, w.status) for w in group.workflows)
    ]


def _open_dependents(tx: Tx, groups: Sequence[RemovalGroup]) -> list[tuple[bytes, bytes]]:
    """(needed, by): what a dependent outside of its group may still read."""
    pairs: list[tuple[bytes, bytes]] = []
    edged: dict[bytes, RemovalGroup] = {}
    for group in groups:
        for part in group.parts:
            if part.dependent_id is not None and part.dependent_id not in group.inside:
                pairs.append((part.id, part.dependent_id))
            if part.flags & RowFlags.HAS_EDGES:
                edged[part.id] = group
    for parent_id, child_id, _ in _rows(tx, "edges_of", sorted(edged)):
        if child_id not in edged[parent_id].inside:
            pairs.append((parent_id, child_id))
    still = {row[0] for row in _rows(tx, "dependents_open", sorted({by for _, by in pairs}))}
    return [(needed, by) for needed, by in pairs if by in still]


def _key_holders(tx: Tx, groups: Sequence[RemovalGroup]) -> set[bytes]:
    """What a unique key names."""
    keyed = {
        (member.unique_key, member.id)
        for group in groups
        for member in group.members
        if member.unique_key is not None
    }
    keys = sorted({key for key, _ in keyed})
    held = tx.rows("unique_holders", ukeys=keys) if keys else ()
    return {row[1] for row in held if row in keyed}


def delete_groups(tx: Tx, groups: Sequence[RemovalGroup]) -> None:
    """Delete all rows of groups that are :func:`removable`."""
    ids, workflow_ids, linked = GroupKeys.of(groups)
    whole, in_parts = nodes_of(groups)
    if whole:
        tx.run("remove_nodes", ids=whole)
    for workflow_id, nodes in in_parts:
        tx.run("remove_nodes_in", id=workflow_id, ids=nodes)
    for statement, keys in (
        ("remove_workflows", workflow_ids), ("remove_edges_from", linked),
        ("remove_edges_to", linked), ("barriers_delete", linked),
        ("remove_spawns", ids), ("remove_replays", ids), ("remove_errors", ids),
        ("remove_job_logs", ids),
        ("remove_progress", ids), ("remove_done", ids), ("remove_jobs", ids),
    ):  # fmt: skip
        if keys:
            tx.run(statement, ids=keys)


def nodes_of(
    groups: Sequence[RemovalGroup],
) -> tuple[list[bytes], list[tuple[bytes, list[bytes]]]]:
    """By what their rows of ``nodes`` are found: workflows, and workflows with some of their nodes,
    where not all are here: a workflow may have a million, and no statement takes long."""
    nodes: defaultdict[bytes, list[bytes]] = defaultdict(list)
    sizes: Counter[bytes] = Counter()
    for group in groups:
        sizes |= group.sizes
        for workflow_id, id_ in group.nodes:
            nodes[workflow_id].append(id_)
    whole = sorted(id_ for id_, ids in nodes.items() if len(ids) >= sizes[id_])
    return whole, [(id_, sorted(nodes[id_])) for id_ in sorted(nodes.keys() - set(whole))]


def _rows(tx: Tx, name: str, ids: Collection[bytes]) -> list[Row]:
    return tx.rows(name, ids=list(ids)) if ids else []
