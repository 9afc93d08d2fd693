"""``explain`` says why a job does not run, and what would change that; lists say why one failed."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

import pytest

from hammerflow import FailurePolicy, Hammerflow, JobState, Priority, Workflow
from hammerflow.ids import first_id_at, name_id, new_id
from hammerflow.jobs.job import Job
from hammerflow.jobs.limit import RATE, Limit
from hammerflow.jobs.outcome import Completed, Failed, Failure, Parked, Retrying, Snoozed, Suspected
from hammerflow.stores.diagnosis.explain import explain, reasons
from tests.cli.conftest import WORKER, Run, claim, settle, spawn_album
from tests.stores.kit import desk_at
from tests.support.waiting import until

FAILURE = Failure("failed", "shop.errors.AlbumMissing", "no such album\nin shop", "Traceback ...")
Prepare = Callable[[Hammerflow], Job]
Remove = Callable[[Hammerflow], object]


def serve(app: Hammerflow, *, queues: list[str], tasks: list[str], is_open: bool = False) -> None:
    """Replace the worker by one that serves these queues and tasks."""
    workers = app.store.workers
    workers.leave(WORKER)
    info = {"queues": queues, "is_open": is_open}
    workers.register(WORKER, host="here", pid=1, info=info, tasks=tasks, queues=queues)


def serve_all(app: Hammerflow) -> None:
    serve(app, queues=["default"], tasks=list(app.tasks), is_open=True)


def codes(app: Hammerflow, job: Job) -> list[str]:
    return [each.kind for each in reasons(app.store, job, lease=30)]


def a_job(app: Hammerflow, **options: object) -> Job:
    result = app.enqueue(app.signature("shop.add", [1, 2], **options))  # type: ignore[arg-type]
    return result.job()


def elapse(app: Hammerflow) -> None:
    """Let two hours pass in the database, and make ready what is due."""
    with desk_at(app.settings.database) as desk:
        desk.elapse(7200)
    app.store.workers.beat(WORKER)
    app.store.jobs.promote()


def second(app: Hammerflow) -> Job:
    a_job(app)
    return a_job(app)


def aged(app: Hammerflow) -> Job:
    """A job of two minutes ago, for workers that raise jobs by one priority a minute."""
    job_id = first_id_at(time.time() - 130)[:6] + new_id()[6:]
    with desk_at(app.settings.database) as desk:
        desk.put(desk.job("shop.add", "default", 1, id=job_id))
    info = {"queues": ["default"], "is_open": True, "aging": 60.0}
    app.store.workers.leave(WORKER)
    app.store.workers.register(
        WORKER, host="here", pid=1, info=info, tasks=list(app.tasks), queues=["default"]
    )
    return app.job(uuid.UUID(bytes=job_id))


def claim_by_age(app: Hammerflow) -> None:
    job = app.jobs(state=JobState.READY)[0]
    assert job.priority is Priority.LOW  # it shows its own


def claim_first(app: Hammerflow) -> None:
    (first, *_) = app.store.jobs.list(state=JobState.READY)[::-1]
    app.store.jobs.cancel(first.id.bytes, "out of the way")


def paused(app: Hammerflow) -> Job:
    app.store.queues.pause("default", by="ann@here", reason="the [big] move")
    return a_job(app)


def resume(app: Hammerflow) -> None:
    app.store.queues.resume("default")


def without_worker(app: Hammerflow) -> Job:
    app.store.workers.leave(WORKER)
    return a_job(app)


def silent(app: Hammerflow) -> Job:
    job = a_job(app)
    with desk_at(app.settings.database) as desk:
        desk.elapse(60)
    return job


def hushed(app: Hammerflow) -> Job:
    """Ready, as its only worker is silent, though not yet for a lease."""
    job = a_job(app)
    with desk_at(app.settings.database) as desk:
        desk.elapse(20)
    return job


def beat(app: Hammerflow) -> None:
    app.store.workers.beat(WORKER)


def unserved(app: Hammerflow) -> Job:
    serve(app, queues=["mail"], tasks=["shop.add"])
    return a_job(app)


def unknown(app: Hammerflow) -> Job:
    serve(app, queues=["default"], tasks=["shop.resize"], is_open=True)
    return a_job(app)


def capped(app: Hammerflow) -> Job:
    """Ready, as its only worker holds as many jobs of the queue as its cap allows."""
    a_job(app)
    assert len(claim(app)) == 1
    info = {"queues": ["default"], "is_open": True, "caps": {"default": 1}}
    app.store.workers.tell(WORKER, info)
    return a_job(app)


def elsewhere(app: Hammerflow) -> Job:
    serve(app, queues=["mail"], tasks=["shop.add"])
    info = {"queues": ["default"], "is_open": False}
    app.store.workers.register(8, host="b", pid=2, info=info, tasks=["x"], queues=["default"])
    return a_job(app)


def later(app: Hammerflow) -> Job:
    return a_job(app, delay=3600)


def overdue(app: Hammerflow) -> Job:
    """Due, and no worker has made it ready."""
    job = a_job(app, delay=3600)
    with desk_at(app.settings.database) as desk:
        desk.elapse(7200)
    app.store.workers.beat(WORKER)
    return app.job(job.id)


def overdue_alone(app: Hammerflow) -> Job:
    job = overdue(app)
    app.store.workers.leave(WORKER)
    return job


def promote(app: Hammerflow) -> None:
    serve_all(app)
    app.store.jobs.promote()


def retrying(app: Hammerflow) -> Job:
    job = a_job(app)
    settle(app, claim(app), Retrying(3600.0, FAILURE))
    return app.job(job.id)


def snoozing(app: Hammerflow) -> Job:
    job = a_job(app)
    settle(app, claim(app), Snoozed(3600.0))
    return app.job(job.id)


def suspected(app: Hammerflow) -> Job:
    job = a_job(app)
    settle(app, claim(app), Suspected(FAILURE))
    return app.job(job.id)


def expired(app: Hammerflow) -> Job:
    job = a_job(app, expires=3600)
    elapse(app)
    return app.job(job.id)


def parked(app: Hammerflow) -> Job:
    job = a_job(app)
    settle(app, claim(app), Parked("undecodable", FAILURE))
    return app.job(job.id)


def failed(app: Hammerflow) -> Job:
    job = a_job(app)
    settle(app, claim(app), Failed(FAILURE))
    return app.job(job.id)


def cancelled(app: Hammerflow) -> Job:
    job = a_job(app)
    app.result(job.id).cancel("not needed")
    return app.job(job.id)


def retry_all(app: Hammerflow) -> None:
    for job in app.jobs():
        app.result(job.id).retry()


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
    inner = Workflow("inner")
    inner.add(add.s(1, 2), name="first")
    workflow.add(inner, name="inner")
    workflow.add(add.s(3, 4), name="last", after=["inner"])
    app.enqueue(workflow)
    return next(job for job in app.jobs() if job.state is JobState.WAITING)


def complete(app: Hammerflow) -> None:
    settle(app, claim(app), Completed(app.codec.encode(1)))


def held(app: Hammerflow) -> Job:
    add = app.tasks["shop.add"]
    workflow = Workflow("album", failure_policy=FailurePolicy.MANUAL)
    workflow.add(add.s(1, 2), name="first")
    workflow.add(add.s(3, 4), name="second", after=["first"])
    app.enqueue(workflow)
    settle(app, claim(app), Failed(FAILURE))
    (waiting,) = app.store.jobs.list(state=JobState.WAITING)
    return waiting


def skip_first(app: Hammerflow) -> None:
    (workflow_id,) = {job.workflow_id for job in app.jobs()}
    assert workflow_id is not None
    app.workflow_result(workflow_id).skip("first")


def lost(app: Hammerflow) -> Job:
    job = a_job(app)
    assert len(claim(app)) == 1
    app.store.workers.leave(WORKER)
    return app.job(job.id)


def sweep(app: Hammerflow) -> None:
    app.store.workers.sweep(lease=30, poison_limit=3)
    serve_all(app)


def limited(app: Hammerflow, limit: Limit) -> Job:
    """The second of two jobs that a claim has met since they have a limit."""
    _, job = a_job(app), a_job(app)
    app.store.limits.give("task", "shop.add", limit, by="ann@here")
    ids = [name_id("shop.add")]
    app.store.jobs.claim(WORKER, queue="default", task_ids=ids, limit=9, thorough=True)
    return app.job(job.id)


def full(app: Hammerflow) -> Job:
    return limited(app, Limit(None, 1))


def forbidden(app: Hammerflow) -> Job:
    return limited(app, Limit(None, 0))


def slowed(app: Hammerflow) -> Job:
    return limited(app, Limit(RATE.read("1/h"), None))


def lift(app: Hammerflow) -> None:
    app.store.limits.give("task", "shop.add", Limit(RATE.read("999/s burst 9"), 9), by="ann@here")


def another(app: Hammerflow) -> None:
    info = {"queues": ["mail"], "is_open": False}
    app.store.workers.register(8, host="b", pid=2, info=info, tasks=["x"], queues=["mail"])


def running(app: Hammerflow, silent_for: float) -> Job:
    """A job whose worker has been silent for some seconds."""
    job = a_job(app)
    assert len(claim(app)) == 1
    with desk_at(app.settings.database) as desk:
        desk.elapse(silent_for)
    return app.job(job.id)


def quiet_alone(app: Hammerflow) -> Job:
    return running(app, 20)


def quiet(app: Hammerflow) -> Job:
    another(app)
    job = running(app, 20)
    app.store.workers.beat(8)
    return job


def stopped_and_quiet(app: Hammerflow) -> Job:
    job = a_job(app)
    claim(app)
    app.result(job.id).cancel("too late")
    with desk_at(app.settings.database) as desk:
        desk.elapse(20)
    return app.job(job.id)


def dead_runner(app: Hammerflow) -> Job:
    another(app)
    job = running(app, 60)
    app.store.workers.beat(8)
    return job


def take_over(app: Hammerflow) -> None:
    with desk_at(app.settings.database) as desk:
        desk.elapse(60)
    app.store.workers.beat(8)
    sweep(app)


def dead_holder(app: Hammerflow) -> Job:
    job = full(app)
    with desk_at(app.settings.database) as desk:
        desk.elapse(60)
    another(app)
    info = {"queues": ["default"], "is_open": True}
    app.store.workers.register(
        9, host="c", pid=3, info=info, tasks=["shop.add"], queues=["default"]
    )
    return job


def sweep_all(app: Hammerflow) -> None:
    sweep(app)
    (first, *_) = app.store.jobs.list(state=JobState.READY)[::-1]
    app.store.jobs.cancel(first.id.bytes, "out of the way")


def draining(app: Hammerflow) -> Job:
    app.store.workers.beat(WORKER, {"draining": True, "children": [{"running": 1, "jobs": []}]})
    return a_job(app)


def childless(app: Hammerflow) -> Job:
    unready = ["the fork server is gone: no child can be replaced"]
    app.store.workers.beat(WORKER, {"draining": False, "children": [], "unready": unready})
    return a_job(app)


def held_from_outside(app: Hammerflow) -> Job:
    """A job of a workflow inside one that is paused."""
    add = app.tasks["shop.add"]
    inner = Workflow("inner")
    inner.add(add.s(3, 4), name="only")
    outer = Workflow("outer", failure_policy=FailurePolicy.MANUAL)
    outer.add(add.s(1, 2), name="first")
    outer.add(inner, name="second", after=["first"])
    app.enqueue(outer)
    settle(app, claim(app), Failed(FAILURE))
    (waiting,) = app.store.jobs.list(state=JobState.WAITING)
    return waiting


def skip_of_outer(app: Hammerflow) -> None:
    (outer,) = [each for each in app.workflows() if each.row().name == "outer"]
    outer.skip("first")


def without_its_key(app: Hammerflow) -> Job:
    """A failed job whose unique key another one holds now."""
    job = a_job(app, unique_key="k")
    settle(app, claim(app), Failed(FAILURE))
    a_job(app, unique_key="k")
    return app.job(job.id)


def end_the_holder(app: Hammerflow) -> None:
    complete(app)
    (failed,) = app.jobs(state=JobState.FAILED)
    app.result(failed.id).retry()


CASES: list[tuple[Prepare, str, str, Remove]] = [
    (second, "queued", "1 job is ahead of it in its queue default; workers that", claim_first),
    (a_job, "next", "it is the next of its queue default", lambda app: None),
    (hushed, "next", "run 0 jobs; the worker on here (pid 1) has been silent since 20", beat),
    (aged, "next", "by its age it counts as high; workers that", claim_by_age),
    (suspected, "next", "run 0 jobs; it runs alone, as a process died that ran", lambda app: None),
    (paused, "queue_paused", "by ann@here (the [big] move) -> run: hammerflow queue res", resume),
    (without_worker, "no_worker", "no worker is alive", serve_all),
    (silent, "no_worker", "no worker is alive", beat),
    (unserved, "queue_unserved", "-> add it to the queues of a worker: -Q ...,d", serve_all),
    (unknown, "task_unknown", "no live worker has registered its task shop.add", serve_all),
    (elsewhere, "no_worker_for_both", "do not serve its queue default", serve_all),
    (later, "due_later", "is scheduled: it is due at 20", elapse),
    (overdue, "due", "is scheduled: it has been due since 20", promote),
    (overdue_alone, "no_worker", "is scheduled: no worker is alive", promote),
    (retrying, "retry_later", "attempt 1 has failed: shop.errors.AlbumMissing: no such", elapse),
    (snoozing, "snoozed", "as its body has raised Snooze", elapse),
    (full, "limit_full", "1 of 1 jobs of its limit task:shop.add run: ", lift),
    (forbidden, "limit_zero", "its limit task:shop.add allows no job to run", lift),
    (slowed, "limit_rate", "the rate of its limit task:shop.add allows the next start at 20", lift),
    (expired, "expired_ready", "the next worker that claims it cancels it", lambda app: None),
    (parked, "parked", "is parked as undecodable: ", retry_all),
    (failed, "failed", "for good at 20", retry_all),
    (cancelled, "cancelled", ": not needed -> to run it again: hammerflow job retry", retry_all),
    (dependent, "dependencies", "it waits for 1 of 1 dependencies: ", complete),
    (fan_in, "dependencies", "(ready) and 2 others", complete),
    (after_a_workflow, "dependencies", "dependencies: the workflow inner (running)", complete),
    (held, "workflow_paused", "its workflow album is paused (a node has failed: retry", skip_first),
    (lost, "worker_lost_alone", "its worker is gone, and no other worker is alive", sweep),
    (quiet, "worker_silent", "(pid 1) has been silent since 20", take_over),
    (quiet_alone, "worker_silent_alone", "and no other worker is alive to take it", take_over),
    (dead_runner, "worker_lost", "a live worker takes the job over at its next sweep", sweep),
    (dead_holder, "limit_full", " are on workers that are silent or gone", sweep_all),
    (capped, "queue_capped", "could run it hold 1 of 1 jobs of default, as their caps", beat),
    (draining, "workers_draining", "is draining, and takes no more jobs", serve_all),
    (childless, "no_child", "process: the fork server is gone: no child can", serve_all),
    (held_from_outside, "workflow_paused", "its workflow outer is paused", skip_of_outer),
    (without_its_key, "failed", "which holds its unique key, has ended: hamm", end_the_holder),
]


def name(value: object) -> str:
    return getattr(value, "__name__", "-")


@pytest.mark.parametrize(("prepare", "kind", "words", "remove"), CASES, ids=name)
def test_a_job_starts_once_its_reason_is_removed(
    run: Run, shop: Hammerflow, prepare: Prepare, kind: str, words: str, remove: Remove
) -> None:
    job = prepare(shop)

    found = explain(shop.store, job, lease=30)
    told = run("explain", job.id)

    assert found.kind == kind
    assert told.out == f"{found.sentence(job.id, job.state)}\n"
    assert words in told.out
    remove(shop)
    until("it starts", lambda: job.id.bytes in {claimed.id for claimed in claim(shop)})


def in_a_cancelled_batch(app: Hammerflow) -> Job:
    batch = app.batch([app.tasks["shop.add"].s(1, 2)]).enqueue()
    claim(app)
    batch.cancel("wrong file")
    return app.jobs()[0]


def in_a_paused_queue(app: Hammerflow) -> Job:
    job = running(app, 0)
    app.store.queues.pause("default")
    return job


def ahead(app: Hammerflow) -> Job:
    return running(app, -3600)


def all_ahead(app: Hammerflow) -> Job:
    job = a_job(app)
    with desk_at(app.settings.database) as desk:
        desk.elapse(-3600)
    return job


def childless_holder(app: Hammerflow) -> Job:
    job = running(app, 0)
    child = {"pid": 5, "running": 0, "jobs": []}
    app.store.workers.beat(WORKER, {"children": [child], "unready": ["the fork server is gone"]})
    with desk_at(app.settings.database) as desk:
        desk.elapse(-0.9)
    return app.job(job.id)


@pytest.mark.parametrize(
    ("prepare", "kind", "words"),
    [
        (in_a_cancelled_batch, "stopping", "its worker was told to stop it (wrong file)"),
        (stopped_and_quiet, "worker_silent_alone", ", after it was told to stop it (too late), so"),
        (in_a_paused_queue, "running", "it has been running on here (pid 1) since 20"),
        (ahead, "worker_ahead", "as the database's clock was set back; if no other comes, a live"),
        (all_ahead, "clock_set_back", "the last heartbeats of all workers lie in the future (20"),
        (childless_holder, "held", "and has no child for it yet: the fork server is gone"),
    ],
    ids=name,
)
def test_broken_surroundings_are_told(
    run: Run, shop: Hammerflow, prepare: Prepare, kind: str, words: str
) -> None:
    job = prepare(shop)
    assert explain(shop.store, job, lease=30).kind == kind
    assert words in run("explain", job.id).out


def test_a_job_that_has_just_moved_is_explained_as_well(shop: Hammerflow) -> None:
    job = dependent(shop)
    complete(shop)

    assert explain(shop.store, job, lease=30).says == "what it waited for has just ended"


def test_the_first_reason_is_told_and_the_others_are_listed(
    run: Run, embedded_shop: Hammerflow
) -> None:
    job = later(embedded_shop)
    embedded_shop.store.queues.pause("default")
    embedded_shop.store.workers.leave(WORKER)

    found = run("explain", str(job.id)[:13], "--json").json
    shown = run("job", "show", job.id)

    assert (found["id"], found["state"], found["code"]) == (str(job.id), "scheduled", "due_later")
    assert set(found["facts"]) == {"id", "queue", "task", "run_at"}
    assert [each["code"] for each in found["then"]] == ["queue_paused", "no_worker"]
    assert "\nblocked " in shown.out and "-> run: hammerflow queue resume default" in shown.out
    assert run("job", "show", job.id, "--json").json["obstacles"][1:] == found["then"]


def test_a_long_line_is_counted_up_to_a_bound(
    embedded_shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hammerflow.stores.diagnosis.explain._MOST_AHEAD", 2)
    for _ in range(4):
        job = a_job(embedded_shop)

    assert "at least 2 jobs are ahead of it" in embedded_shop.result(job.id).explain()


def test_a_result_explains_itself(embedded_shop: Hammerflow) -> None:
    result = embedded_shop.result(a_job(embedded_shop).id)
    (claimed,) = claim(embedded_shop)

    runs = f"job {result.id} is running: it has been running on here (pid 1) since 20"
    assert runs in result.explain()
    result.cancel("no longer needed")
    assert "its worker was told to stop it (no longer needed)" in result.explain()
    settle(embedded_shop, [claimed], Completed(None))
    assert f"job {result.id} is cancelled: it was cancelled at 20" in asyncio.run(result.aexplain())


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
