"""Ids on the command line: unique prefixes, with or without dashes, wherever an id is taken."""

from __future__ import annotations

import uuid

import pytest

from hammerflow import Hammerflow, Workflow
from hammerflow.admin.ids import find_job
from hammerflow.errors import JobNotFound
from tests.cli.conftest import Run

ONE = uuid.UUID("aaaa1111-0000-4000-8000-000000000001")
TWO = uuid.UUID("aaaa1112-0000-4000-8000-000000000002")
OTHER = uuid.UUID("bbbb0000-0000-4000-8000-00000000000f")


@pytest.fixture
def jobs(shop: Hammerflow) -> Hammerflow:
    """An app with three jobs whose ids are known."""
    for job_id in (ONE, TWO, OTHER):
        shop.tasks["shop.add"].apply_async(args=(1, 2), job_id=job_id)
    return shop


@pytest.mark.parametrize(
    ("text", "job_id"),
    [
        (str(ONE), ONE),
        (ONE.hex, ONE),
        (ONE.hex.upper(), ONE),
        ("aaaa1111", ONE),
        ("aaaa1112-0", TWO),
        ("bbbb", OTHER),
        ("bbbb-0000", OTHER),
    ],
)
def test_a_unique_prefix_names_a_job(jobs: Hammerflow, text: str, job_id: uuid.UUID) -> None:
    assert find_job(jobs.store, text) == job_id.bytes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bbb", "'bbb' is not a job id: give the id or at least its first 4 hexadecimal digits"),
        ("bbbx", "'bbbx' is not a job id"),
        ("", "'' is not a job id"),
        (f"{ONE}0", "is not a job id"),
        ("cccc", "no job has an id that begins with cccc in this database: see hammerflow job"),
        (str(uuid.UUID(int=1)), "no job has the id 00000000-0000-0000-0000-000000000001 in this"),
        ("aaaa-1", f"more than one job has an id that begins with aaaa-1: {ONE}, {TWO}; give"),
    ],
)
def test_other_texts_are_refused(jobs: Hammerflow, text: str, message: str) -> None:
    with pytest.raises(JobNotFound) as raised:
        find_job(jobs.store, text)

    assert message in str(raised.value)


def test_a_long_list_of_candidates_is_cut(embedded_shop: Hammerflow) -> None:
    for number in range(7):
        job_id = uuid.UUID(int=0xABCD << 112 | number)
        embedded_shop.tasks["shop.add"].apply_async(args=(1, 2), job_id=job_id)

    with pytest.raises(JobNotFound, match=r"-000000000004 and more; give more of its digits"):
        find_job(embedded_shop.store, "abcd")


def test_job_and_spawn_commands_take_a_prefix_and_print_whole_ids(
    run: Run, jobs: Hammerflow
) -> None:
    shown = run("job", "show", "bbbb")
    cancelled = run("job", "cancel", "bbbb", "aaaa1112")
    retried = run("job", "retry", "bbbb", "--json")
    tree, lineage = run("spawn", "tree", "bbbb"), run("spawn", "lineage", "bbbb", "--json")
    dependencies = run("workflow", "dependencies", "bbbb", "--json")
    older = run("job", "list", "--before", "aaaa-1112", "--json")

    assert shown.out.splitlines()[0].split() == ["id", str(OTHER)]
    assert cancelled.out == f"{OTHER}  cancelled\n{TWO}  cancelled\n"
    assert retried.json == [{"id": str(OTHER), "now": "ready"}]
    assert str(OTHER) in tree.out and lineage.json["job"]["id"] == str(OTHER)
    assert dependencies.json["id"] == str(OTHER)
    assert [job["id"] for job in older.json] == [str(ONE)]


def test_workflow_commands_take_a_prefix(run: Run, embedded_shop: Hammerflow) -> None:
    add = embedded_shop.tasks["shop.add"]
    result = embedded_shop.enqueue(Workflow("one").add(add.s(1, 2), name="first"))
    prefix = str(result.id)[:30]

    shown = run("workflow", "show", prefix, "--json")
    status, graph = run("workflow", "status", prefix), run("workflow", "graph", prefix)
    cancelled = run("workflow", "cancel", prefix)
    retried = run("workflow", "retry", prefix, "--json")
    not_a_job = run("job", "show", prefix)

    assert shown.json["id"] == str(result.id)
    assert (status.code, graph.code) == (0, 0)
    assert cancelled.out == f"{result.id}  cancelled\n"
    assert retried.json == {"id": str(result.id), "status": "running"}
    assert not_a_job.code == 1


def test_a_page_may_begin_at_a_job_that_is_gone(run: Run, jobs: Hammerflow) -> None:
    gone = uuid.UUID("aaaa1111-ffff-4000-8000-000000000000")

    found = run("job", "list", "--before", gone, "--json")

    assert [job["id"] for job in found.json] == [str(ONE)]
