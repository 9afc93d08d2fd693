"""``hammerflow worker list``, ``show``, ``stop`` and ``stack``."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Hammerflow, JobState
from hammerflow.stores.diagnosis.explain import explain
from hammerflow.stores.workers import Request
from tests.cli.conftest import HAMMERFLOW, WORKER, Run, claim, environment
from tests.stores.kit import desk_at
from tests.support.waiting import until

APP = '''
"""An app with a body that goes on."""
import time
from hammerflow import Hammerflow

app = Hammerflow("own")

@app.task
def endless() -> None:
    while True:
        time.sleep(0.05)
'''


def state_of(app: Hammerflow, *running: str) -> dict[str, Any]:
    """What a heartbeat tells: the first child runs these jobs, the second one none."""
    jobs = [{"id": job_id, "task": "shop.add", "seconds": 1.5} for job_id in running]
    first = {"pid": 11, "kind": "serial", "jobs": jobs, "running": len(jobs), "memory": 20}
    second = {"pid": 12, "kind": "async", "jobs": [], "running": 0, "memory": None}
    return {"draining": False, "waiting": 0, "children": [first, second], "ended": {}}


def test_workers_are_listed_with_what_their_children_run(run: Run, shop: Hammerflow) -> None:
    job = shop.tasks["shop.add"].delay(1, 2)
    assert len(claim(shop)) == 1
    assert shop.store.workers.beat(WORKER, state_of(shop, str(job.id)))

    listed, (found,) = run("worker", "list"), run("worker", "list", "--json").json
    shown, by_place = run("worker", "show", "7"), run("worker", "show", "here:1", "--json").json

    assert listed.out.splitlines()[1].split()[:3] == ["7", "here", "1"]
    assert "1 of 2" in listed.out and "20 MiB" in listed.out
    assert found["children"][0]["jobs"][0]["id"] == str(job.id)
    assert found["children"][0]["jobs"][0]["started_at"] < found["beat_at"]
    assert f"11     serial  20 MiB  1     {job.id} shop.add 1.5 s" in shown.out
    assert by_place["tasks"] == [
        "shop.add",
        "shop.album",
        "shop.paint",
        "shop.resize",
        "shop.total",
    ]
    assert "(pid 1, child 11) since" in explain(shop.store, job.job(), lease=30).says


def test_a_worker_without_heartbeats_is_remarked(run: Run, embedded_shop: Hammerflow) -> None:
    assert "no heartbeat" not in run("worker", "list").out
    with desk_at(embedded_shop.settings.database) as desk:
        desk.elapse(40)
    assert "no heartbeat for 4" in run("worker", "list").out


def test_a_claimed_job_that_no_child_runs_waits_for_one(embedded_shop: Hammerflow) -> None:
    job = embedded_shop.tasks["shop.add"].delay(1, 2)
    assert len(claim(embedded_shop)) == 1
    with desk_at(embedded_shop.settings.database) as desk:
        desk.sql("UPDATE {leases} SET started_at = started_at - 3")
    assert embedded_shop.store.workers.beat(WORKER, state_of(embedded_shop))

    assert explain(embedded_shop.store, job.job(), lease=30).kind == "held"


def test_a_worker_that_is_not_there_is_named(run: Run, embedded_shop: Hammerflow) -> None:
    embedded_shop.store.workers.register(
        78, host="b", pid=2, info={}, tasks=["shop.add"], queues=["default"]
    )

    assert "there is no worker '9': see hammerflow worker list" in run("worker", "show", "9").err
    assert "'7' matches several workers: 7, 78" in run("worker", "stop", "7", "--yes").err


def test_a_pool_is_resized_by_a_request(run: Run, embedded_shop: Hammerflow) -> None:
    workers = embedded_shop.store.workers
    silent = run("worker", "pool", "grow", "2", "--timeout", "0.1")
    workers.register(8, host="b", pid=2, info={}, tasks=["shop.add"], queues=["default"])
    ambiguous = run("worker", "pool", "set", "2")
    wrong = [
        run("worker", "pool", *args.split()).err for args in ("grow 0", "set 4:2", "set 7 8 9")
    ]

    assert silent.code == 1 and "the worker did not answer within 0.1 s" in silent.err
    assert workers.requests(WORKER) == []
    assert "there are 2 workers: name one of hammerflow worker list" in ambiguous.err
    assert "N must be a whole number from 1 to 1023" in wrong[0]
    assert "N must be a whole number from 1 to 1024, or two as in 2:16" in wrong[1]
    assert "give at most one worker, and a number: [WORKER] N" in wrong[2]


def test_stopping_asks_and_leaves_a_request(run: Run, shop: Hammerflow) -> None:
    refused = run("worker", "stop", "7")
    asked = run("worker", "stop", "7", "--yes")
    (request,) = shop.store.workers.requests(WORKER)
    shop.store.workers.answer(WORKER, request.id, "draining")

    assert refused.code == 2 and "would stop 1 worker, which hold 0 jobs: give --yes" in refused.err
    assert asked.out == "the worker on here (pid 1) was told to stop\n"
    assert (request.kind, request.job_id) == ("stop", None) and "@" in request.asked_by
    assert shop.store.workers.requests(WORKER) == []


def test_a_request_is_answered_once(shop: Hammerflow) -> None:
    workers = shop.store.workers
    number = workers.ask(WORKER, "stack", by="ann@here", job_id=bytes(16))

    assert workers.requests(WORKER) == [Request(number, "stack", bytes(16), None, "ann@here")]
    assert workers.take_answer(WORKER, number) is None
    workers.answer(WORKER, number, "File ...")
    assert workers.requests(WORKER) == []
    assert workers.take_answer(WORKER, number) == "File ..."
    assert workers.take_answer(WORKER, number) is None
    workers.ask(WORKER, "stop", by="ann@here")
    workers.leave(WORKER)
    assert workers.requests(WORKER) == []


def test_only_a_running_job_has_a_stack(run: Run, embedded_shop: Hammerflow) -> None:
    job = embedded_shop.tasks["shop.add"].delay(1, 2)

    assert "is ready: only a running job has a stack" in run("worker", "stack", job.id).err
    assert len(claim(embedded_shop)) == 1
    ended = run("worker", "stack", job.id, "--timeout", "0.1")
    assert ended.code == 1 and "did not answer within 0.1 s" in ended.err
    assert embedded_shop.store.workers.requests(WORKER) == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("lst", "No such command 'lst'. Did you mean 'list'?"),
        ("--until-empt", "No such option '--until-empt'. Did you mean '--until-empty'?"),
        ("-c 2 list", "--children is for a worker that is started: leave 'list' out"),
        ("--until-empty", "--until-empty goes with --burst"),
        ("-c 0", "--children"),
    ],
)
def test_a_wrong_flag_or_command_is_named(
    run: Run, embedded_shop: Hammerflow, args: str, words: str
) -> None:
    ended = run("worker", *args.split())

    assert ended.code == 2 and words in ended.err


@pytest.fixture
def worker(folder: Path, embedded_shop: Hammerflow) -> Iterator[subprocess.Popen[str]]:
    (folder / "own.py").write_text(APP)
    command = [*HAMMERFLOW, "-A", "own:app", "worker", "-c", "1"]
    process = subprocess.Popen(command, text=True, stderr=subprocess.PIPE, env=environment())
    yield process
    process.kill()
    process.communicate()


def test_a_worker_shows_its_bodies_and_stops_when_it_is_told_to(
    run: Run, embedded_shop: Hammerflow, worker: subprocess.Popen[str]
) -> None:
    job_id = run("-A", "own:app", "job", "enqueue", "own.endless").out.strip()
    result = embedded_shop.result(job_id)
    until("it runs", lambda: result.state is JobState.RUNNING)

    told = run("worker", "stack", job_id, "--timeout", "60")
    place = f"{socket.gethostname()}:{worker.pid}"
    grown = run("worker", "pool", "grow", place, "1", "--timeout", "60")
    ranged = run("worker", "pool", "set", place, "1:3", "--json", "--timeout", "60").json
    refused = run("worker", "pool", "shrink", place, "3", "--timeout", "60")
    until("its size is shown", lambda: "2 of 1:3" in run("worker", "list").out)
    (found,) = [one for one in run("worker", "list", "--json").json if one["id"] != WORKER]
    stopped = run("worker", "stop", found["id"], "--yes")
    until("it drains", lambda: "draining" in run("worker", "list").out)
    result.cancel()
    _, err = worker.communicate(timeout=60)

    assert told.out.startswith("the body is here, in child ") and "time.sleep(0.05)" in told.out
    assert f"worker on {found['host']} (pid {worker.pid}) was told to stop" in stopped.out
    at = f"the worker on {found['host']} (pid {worker.pid})"
    assert grown.out == f"{at} has 2 children now; it had 1\n"
    assert (ranged["children"], ranged["least"], ranged["most"]) == (2, 1, 3)
    assert (found["size"], found["least"], found["most"]) == (2, 1, 3)
    assert refused.code == 1 and "keeps at least one: shrink it by 2 at most, or" in refused.err
    assert worker.returncode == 0, err
    assert "has asked this worker to stop" in err
    assert [one["id"] for one in embedded_shop.store.workers.list()] == [WORKER]
