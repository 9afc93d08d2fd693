"""A worker as a process: what it serves, replaces, hears and gives back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Hammerflow, JobCancelled, JobFailed, JobState
from tests.acceptance.kit import Shop
from tests.support.waiting import until

# -- burst


def test_burst_ends_when_nothing_is_left(shop: Shop) -> None:
    results = shop.send_all("note", ((i,) for i in range(500)))
    spawner = shop.send("fan_out", 30)
    retried = shop.send("asks_retry", 60.0)

    worker = shop.worker("--burst")

    assert worker.process.wait(30) == 0
    assert all(result.state is JobState.COMPLETED for result in results)
    assert spawner.children()[-1].get(timeout=0) == [30, True]
    assert retried.state is JobState.SCHEDULED


def test_burst_with_nothing_to_do_ends_at_once(sqlite_shop: Shop) -> None:
    begun = time.monotonic()

    worker = sqlite_shop.worker("--burst")

    assert worker.process.wait(10) == 0
    assert time.monotonic() - begun < 5


@pytest.mark.slow
def test_a_worker_takes_the_longest_timeouts_and_functions_as_backoffs(sqlite_shop: Shop) -> None:
    with sqlite_shop.worker():
        failed = [sqlite_shop.send(name, 1) for name in ("patient", "patient_async")]
        long = sqlite_shop.send("note", "long", timeout=10**8)

        assert long.get(timeout=30) == "long"
        for result in failed:
            with pytest.raises(JobFailed, match="ValueError: 1"):
                result.get(timeout=30)
            assert result.job().attempt == 3


@pytest.mark.slow
def test_a_body_that_changes_its_folder_writes_jobs_to_the_same_file(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "moving.py").write_text(
        "import os\nfrom hammerflow import Hammerflow\napp = Hammerflow('moving')\n"
        "@app.task\ndef ping(): ...\n"
        "@app.task\ndef moves():\n    os.chdir('elsewhere')\n    ping.delay()\n"
        "@app.task\nasync def moves_async():\n"
        "    os.chdir('elsewhere')\n    await ping.adelay()\n"
    )
    environ = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}"}
    client = [sys.executable, "-c", "from moving import *; moves.delay(); moves_async.delay()"]
    worker = [
        sys.executable,
        "-m",
        "hammerflow",
        "-A",
        "moving:app",
        "worker",
        "--burst",
        "-c",
        "1",
    ]
    for command in (client, worker):
        subprocess.run(command, cwd=tmp_path, env=environ, check=True, timeout=60)

    app = Hammerflow("reader", database=f"sqlite:///{tmp_path}/hammerflow.db")

    assert sorted((job.task, job.state) for job in app.jobs()) == [
        ("moving.moves", "completed"), ("moving.moves_async", "completed"),
        ("moving.ping", "completed"), ("moving.ping", "completed"),
    ]  # fmt: skip
    assert not list(elsewhere.iterdir())
    app.close()


# -- order and room


@pytest.mark.slow
def test_a_slow_job_delays_no_short_one_while_another_child_is_free(shop: Shop) -> None:
    with shop.worker():
        warm = shop.send_all("note", ((i,) for i in range(50)))
        shop.wait_until_quiet()
        slow = shop.send("hold", "gate")
        shop.wait_for_run(slow)
        slow_of_a_quick_task = shop.send("note", "slow", 3.0)
        short = shop.send_all("note", ((i,) for i in range(300)))

        shop.open("gate")
        for result in short:
            result.get(timeout=10)

        assert slow_of_a_quick_task.state is JobState.RUNNING
        slow_of_a_quick_task.get(timeout=10)
    shop.check([*warm, slow, slow_of_a_quick_task, *short])


def test_an_async_child_runs_many_at_once_and_no_more_than_its_slots(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker("--async-slots", "20", children=1):
        jobs = shop.send_all("hold_async", (("gate", i) for i in range(30)))
        until("20 run", lambda: len(shop.ledger.runs()) >= 20)
        # Once a later job has run, the supervisor has claimed again and handed out what it may.
        later = shop.send("note", 1)
        assert later.get(timeout=10) == 1
        shop.open("gate")

        assert [job.get(timeout=10) for job in jobs] == list(range(30))
    runs = [run for run in shop.ledger.runs() if run.task.endswith("hold_async")]
    at_once = [sum(r.began <= run.began < (r.ended or 0) for r in runs) for run in runs]
    assert max(at_once) == 20
    shop.check([*jobs, later])


def test_all_children_work_at_once(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker(children=4):
        jobs = shop.send_all("hold", (("gate", i) for i in range(4)))
        until("4 run", lambda: len(shop.ledger.runs()) == 4)
        shop.open("gate")
        for job in jobs:
            job.get(timeout=10)


@pytest.mark.slow
def test_jobs_that_find_no_child_go_back_for_other_hosts(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker(children=1):
        shop.send_all("note", ((i,) for i in range(200)))
        shop.wait_until_quiet()  # now it claims ahead
        hogs = shop.send_all("hold", (("gate",) for _ in range(2)))
        short = shop.send_all("note", ((i,) for i in range(50)))
        shop.wait_for_run(hogs[0])

        until("all others are given back", lambda: shop.desk.count("leases") == 1)
        assert {shop.job(result).attempt for result in short} == {0}
        shop.open("gate")
        shop.wait_until_quiet()
    shop.check()


# -- queues


def test_only_the_queues_asked_for_are_served(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker("-Q", "high:5,low"):
        served = [shop.send("note", q, queue=q) for q in ("high", "low")]
        other = shop.send("note", "other", queue="other")

        assert [result.get(timeout=10) for result in served] == ["high", "low"]
        assert other.state is JobState.READY


def test_a_queue_that_appears_is_served_without_being_named(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker():
        assert shop.send("note", 1, queue="quite new").get(timeout=15) == 1


def test_a_paused_queue_rests_until_it_is_resumed(shop: Shop) -> None:
    with shop.worker():
        shop.client.store.queues.pause("slow")
        paused = shop.send("note", 1, queue="slow")
        assert shop.send("note", 2).get(timeout=10) == 2
        assert paused.state is JobState.READY

        shop.client.store.queues.resume("slow")
        shop.client.notifier.ring_control()

        assert paused.get(timeout=15) == 1


@pytest.mark.slow
def test_a_task_that_no_worker_knows_is_parked_until_one_does(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    folder = shop.folder / "code"
    folder.mkdir()
    code = "from hammerflow import Hammerflow\napp = Hammerflow('other')\n"
    (folder / "other.py").write_text(code)
    unknown = shop.client.enqueue(shop.client.signature("other.late", (5,)))
    with shop.worker(app="other:app", folder=folder):
        until("parked", lambda: unknown.state is JobState.PARKED)
        assert "other.late" in str(unknown.job().reason)

    (folder / "other.py").write_text(f"{code}@app.task\ndef late(x): return x + 1\n")
    with shop.worker(app="other:app", folder=folder):
        assert unknown.get(timeout=10) == 6


# -- cancelling


@pytest.mark.parametrize("task", ["hold", "hold_async"])
def test_a_running_body_is_cancelled(shop: Shop, task: str) -> None:
    with shop.worker(children=1) as worker:
        before = until("both kinds are there", lambda: _two(worker.children()))
        victim = shop.send(task, "never")
        shop.wait_for_run(victim)

        assert victim.cancel("not wanted") is JobState.RUNNING

        with pytest.raises(JobCancelled, match="not wanted"):
            victim.get(timeout=10)
        assert shop.send("note", 1).get(timeout=10) == 1
        assert worker.children() == before, "no child was killed for it"
    shop.check()


def _two(children: set[int]) -> set[int]:
    return children if len(children) == 2 else set()


@pytest.mark.slow
def test_a_body_that_will_not_end_is_killed_after_the_grace(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker("--grace", "0.5", children=1) as worker:
        before = until("both kinds are there", lambda: _two(worker.children()))
        victim = shop.send("spins", 60.0)
        shop.wait_for_run(victim)
        victim.cancel("enough")

        with pytest.raises(JobCancelled, match="enough"):
            victim.get(timeout=10)
        until("a new child", lambda: worker.children() - before)


def test_a_cancelled_job_that_waits_in_a_child_never_starts(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker(children=1):
        shop.send_all("note", ((i,) for i in range(100)))
        shop.wait_until_quiet()
        held = shop.send("hold", "gate", priority=4)
        behind = shop.send_all("note", ((i, "x") for i in range(3)))
        shop.wait_for_run(held)
        for result in behind:
            result.cancel()
        shop.open("gate")
        held.get(timeout=10)
        shop.wait_until_quiet()

        assert {result.state for result in behind} == {JobState.CANCELLED}
        assert shop.ledger.counts(result.id.hex for result in behind) == {0: 3}


# -- timeouts of neighbours


@pytest.mark.slow
def test_an_async_child_killed_for_one_job_gives_the_others_back_uncharged(
    sqlite_shop: Shop,
) -> None:
    shop = sqlite_shop
    with shop.worker(children=1):
        neighbours = shop.send_all("hold_async", (("gate", i) for i in range(5)))
        until("5 run", lambda: len(shop.ledger.runs()) == 5)
        spinner = shop.send("spins", 60.0)

        with pytest.raises(JobFailed, match="timeout of 0.5 s"):
            spinner.get(timeout=15)
        shop.open("gate")

        assert [result.get(timeout=10) for result in neighbours] == list(range(5))
        assert [shop.job(result).attempt for result in neighbours] == [1] * 5
        assert [shop.kinds(result) for result in neighbours] == [[]] * 5


# -- fresh children and fresh code


def test_children_are_replaced_after_so_many_jobs(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker("--max-jobs-per-child", "7", children=2) as worker:
        results = shop.send_all("note", ((i,) for i in range(60)))
        shop.wait_until_quiet()

        runs = shop.ledger.runs()
        by_child = {pid: sum(run.pid == pid for run in runs) for pid in {run.pid for run in runs}}
        assert max(by_child.values()) <= 7
        assert len(by_child) >= 9
        assert "child died" not in worker.log
    shop.check(results)


def test_children_that_grow_are_replaced(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker("--max-memory-per-child", "1", children=1):
        results = shop.send_all("note", ((i,) for i in range(5)))
        coroutines = shop.send_all("hold_async", (("gate", i) for i in range(3)))
        shop.open("gate")
        for result in [*results, *coroutines]:
            result.get(timeout=15)

        runs = [run for run in shop.ledger.runs() if run.task == "note"]
        assert len({run.pid for run in runs}) == 5


@pytest.mark.slow
def test_sighup_brings_fresh_code_and_lets_running_bodies_end(
    sqlite_shop: Shop, tmp_path: Path
) -> None:
    shop, code = sqlite_shop, tmp_path / "fresh.py"
    gate = tmp_path / "gate"
    code.write_text(_module(f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)", "old"))
    with shop.worker(app="fresh:app", folder=tmp_path, children=1) as worker:
        running = shop.client.enqueue(shop.client.signature("fresh.say"))
        until("it runs", lambda: running.state is JobState.RUNNING)

        code.write_text(_module("pass", "new") + "@app.task\ndef added(): return 'added'\n")
        worker.signal(signal.SIGHUP)
        later = shop.client.enqueue(shop.client.signature("fresh.say"))
        added = shop.client.enqueue(shop.client.signature("fresh.added"))

        assert later.get(timeout=15) == "new"
        assert added.get(timeout=15) == "added"
        gate.touch()
        assert running.get(timeout=15) == "old"
        until("the old fork server has gone", lambda: len(worker.family()) == 3)
        until("one registration is left", lambda: shop.desk.count("workers") == 1)

        code.write_text("broken(")
        worker.signal(signal.SIGHUP)
        worker.wait_for_log("cannot be loaded")
        assert shop.client.enqueue(shop.client.signature("fresh.say")).get(timeout=15) == "new"


def test_reload_notices_a_changed_file(sqlite_shop: Shop, tmp_path: Path) -> None:
    shop, code = sqlite_shop, tmp_path / "fresh.py"
    code.write_text(_module("pass", "old"))
    with shop.worker("--reload", app="fresh:app", folder=tmp_path, children=1):
        say = shop.client.signature("fresh.say")
        assert shop.client.enqueue(say).get(timeout=15) == "old"

        code.write_text(_module("pass", "new") + "# longer\n")

        until("new", lambda: shop.client.enqueue(say).get(timeout=15) == "new")


def _module(line: str, word: str) -> str:
    return (
        "import os, time\nfrom hammerflow import Hammerflow\napp = Hammerflow('shop')\n"
        f"@app.task\ndef say():\n    {line}\n    return {word!r}\n"
    )


# -- the end


def test_a_drain_gives_back_what_has_not_started_and_waits_for_what_runs(shop: Shop) -> None:
    worker = shop.worker(children=1)
    held = shop.send("hold", "gate", "h")
    shop.wait_for_run(held)
    behind = shop.send_all("note", ((i,) for i in range(20)))
    worker.process.terminate()
    worker.wait_for_log("draining")
    shop.open("gate")

    assert worker.process.wait(15) == 0
    assert held.state is JobState.COMPLETED
    assert {result.state for result in behind} <= {JobState.READY}
    assert {result.job().attempt for result in behind} == {0}
    assert shop.desk.count("workers") == 0
    assert shop.desk.count("leases") == 0


def test_a_body_that_outlasts_the_grace_goes_back_uncharged(shop: Shop) -> None:
    worker = shop.worker("--grace", "0.3", children=1)
    held, coroutine = shop.send("hold", "gate"), shop.send("hold_async", "gate")
    shop.wait_for_run(held)
    shop.wait_for_run(coroutine)

    assert worker.stop() == 0

    for result in (held, coroutine):
        job = shop.job(result)
        assert (job.state, job.attempt, job.errors) == (JobState.READY, 0, ())
    assert worker.family() == {}


def test_a_second_signal_stops_at_once(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    worker = shop.worker("--grace", "60", children=1)
    held = shop.send("hold", "gate")
    shop.wait_for_run(held)
    worker.process.send_signal(signal.SIGINT)
    worker.wait_for_log("draining")
    worker.process.send_signal(signal.SIGINT)

    assert worker.process.wait(10) == 0
    assert held.job().attempt == 0
    assert worker.family() == {}


# -- words to its people


def test_progress_can_be_seen_while_the_body_runs(sqlite_shop: Shop, tmp_path: Path) -> None:
    shop, code = sqlite_shop, tmp_path / "fresh.py"
    gate = tmp_path / "gate"
    code.write_text(
        "import os, time\nfrom hammerflow import Hammerflow, current_job\napp = Hammerflow('s')\n"
        "@app.task\ndef work():\n"
        "    for i in range(1000): current_job().progress(i / 2000, f'step {i}')\n"
        f"    while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
    )
    with shop.worker(app="fresh:app", folder=tmp_path):
        result = shop.client.enqueue(shop.client.signature("fresh.work"))

        until("the last word is seen", lambda: result.job().progress_note == "step 999")
        assert result.job().progress == pytest.approx(0.4995)
        gate.touch()
        result.get(timeout=10)


def test_logs_are_lines_of_json(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker("--log-format", "json") as worker:
        shop.send("fails", 1).get(timeout=10)

    lines = [json.loads(line) for line in worker.log.splitlines()]
    failed = [line for line in lines if line["message"].startswith("job failed")]
    assert [(line["attempt"], line["kind"], line["level"]) for line in failed] == [
        (1, "failed", "warning")
    ]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("app = 3", "cannot find"),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import nothing_of_the_kind", "nothing_of_the_kind"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("from tests.worker.nasty import RAISED; raise RAISED['exits in str'][0]()", "SystemExit"),
    ],
)
def test_an_app_that_cannot_be_loaded_is_one_sentence(tmp_path: Path, code: str, said: str) -> None:
    (tmp_path / "shop.py").write_text(code)

    run = _worker(tmp_path, "shop:app")

    assert run.returncode in (1, 2)
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def test_a_database_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from hammerflow import Hammerflow\n"
        "app = Hammerflow('shop', database='postgresql://nobody@127.0.0.1:1/none')"
    )

    run = _worker(tmp_path, "shop:app", "--wait-for-database", "0")

    assert run.returncode == 1
    assert "127.0.0.1:1" in run.stderr
    assert "Traceback" not in run.stderr


def _worker(folder: Path, app: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hammerflow", "-A", app, "worker", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


# -- database outages


def test_a_worker_outlives_its_database(own_postgres: Any, shop_at: Callable[..., Shop]) -> None:
    from tests.conftest import _migrate

    url = own_postgres.url()
    _migrate(url)
    shop = shop_at(url)
    with shop.worker() as worker:
        held = shop.send_all("hold", (("gate", i) for i in range(2)))
        until("both run", lambda: len(shop.ledger.runs()) == 2)
        own_postgres.kill()
        shop.open("gate")
        until("both have ended", lambda: all(run.ended for run in shop.ledger.runs()))
        worker.wait_for_log("the database is down")
        own_postgres.start()

        assert [result.get(timeout=20) for result in held] == [0, 1]
        assert shop.send("note", 5).get(timeout=10) == 5
        assert worker.log.count("the database is down") == 1
        assert worker.log.count("the database is back") == 1
    assert shop.ledger.counts(result.id.hex for result in held) == {1: 2}
    shop.check()
