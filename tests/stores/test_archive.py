"""The archive: whole groups go in, come back exactly as they were, and nothing needed goes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import groupby
from typing import Any

import pytest

from hammerflow.errors import HammerflowError, JobNotFound
from hammerflow.events.filter import EventFilter
from hammerflow.jobs.job import JobState
from hammerflow.jobs.outcome import Completed, Retrying
from hammerflow.jobs.retention import KEPT_STATES, PurgeFilter, RetentionPolicy
from hammerflow.services.pruner import Pruner
from hammerflow.stores.retention import archive as archive_store
from hammerflow.stores.retention import retention
from hammerflow.stores.retention.archive import ArchiveFilter
from hammerflow.stores.retention.retention import Walk
from hammerflow.stores.transitions.archiving import ARCHIVED_TABLES
from tests.stores.kit import BAD, Desk, desk_at, failed, spawned
from tests.stores.test_job_logs import log
from tests.stores.test_retention import AT_ONCE, TABLES, Killed, age, id_of, is_there, prune
from tests.stores.workflow_kit import OK, Sketch, check_flows, run, settle

ARCHIVE = RetentionPolicy(dict.fromkeys(KEPT_STATES, "archive after 0s"))
ALL = ArchiveFilter()


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    """A desk whose jobs and workflows are recounted at the end of each test."""
    with desk_at(migrated_url) as desk:
        yield desk
        desk.check()
        check_flows(desk)


def contents(desk: Desk) -> dict[str, list[Any]]:
    """Every row of every table that holds something of a job."""
    tables = {*TABLES, *ARCHIVED_TABLES}
    return {table: sorted(desk.sql(f"SELECT * FROM {{{table}}}"), key=repr) for table in tables}


def restore(desk: Desk, *jobs: Any, hold: float = 100.0) -> int:
    """Bring back the groups of these jobs, or all; how many jobs."""
    archive = desk.store.archive
    if jobs:
        return archive.restore(archive.groups_of([job.id for job in jobs]), hold).jobs
    return sum(archive.restore(page, hold).jobs for page in archive.groups(ALL))


def lone(desk: Desk) -> None:
    """Jobs by themselves, with all that can belong to one."""
    first, second, third = desk.run(desk.job(unique_key="k"), desk.job(), desk.job("u", "mail"))
    desk.store.jobs.progress([(first.id, 1 / 3, "a third")])
    desk.settle((first, Retrying(0, BAD)), (second, failed()))
    result = Completed(b"M" + bytes(range(256)) * 20)
    desk.store.jobs.settle(1, [(third, result)], logs=[log(third, "a line", "\0")])
    desk.end(*desk.claim())
    desk.store.jobs.replay(second.id)
    desk.settle((desk.claim()[0], failed()))
    desk.store.dead_letters.replay(second.id, "me", id_of(0), 0.0)
    desk.end(*desk.claim())
    waits = desk.job(depends=[first.id], queue="late")
    desk.put(waits, desk.job(depends=[first.id], queue="late"))
    desk.end(*desk.claim(queue="late"))


def tree(desk: Desk) -> None:
    """Three generations, the middle one with a fan-in."""
    (parent,) = desk.run(desk.job())
    desk.settle((parent, spawned(*desk.family(parent, 3))))
    child, *others = desk.claim()
    desk.settle((child, spawned(*desk.family(child, 2))), *((job, failed()) for job in others))
    while claimed := desk.claim():
        desk.end(*claimed)


def workflows(desk: Desk) -> None:
    """A workflow in a workflow, with edges, and one that has failed."""
    w = Sketch()
    first = w.job()
    middle = w.job(first)
    inner = w.flow(w.top, "fail_fast")
    w.job(middle, first, flow=inner)
    w.put(desk)
    while claimed := desk.claim():
        desk.end(*claimed)
    bad = Sketch("continue_on_failure")
    one = bad.job()
    bad.job(one)
    bad.put(desk)
    settle(desk, failed(), one)
    while claimed := desk.claim():
        desk.end(*claimed)


@pytest.mark.parametrize("fill", [lone, tree, workflows])
@pytest.mark.parametrize("chunk", [1_000, 2])
def test_what_comes_back_is_as_it_was(
    desk: Desk, fill: Callable[[Desk], None], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_CHUNK", chunk)
    fill(desk)
    before = contents(desk)
    jobs = desk.count("jobs")

    assert prune(desk, ARCHIVE) == 0
    assert [desk.count(table) for table in ARCHIVED_TABLES] == [0] * len(ARCHIVED_TABLES)
    assert desk.store.archive.counts() == (jobs, 0, 0)
    assert restore(desk) == jobs

    assert contents(desk) == before
    assert desk.store.archive.counts() == (jobs, jobs, 0)
    assert desk.count("archived") == desk.count("archive_packs") == 0
    assert prune(desk, ARCHIVE) == 0 and contents(desk) == before  # not at once
    desk.sql(f"UPDATE {{restored}} SET until = {desk.shift('until', 101)}")
    prune(desk, ARCHIVE)
    assert desk.count("jobs") == 0 and restore(desk) == jobs
    assert contents(desk) == before


def test_a_tree_and_a_workflow_come_back_whole_by_any_member(desk: Desk) -> None:
    tree(desk)
    w = Sketch()
    first = w.job()
    w.job(first)
    w.put(desk)
    run(desk, first)
    desk.end(*desk.claim())
    others = desk.run(desk.job(), desk.job())
    desk.end(*others)
    prune(desk, ARCHIVE)
    packs = desk.count("archive_packs")

    assert restore(desk, first) == 2
    assert desk.count("workflows") == 1 and is_there(desk, *others) == [False, False]
    assert restore(desk, others[0]) == 1
    leaf = desk.ids("SELECT id FROM {archived} WHERE root_id IS NOT NULL")[-1]
    group = desk.store.archive.groups_of([leaf])
    assert desk.store.archive.restore(group, 9.0) == (8, [], [])

    assert is_there(desk, *others) == [True, False] and desk.count("archived") == 1
    assert desk.count("archive_packs") == packs  # with what is left of it
    assert restore(desk, others[1]) == 1 and desk.count("archive_packs") == 0


@pytest.mark.parametrize("end", ["waiting", "failed", "completed"])
def test_what_a_dependent_may_still_read_stays(desk: Desk, end: str) -> None:
    (first,) = desk.run(desk.job())
    desk.end(first)
    late = desk.job(depends=[first.id], queue="late")
    desk.put(late)
    if end != "waiting":
        desk.settle((desk.claim(queue="late")[0], failed() if end == "failed" else OK))

    prune(desk, RetentionPolicy({"completed": "archive after 0s"}))

    assert is_there(desk, first, late) == [end != "completed"] * 2


def test_a_policy_says_for_which_jobs(desk: Desk) -> None:
    keep, tasks = desk.store.retention, ("t", "quick")
    mail, plain, quick = (
        desk.job(task, queue) for task, queue in (("t", "mail"), ("t", "q"), ("quick", "q"))
    )
    for job in (mail, plain, quick):
        desk.put(job)
        desk.end(*desk.claim(queue=job.queue, tasks=tasks))
    (bad,) = desk.run(desk.job())
    desk.settle((bad, failed()))
    keep.keep_tasks({"quick": {"completed": "archive after 1h"}})
    keep.keep_queue("mail", {"completed": "archive after 0s"})
    policy = keep.policy({"completed": 0.0, "failed": "archive after 2h"})

    assert prune(desk, policy) == 1
    assert is_there(desk, mail, plain, quick, bad) == [False, False, True, True]
    age(desk, 1 / 23)
    prune(desk, policy)
    archived, _ = desk.store.archive.page(ALL, 10)
    assert [each.id for each in archived] == sorted((mail.id, quick.id), reverse=True)
    age(desk, 1)
    prune(desk, policy)
    assert desk.store.archive.get(bad.id) is not None and desk.count("jobs") == 0


def test_one_member_that_is_archived_takes_its_whole_group_along(desk: Desk) -> None:
    tree(desk)
    mixed = RetentionPolicy({"completed": 0.0, "failed": "archive after 0s", "skipped": 0.0})
    assert prune(desk, mixed) == 0
    assert desk.store.archive.counts().now == 8 and desk.count("jobs") == 0


@pytest.mark.parametrize("fill", [tree, workflows])
def test_a_kill_divides_no_group(
    desk: Desk, fill: Callable[[Desk], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_CHUNK", 2)
    fill(desk)
    before, moves = contents(desk), retention.archive_groups
    #: What is left of the group would be deleted, for its own part.
    policy = RetentionPolicy({"completed": 0.0, "failed": "archive after 0s", "skipped": 0.0})
    policies = [policy] if fill is tree else [ARCHIVE]

    def killed(database: Any, tx: Any, groups: Any) -> Any:
        if desk.count("archived") > reached:
            raise Killed
        return moves(database, tx, groups)

    for _ in range(12):
        reached = desk.count("archived")
        monkeypatch.setattr(retention, "archive_groups", killed)
        with contextlib.suppress(Killed):
            for each in policies:
                prune(desk, each)
    assert desk.count("jobs") == desk.count("workflows") == desk.count("nodes") == 0
    groups = [group for page in desk.store.archive.groups(ALL) for group in page]
    assert len(groups) == (1 if fill is tree else 2)
    restore(desk)
    assert contents(desk) == before


def test_each_move_is_logged_with_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each job and move, also by a process that has not asked yet what sinks want; and
    nothing of a move that was rolled back."""
    kinds = ["job.archived", "job.restored", "job.purged"]
    desk.store.sinks.put("on", "none", {}, EventFilter.of(kinds=kinds))
    tree(desk)
    workflows(desk)
    ids = {job.id.bytes for job in desk.store.jobs.list(limit=1_000)}

    def logged() -> list[tuple[str, set[bytes]]]:
        while desk.store.events.relay():
            pass
        records = desk.store.events.read(0, limit=10_000).records
        return [
            (label, {record.id for record in group})
            for label, group in groupby(records, lambda record: record.kind.label)  # type: ignore[union-attr]
        ]

    moves = retention.archive_groups

    def killed(*given: Any) -> Any:
        moves(*given)
        raise Killed

    monkeypatch.setattr(retention, "archive_groups", killed)
    with contextlib.suppress(Killed):
        prune(desk, ARCHIVE)
    monkeypatch.undo()
    assert desk.count("jobs") == len(ids) and logged() == []

    fresh = desk.another()
    prune(desk, ARCHIVE, store=fresh)
    fresh.close()
    assert restore(desk) == len(ids)
    fresh = desk.another()
    desk.sql(f"UPDATE {{restored}} SET until = {desk.shift('until', 101)}")
    prune(desk, store=fresh)
    fresh.close()
    assert logged() == [(kind, ids) for kind in kinds]
    assert desk.store.events.head() == 3 * len(ids)


def test_large_jobs_go_in_small_packs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_PACK_BYTES", 30_000)
    monkeypatch.setattr(retention, "_GROUP_BYTES", 50_000)
    large = Completed(b"M" + bytes(20_000))
    desk.settle(*((job, large) for job in desk.run(*(desk.job() for _ in range(3)))))
    (parent,) = desk.run(desk.job())
    desk.settle((parent, spawned(*(desk.child(parent, n) for n in range(5)))))
    desk.settle(*((job, large) for job in desk.claim()))
    before = contents(desk)

    prune(desk, ARCHIVE)

    assert desk.sql("SELECT COUNT(DISTINCT id) FROM {archive_packs}") == [(6,)]
    assert restore(desk) == 9
    assert contents(desk) == before


def test_a_pack_larger_than_a_piece_comes_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from hammerflow.stores.transitions import packing

    monkeypatch.setattr(packing, "PIECE", 100)
    lone(desk)
    before = contents(desk)
    prune(desk, ARCHIVE)
    assert desk.count("archive_packs") > 3
    restore(desk)
    assert contents(desk) == before


def test_an_id_that_was_given_again_keeps_its_new_job(desk: Desk) -> None:
    taken, free = desk.run(desk.job(), desk.job())
    desk.end(taken, free)
    prune(desk, ARCHIVE)
    desk.put(desk.job(id=taken.id, queue="new"))

    groups = desk.store.archive.groups_of([taken.id, free.id])
    assert desk.store.archive.restore(groups, 9.0) == (1, [taken.id], [])

    assert desk.store.archive.get(taken.id) is not None
    assert [job.id for job in desk.claim(queue="new")] == [taken.id]


def test_lists_are_filtered_and_paged(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = desk.run(*(desk.job("t" if n % 2 else "u", "q" if n < 4 else "mail") for n in range(6)))
    desk.settle(*((job, failed() if n == 5 else OK) for n, job in enumerate(jobs)))
    age(desk, 2, *jobs[:2])
    prune(desk, ARCHIVE)
    page, archive = desk.store.archive.page, desk.store.archive

    def numbers(**wanted: Any) -> list[int]:
        found, _ = page(ArchiveFilter(**wanted), 10)
        return [[job.id for job in jobs].index(each.id) for each in found]

    assert numbers() == [5, 4, 3, 2, 1, 0]
    assert numbers(task="t", queue="q") == [3, 1]
    assert numbers(state=JobState.FAILED) == [5]
    later = archive.get(jobs[2].id)
    assert later is not None and later.ended_at is not None
    between = later.ended_at - timedelta(seconds=1)
    assert (numbers(until=between), numbers(since=between)) == ([1, 0], [5, 4, 3, 2])
    first, mark = page(ALL, 4)
    second, end = page(ALL, 4, mark)
    assert [each.id for each in [*first, *second]] == [job.id for job in reversed(jobs)]
    assert end is None
    monkeypatch.setattr(archive_store, "_SCANNED", 2)
    few, mark = page(ArchiveFilter(state=JobState.COMPLETED), 4)
    assert ([each.id for each in few], mark) == ([jobs[4].id], jobs[4].id)
    pages = [*archive.groups(ArchiveFilter(task="u"))]
    assert sorted(group.id for page in pages for group in page) == [job.id for job in jobs[::2]]


def test_a_purge_takes_groups_that_match_as_a_whole(desk: Desk) -> None:
    tree(desk)
    desk.end(*desk.run(desk.job("u"), desk.job()))
    prune(desk, ARCHIVE)
    archive = desk.store.archive

    def purge(**wanted: Any) -> int:
        pages = archive.groups(ArchiveFilter(**wanted), is_whole=True)
        return sum(archive.purge(page).jobs for page in pages)

    assert purge(state=JobState.FAILED) == 0
    assert purge(task="u") == 1 and archive.counts().now == 9
    assert purge() == 9
    assert desk.count("archived") == desk.count("archive_packs") == 0
    assert archive.counts() == (10, 0, 10)


def test_a_person_may_purge_what_was_restored(desk: Desk) -> None:
    desk.end(*desk.run(desk.job()))
    prune(desk, ARCHIVE)
    restore(desk)
    assert prune(desk, AT_ONCE) == 0
    walk = Walk()
    while not walk.is_over:
        desk.store.retention.step(walk, PurgeFilter(frozenset(KEPT_STATES), 0.0, None, None))
    assert walk.removed == 1


def test_an_archived_job_cannot_be_depended_on(desk: Desk) -> None:
    (job,) = desk.run(desk.job())
    desk.end(job)
    prune(desk, ARCHIVE)
    with pytest.raises(JobNotFound, match="archive restore brings it back"):
        desk.put(desk.job(depends=[job.id]))


JUNK = {"sqlite": "x'01ff'", "postgres": "'\\x01ff'::bytea", "mysql": "0x01ff"}


@pytest.mark.parametrize("damage", ["junk", "gone"])
def test_what_a_damaged_pack_held_is_named_and_can_be_purged(desk: Desk, damage: str) -> None:
    archive, lost = desk.store.archive, [desk.job(id=id_of(2)) for _ in range(3)]
    desk.end(*desk.run(*lost))
    prune(desk, ARCHIVE)
    [(pack,)] = desk.sql("SELECT DISTINCT pack_id FROM {archived}")
    sound = desk.job()
    desk.end(*desk.run(sound))
    prune(desk, ARCHIVE)
    where = f"WHERE id = {desk.id(bytes(getattr(pack, 'bytes', pack)))}"
    if damage == "junk":
        desk.sql(f"UPDATE {{archive_packs}} SET data = {JUNK[desk.kind]} {where}")
    else:
        desk.sql(f"DELETE FROM {{archive_packs}} {where}")
    ids = sorted(job.id for job in lost)

    [found] = desk.invariants().find()
    assert (found.kind, found.is_mended) == ("archived_unreadable", False)
    assert sorted(row[0] for row in found.rows) == ids == archive.unreadable()
    with pytest.raises(HammerflowError, match=r"damaged|gone"):
        list(archive.contents(ids))
    skipped = list[bytes]()
    read = [each.archived.id for each in archive.contents([*ids, sound.id], skipped)]
    assert (read, skipped) == ([sound.id], ids)
    groups = archive.groups_of(ids)
    assert archive.restore(groups, 9.0) == (0, [], ids) and desk.count("archived") == 4

    assert archive.purge(archive.groups_of(ids[:1])).jobs == 1
    assert desk.sql("SELECT COUNT(DISTINCT pack_id) FROM {archived}") == [(2,)]
    assert archive.purge(archive.groups_of(ids[1:])).jobs == 2
    assert desk.invariants().find() == [] and archive.counts() == (4, 0, 3)
    assert desk.count("archive_packs") == 1 and restore(desk) == 1


def test_the_pruner_purges_the_archive_where_its_time_is_over(desk: Desk) -> None:
    old, young = desk.job(id=id_of(9)), desk.job(id=id_of(9))
    parent = desk.job(id=id_of(10))
    desk.end(*desk.run(old, young))
    (parent,) = desk.run(parent)
    desk.settle((parent, spawned(*desk.family(parent, 2))))
    while claimed := desk.claim():
        desk.end(*claimed)
    age(desk, 8)
    prune(desk, ARCHIVE)
    late = f"WHERE id = {desk.id(young.id)} OR root_id = {desk.id(parent.id)}"
    desk.sql(f"UPDATE {{archived}} SET ended_at = {desk.shift('ended_at', -7 * 86_400)} {late}")
    week = 7 * 86_400.0

    def tick(pruner: Pruner, times: int) -> None:
        for _ in range(times):
            desk.store.database.run("retention_note", pause=-1, position=None, removed=0, is_over=0)
            pruner.tick(0)

    desk.store.retention.take_turn(0.0)
    pruner = Pruner(desk.store, default={}, archive_ttl=week)
    tick(pruner, 2)
    assert old.id not in desk.ids("SELECT id FROM {archived}")
    assert desk.store.archive.counts() == (6, 0, 1)  # the tree is not old enough as a whole
    desk.sql(f"UPDATE {{archived}} SET ended_at = {desk.shift('ended_at', week)}")
    tick(pruner, 2)
    assert desk.count("archived") == 5  # it rests

    tick(Pruner(desk.store, default={}, archive_ttl=week), 2)
    assert desk.store.archive.counts().now == desk.count("archive_packs") == 0


def test_walks_and_restores_at_the_same_time_move_each_job_once(desk: Desk) -> None:
    for _ in range(2):
        tree(desk)
        desk.end(*desk.run(*(desk.job() for _ in range(20))))
    before = contents(desk)
    barrier, counts = threading.Barrier(3), list[int]()

    def at_once(act: Callable[[], int]) -> int:
        def run() -> None:
            barrier.wait()
            counts.append(act())

        counts.clear()
        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts)

    def walk() -> int:
        each = Walk()
        while not each.is_over:
            desk.store.retention.step(each, ARCHIVE)
        return each.archived

    time.sleep(0.002)  # an id of this millisecond counts as too young
    assert at_once(walk) + walk() == 56
    groups = [group for page in desk.store.archive.groups(ALL) for group in page]
    assert at_once(lambda: desk.store.archive.restore(groups, 9.0).jobs) == 56
    assert contents(desk) == before and desk.count("archive_packs") == 0
