"""EndedGroups: finds what must be removed together with an ended job, and whether it has ended."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from hammerflow.stores.database import Database
from hammerflow.stores.transitions.removal import GroupWorkflow, Member, RemovalGroup, is_over
from hammerflow.stores.transitions.unit import in_chunks

__all__ = ["EndedGroups"]

_PAGE = 1_000


class EndedGroups:
    """Reads from given jobs along every link: parents, children, workflows around and inside.

    A group stops growing at its first member that is to stay: then all of it stays.

    Args:
        is_due: whether a member may be removed.
    """

    def __init__(self, database: Database, is_due: Callable[[Member], bool]) -> None:
        self._database = database
        self._is_due = is_due
        self._above: dict[bytes, bytes] = {}  # union-find over ids of jobs and workflows
        self._members: dict[bytes, Member] = {}
        self._workflows: dict[bytes, GroupWorkflow] = {}
        self._kept: set[bytes] = set()  # representatives

    def around(self, seeds: Iterable[Member]) -> tuple[list[RemovalGroup], set[bytes]]:
        """The groups that may be removed, and the ids of roots and workflows of those that may not.

        Args:
            seeds: jobs that may be removed themselves.
        """
        new_jobs, new_workflows = {seed.id for seed in seeds}, set[bytes]()
        for id_ in new_jobs:
            self._above[id_] = id_
        while new_jobs or new_workflows:
            found_jobs, found_workflows = self._follow_jobs(new_jobs)
            more_jobs, more_workflows = self._follow_workflows(new_workflows)
            new_jobs = self._open((found_jobs | more_jobs) - self._members.keys())
            new_workflows = self._open(
                (found_workflows | more_workflows) - self._workflows.keys() - new_workflows
            )
        return self._groups()

    def _follow_jobs(self, ids: set[bytes]) -> tuple[set[bytes], set[bytes]]:
        """Read these jobs; their parents and children, and their workflows."""
        jobs, workflows = set[bytes](), set[bytes]()
        for row in self._rows("members_of", ids):
            member = Member(*row)
            self._members[member.id] = member
            if not self._is_due(member):
                self._kept.add(self._find(member.id))
            if member.parent_id is not None:
                jobs.add(self._join(member.id, member.parent_id))
            if member.workflow_id is not None:
                workflows.add(self._join(member.id, member.workflow_id))
        for parent_id, child_id in self._rows("children_of", self._open(ids)):
            jobs.add(self._join(parent_id, child_id))
        return jobs, workflows

    def _follow_workflows(self, ids: set[bytes]) -> tuple[set[bytes], set[bytes]]:
        """Read these workflows; their nodes, and the workflows around and inside them."""
        jobs, workflows = set[bytes](), set[bytes]()
        for row in self._rows("workflows_near", ids):
            workflow = GroupWorkflow(*row)
            if workflow.id in ids:
                self._workflows[workflow.id] = workflow
                if not is_over(workflow.status):
                    self._kept.add(self._find(workflow.id))
            elif workflow.parent_id is not None:
                workflows.add(self._join(workflow.parent_id, workflow.id))
            if workflow.id in ids and workflow.parent_id is not None:
                workflows.add(self._join(workflow.id, workflow.parent_id))
        for workflow_id, id_ in self._rows("nodes_of", self._open(ids)):
            if id_ not in workflows and id_ not in self._workflows:
                jobs.add(self._join(workflow_id, id_))
        return jobs, workflows

    def _groups(self) -> tuple[list[RemovalGroup], set[bytes]]:
        members: defaultdict[bytes, list[Member]] = defaultdict(list)
        workflows: defaultdict[bytes, list[GroupWorkflow]] = defaultdict(list)
        for member in self._members.values():
            members[self._find(member.id)].append(member)
        for workflow in self._workflows.values():
            workflows[self._find(workflow.id)].append(workflow)
        kept = {id_ for root in self._kept for id_ in self._names(members[self._find(root)])}
        kept |= {w.id for root in self._kept for w in workflows[self._find(root)]}
        gone = {self._find(root) for root in self._kept}
        groups = [
            _group(found, workflows.get(root, ()))
            for root, found in members.items()
            if found and root not in gone
        ]
        return groups, kept

    @staticmethod
    def _names(members: Sequence[Member]) -> Iterator[bytes]:
        """What later seeds of a group that stays are known by."""
        for member in members:
            yield member.root_id or member.id
            if member.workflow_id is not None:
                yield member.workflow_id

    def _rows(self, name: str, ids: Iterable[bytes]) -> Iterator[tuple[Any, ...]]:
        for page in in_chunks(sorted(ids), _PAGE):
            yield from self._database.rows(name, ids=page)

    def _open(self, ids: set[bytes]) -> set[bytes]:
        """Those whose group does not stay."""
        kept = {self._find(root) for root in self._kept}
        return {id_ for id_ in ids if self._find(id_) not in kept}

    def _join(self, known: bytes, found: bytes) -> bytes:
        """Put what was found into the group of what is known."""
        self._above.setdefault(found, found)
        self._above[self._find(found)] = self._find(known)
        return found

    def _find(self, id_: bytes) -> bytes:
        above = self._above
        above.setdefault(id_, id_)
        while (up := above[id_]) != id_:
            above[id_] = id_ = above[up]
        return id_


def _group(members: Sequence[Member], workflows: Sequence[GroupWorkflow]) -> RemovalGroup:
    bare = RemovalGroup(members, workflows)
    inside = frozenset(part.id for part in bare.parts)
    return RemovalGroup(members, workflows, inside, Counter(id_ for id_, _ in bare.nodes))
