"""``job show`` says why a job does not run; lists say why one has failed."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from hammerflow import FailurePolicy, Hammerflow, JobState, Workflow, group
from hammerflow.jobs.job import Job
from hammerflow.jobs.outcome import Completed, Failed, Failure, Parked
from hammerflow.stores.obstacles import Obstacle, obstacles
from tests.cli.conftest import WORKER, Run, claim, settle, spawn_album

FAILURE = Failure("failed", "shop.errors.AlbumMissing", "no such album\nin shop", "Traceback ...")
Prepare = Callable[[Hammerflow], Job]


def serve(app: Hammerflow, *, queues: list[str], tasks: list[str], is_open: bool = False) -> None:
    """Replace the worker by one that serves these queues and tasks."""
    workers = app.store.workers
    workers.leave(WORKER)
    info = {"queues": queues, "is_open": is_open}
    workers.register(WORKER, host="here", pid=1, info=info, tasks=tasks, queues=queues)


def codes(app: Hammerflow, job: Job) -> list[str]:
    return [each.code for each in obstacles(app.store, job, lease=30)]


def a_job(app: Hammerflow, **options: object) -> Job:
    result = app.enqueue(app.signature("shop.add", [1, 2], **options))  # type: ignore[arg-type]
    return result.job()


def ready(app: Hammerflow) -> Job:
    a_job(app)
    return a_job(app)


def paused(app: Hammerflow) -> Job:
    app.store.queues.pause("default", by="ann@here", reason="the move")
    return a_job(app)


def without_worker(app: Hammerflow) -> Job:
    app.store.workers.leave(WORKER)
    return a_job(app)


def unserved(app: Hammerflow) -> Job:
    serve(app, queues=["mail"], tasks=["shop.add"])
    return a_job(app)


def unknown(app: Hammerflow) -> Job:
    serve(app, queues=["default"], tasks=["shop.resize"], is_open=True)
    return a_job(app)


def elsewhere(app: Hammerflow) -> Job:
    serve(app, queues=["mail"], tasks=["shop.add"])
    info = {"queues": ["default"], "is_open": False}
    app.store.workers.register(8, host="b", pid=2, info=info, tasks=["x"], queues=["default"])
    return a_job(app)


def later(app: Hammerflow) -> Job:
    app.store.workers.leave(WORKER)
    return a_job(app, delay=3600)


def parked(app: Hammerflow) -> Job:
    job = a_job(app)
    settle(app, claim(app), Parked("undecodable", FAILURE))
    return app.job(job.id)


def dependent(app: Hammerflow) -> Job:
    add = app.tasks["shop.add"]
    result = app.enqueue(add.s(1, 2) | add.s(3))  # type: ignore[operator]
    return result.job()  # type: ignore[no-any-return]


def fan_in(app: Hammerflow) -> Job:
    root = spawn_album(app, 5)
    return app.store.jobs.children(uuid.UUID(root).bytes)[-1]


def after_a_workflow(app: Hammerflow) -> Job:
    add = app.tasks["shop.add"]
    workflow = Workflow("outer")
    workflow.add(group(add.s(n, n) for n in range(2)), name="inner")
    workflow.add(add.s(3, 4), name="last", after=["inner"])
    app.enqueue(workflow)
    return next(job for job in app.jobs() if job.state is JobState.WAITING)


def lost(app: Hammerflow) -> Job:
    job = a_job(app)
    assert len(claim(app)) == 1
    app.store.workers.leave(WORKER)
    return app.job(job.id)


@pytest.mark.parametrize(
    ("prepare", "code", "words"),
    [
        (ready, "queued", "1 job is ahead of it in its queue default; workers that serve"),
        (paused, "queue_paused", "by ann@here (the move)\n"),
        (without_worker, "no_worker", "no worker is alive"),
        (unserved, "queue_unserved", "-> add it to the queues of a worker: -Q ...,default"),
        (unknown, "task_unknown", "no live worker has registered its task shop.add"),
        (elsewhere, "no_worker_for_both", "do not serve its queue default"),
        (later, "due_later,no_worker", "it is due at 20"),
        (parked, "parked", "it is parked as undecodable: "),
        (dependent, "dependencies", "it waits for 1 of 1 dependencies: "),
        (fan_in, "dependencies", "it waits for 5 of 5 dependencies: "),
        (after_a_workflow, "dependencies", "dependencies"),
        (lost, "worker_lost", "its worker is gone"),
    ],
)
def test_a_job_that_does_not_run_says_why(
    run: Run, shop: Hammerflow, prepare: Prepare, code: str, words: str
) -> None:
    job = prepare(shop)

    shown, found = run("job", "show", job.id), run("job", "show", job.id, "--json").json

    assert ",".join(each["code"] for each in found["obstacles"]) == code
    assert found["obstacles"][0].keys() == set(Obstacle._fields)
    assert "\nblocked " in shown.out and words in shown.out


def test_a_paused_workflow_is_why_its_jobs_wait(run: Run, embedded_shop: Hammerflow) -> None:
    add = embedded_shop.tasks["shop.add"]
    workflow = Workflow("album", failure_policy=FailurePolicy.MANUAL)
    workflow.add(add.s(1, 2), name="first")
    workflow.add(add.s(3, 4), name="second", after=["first"])
    result = embedded_shop.enqueue(workflow)
    settle(embedded_shop, claim(embedded_shop), Failed(FAILURE))
    (waiting,) = embedded_shop.store.jobs.list(state=JobState.WAITING)

    assert "workflow_paused" in codes(embedded_shop, waiting)
    assert f"retry, skip or resume {result.id}" in run("job", "show", waiting.id).out


def test_a_job_that_runs_or_has_ended_has_no_obstacle(shop: Hammerflow) -> None:
    job = a_job(shop)
    claimed = claim(shop)

    assert codes(shop, shop.job(job.id)) == []
    settle(shop, claimed, Completed(None))
    assert codes(shop, shop.job(job.id)) == []


def test_the_note_of_a_failed_job_is_its_error(run: Run, shop: Hammerflow) -> None:
    job = a_job(shop)
    settle(shop, claim(shop), Failed(FAILURE))

    alone, (found,) = run("job", "list"), run("job", "list", "--json").json
    with_app = run("-A", "shop:app", "job", "list")

    assert "AlbumMissing: no such album in shop (attempt 1)" in alone.out
    assert "AlbumMissing: no such album in shop (attempt 1 of 3)" in with_app.out
    assert " here:1 " in alone.out and " s " in alone.out
    assert found["error"] == {"type": FAILURE.type, "message": FAILURE.message}
    assert found["worker"] == {"id": WORKER, "host": "here", "pid": 1}
    assert (found["id"], found["seconds"] >= 0) == (str(job.id), True)


def test_a_retried_job_shows_what_went_wrong_last(run: Run, shop: Hammerflow) -> None:
    a_job(shop)
    settle(shop, claim(shop), Failed(FAILURE))
    (job,) = shop.jobs()
    run("job", "retry", job.id)
    again = Failure("failed", "builtins.KeyError", "'x'", "")
    settle(shop, claim(shop), Failed(again))

    assert "KeyError: 'x' (attempt" in run("job", "list").out


def test_trees_and_workflows_show_errors_as_well(run: Run, embedded_shop: Hammerflow) -> None:
    root = spawn_album(embedded_shop, 2)
    settle(embedded_shop, claim(embedded_shop, "shop.resize"), Failed(FAILURE))
    add = embedded_shop.tasks["shop.add"]
    chain = embedded_shop.enqueue(add.s(1, 2) | add.s(3))  # type: ignore[operator]
    settle(embedded_shop, claim(embedded_shop, "shop.add"), Failed(FAILURE))
    workflow = chain.job().workflow_id

    for command in (
        ["spawn", "tree", root], ["spawn", "lineage", root], ["workflow", "show", workflow],
    ):  # fmt: skip
        assert "AlbumMissing: no such album in shop" in run(*command).out, command
