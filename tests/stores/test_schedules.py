"""Schedules: ticks, misfires, restarts, edits, pauses, overlap and jitter, on every database."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hammerflow.errors import ConfigError
from hammerflow.jobs.outcome import Completed, Parked, Retrying
from hammerflow.stores import schedules as stored_schedules
from hammerflow.stores.schedules import Declared, Made
from hammerflow.stores.statements import TABLES
from tests.conftest import _shared_url as shared_url
from tests.stores.kit import BAD, Desk, desk_at, failed
from tests.stores.schedule_kit import Beat, definition
from tests.support.servers import create_database, drop_database

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
FAR = 3 * 86_400.0  # seconds for which a worker has watched


@pytest.fixture(scope="module")
def shared_desk(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One database of each kind for all tests here: its creation takes longer than a test."""
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{tmp_path_factory.mktemp('schedules') / 'own.db'}"
        if database_kind != "sqlite":
            server = shared_url(database_kind)
            url = create_database(server, name := f"hf_schedules_{os.getpid()}")
            stack.callback(drop_database, server, name)
        desk = stack.enter_context(desk_at(url))
        desk.store.schema.migrate()
        yield desk


@pytest.fixture
def beat(shared_desk: Desk) -> Beat:
    """A store without schedules and jobs."""
    for table in TABLES:
        if table not in ("migrations", "job_states", "queues", "tasks", "clients"):
            shared_desk.sql(f"DELETE FROM {{{table}}}")
    return Beat(shared_desk)


def minute(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)


# -- ticks


def test_a_tick_makes_one_job_with_the_nominal_time(beat: Beat) -> None:
    beat.create("each", tz="Asia/Tokyo")
    beat.elapse(days=1)
    tick = beat.schedules.get("each").next_at
    made = beat.make(watched=FAR)
    assert (made.ticks.runs, made.queues) == (1, {"q"})
    (job,) = beat.desk.claim()
    assert tick is not None
    assert json.loads(job.headers or "") == {"schedule": "each", "tick": tick.isoformat()}
    assert beat.runs("each") == [job.id]
    row = beat.schedules.get("each")
    assert row.next_at == tick + DAY and row.last_outcome == "enqueued"
    assert beat.make(watched=FAR).ticks.ticks == 0
    assert 0 < (beat.schedules.due_in() or 0) <= 86_400


def test_one_bad_entry_delays_no_other(beat: Beat) -> None:
    """T3: a broken row, a paused one, one past its end; nine others go on."""
    for n in range(9):
        beat.create(f"good {n}")
    beat.create("broken")
    beat.create("unreadable")
    beat.create("paused")
    beat.create("over")
    beat.schedules.pause("paused", by="me", reason="holidays")
    beat.elapse(days=1)
    beat.spoil("broken", json.dumps(definition(cron="61 2 * * *")))
    beat.spoil("unreadable", "{")
    made = beat.make(watched=FAR)
    assert sorted(made.ticks.troubles) == ["broken", "unreadable"]
    assert made.ticks.runs == 10
    assert beat.outcomes("paused") == ["paused"]
    for name in ("broken", "unreadable"):
        row = beat.schedules.get(name)
        assert row.look_at is None and row.trouble and beat.outcomes(name) == []
    over = beat.schedules.update("over", {"end": beat.now().isoformat()}, by="me")
    assert over.look_at is None
    beat.elapse(days=1)
    again = beat.make(watched=FAR)
    assert again.ticks.runs == 9 and not again.ticks.troubles
    mended = beat.schedules.update("broken", {"cron": "0 2 * * *"}, by="me")
    assert mended.trouble is None and mended.look_at is not None


def test_the_zone_of_a_schedule_is_its_own(beat: Beat, monkeypatch: pytest.MonkeyPatch) -> None:
    """T7: whatever the zone of the process."""
    monkeypatch.setenv("TZ", "America/Chicago")
    time.tzset()
    try:
        row = beat.create("utc", cron="25 11 * * *", tz="UTC")
        almaty = beat.create("almaty", cron="25 11 * * *", tz="Asia/Almaty")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert row.next_at is not None and (row.next_at.hour, row.next_at.minute) == (11, 25)
    assert almaty.next_at is not None and almaty.next_at.hour in (5, 6)


# -- misfires


def test_any_downtime_ends_well(beat: Beat) -> None:
    """M1: days of minutes passed while no worker lived."""
    for misfire in ("once", "skip", "all"):
        beat.create(misfire, cron="* * * * *", misfire=misfire, catch_up=1800.0)
    beat.elapse(days=3)
    began, made = time.monotonic(), beat.make()
    assert time.monotonic() - began < 20
    assert sorted(made.ticks.missed) == ["all", "once", "skip"]
    runs = {name: len(beat.runs(name)) for name in made.ticks.missed}
    assert runs["skip"] == 0 and runs["once"] == 1 and 29 <= runs["all"] <= 31
    for name in runs:
        assert abs(beat.schedules.get(name).missed - (3 * 1440 - runs[name])) <= 2
        assert beat.outcomes(name).count("missed") == 1
        following = beat.schedules.get(name).next_at
        assert following is not None and following <= beat.now() + MINUTE
    beat.elapse(minutes=1)
    assert beat.make(watched=90).ticks.runs >= 3  # then as usual


def test_a_late_tick_is_no_misfire_while_a_worker_lives(beat: Beat) -> None:
    """M2: even with the policy skip."""
    beat.create("each", cron="* * * * *", misfire="skip")
    tick = minute(beat.now()) - timedelta(minutes=2)
    beat.due("each", tick)
    runs = beat.make(watched=600).ticks.runs
    assert runs in (3, 4)  # a minute may begin meanwhile
    assert [t.tick for t in beat.schedules.ticks("each", 9)][-1] == tick
    assert beat.outcomes("each") == ["enqueued"] * runs


def test_the_time_before_the_first_run_counts(beat: Beat) -> None:
    """M3, M4: a yearly tick a few minutes after its creation, missed by a restart."""
    beat.create("yearly", cron="0 0 1 1 *")
    tick = datetime(beat.now().year, 1, 1, tzinfo=UTC)
    beat.due("yearly", tick)
    assert beat.make().ticks.runs == 1
    (row,) = beat.schedules.ticks("yearly", 9)
    assert row.tick == tick and row.at > tick
    assert beat.schedules.get("yearly").next_at == tick.replace(year=tick.year + 1)


def test_how_old_a_missed_tick_may_be(beat: Beat) -> None:
    beat.create("daily", cron="0 0 * * *", catch_up=3600)
    beat.due("daily", beat.now().replace(hour=0, minute=0, second=0, microsecond=0) - 5 * DAY)
    late = beat.now() - beat.now().replace(hour=0, minute=0, second=0, microsecond=0)
    assert beat.make().ticks.runs == (late <= timedelta(hours=1))


def test_an_interval_survives_restarts(beat: Beat) -> None:
    """M5, E6: on anchor + n * interval, whatever happens in between."""
    row = beat.create("weekly", every=7 * 86_400.0)
    anchor = row.anchor
    for day in range(15):
        beat.elapse(days=1, seconds=7)
        beat.make(watched=3600.0)
        beat.schedules.update("weekly", {"jitter": float(day)}, by="me")
    assert beat.outcomes("weekly") == ["enqueued"] * 2
    back = timedelta(days=15, seconds=15 * 7)
    for tick in beat.schedules.ticks("weekly", 9):
        assert (tick.tick - (anchor - back)) % (7 * DAY) == timedelta()
    moved = beat.schedules.update("weekly", {"every": 3600.0}, by="me")
    assert moved.next_at is not None and moved.next_at - beat.now() > timedelta(minutes=59)


def test_each_tick_happens_once_with_many_workers(beat: Beat) -> None:
    """M6: eight workers at once; the key of the tick decides."""
    for n in range(5):
        beat.create(f"s{n}", every=1.0)
    beat.elapse(seconds=20)
    stores = [beat.desk.another() for _ in range(8)]
    start = threading.Barrier(len(stores))

    def work(store: object) -> None:
        start.wait()
        for _ in range(3):
            beat.make(watched=3600, store=store)  # type: ignore[arg-type]

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    beat.make(watched=3600)
    ticks = sum(len(beat.runs(f"s{n}")) for n in range(5))
    assert ticks == beat.desk.count("jobs") >= 5 * 19
    for store in stores:
        store.close()


def test_a_tick_that_was_made_is_not_made_again(beat: Beat) -> None:
    """M7: its row outlives its job, and an older next tick changes nothing."""
    beat.create("daily")
    beat.elapse(days=1)
    tick = beat.schedules.get("daily").next_at
    assert tick is not None and beat.make(watched=FAR).ticks.runs == 1
    for table in ("ready", "jobs"):
        beat.desk.sql(f"DELETE FROM {{{table}}}")
    beat.due("daily", tick)
    assert beat.make(watched=FAR).ticks.runs == 0
    assert beat.desk.count("jobs") == 0 and beat.outcomes("daily") == ["enqueued"]


def test_the_newest_tick_is_never_purged(beat: Beat) -> None:
    beat.create("each", every=3600.0)
    beat.create("rare", every=3600.0)
    for _ in range(3):
        beat.elapse(hours=1)
        beat.make(watched=7200)
    beat.elapse(days=8)
    assert beat.schedules.purge() == 4
    assert len(beat.outcomes("each")) == len(beat.outcomes("rare")) == 1
    assert beat.schedules.purge() == 0


def test_a_new_schedule_first_runs_at_its_first_tick(beat: Beat) -> None:
    """M8: and a run by hand is none of its ticks."""
    row = beat.create("each", start=(beat.now() + DAY).isoformat())
    assert row.next_at is not None and row.next_at >= beat.now() + timedelta(hours=23)
    assert beat.make(watched=60).ticks.ticks == 0
    run, queues = beat.schedules.run_now("each")
    assert queues == {"q"} and beat.desk.state(run) == "ready"
    after = beat.schedules.get("each")
    assert after.next_at == row.next_at and beat.outcomes("each") == []
    assert after.last_run == run


def test_workers_take_different_parts_of_what_is_due(beat: Beat, monkeypatch: Any) -> None:
    """One beyond the last begins at the first."""
    monkeypatch.setattr(stored_schedules, "_CHUNK", 2)
    for name in "abcde":
        beat.create(name, every=3600.0)
    beat.elapse(hours=1)
    second = beat.schedules.make(FAR, beat.cancelled.append, part=1)
    assert (second.ticks.taken, second.is_more, second.is_crowded) == (2, True, False)
    beyond = beat.schedules.make(FAR, beat.cancelled.append, part=9)
    assert (beyond.ticks.taken, beyond.is_more) == (2, True)
    last = beat.schedules.make(FAR, beat.cancelled.append)
    assert (last.ticks.taken, last.is_more, last.is_crowded) == (1, False, False)
    assert all(len(beat.runs(name)) == 1 for name in "abcde")


def test_a_worker_that_meets_another_is_told(beat: Beat) -> None:
    for name in "ab":
        beat.create(name, every=3600.0)
    beat.elapse(hours=1)
    if beat.desk.kind == "sqlite":
        pytest.skip("one transaction writes at a time")
    other = beat.desk.another()

    def meet(tx: Any) -> Made:
        ids = [beat.schedules.get(name).id for name in "ab"]
        assert len(tx.rows("schedules_take", ids=ids)) == 2
        return other.schedules.make(FAR, beat.cancelled.append)

    made = beat.desk.store.database.unit(meet)
    other.close()
    assert made.is_crowded and made.ticks.taken == 0
    assert beat.make(watched=FAR).ticks.runs == 2


# -- order


def test_two_changes_at_once_close_no_circle(beat: Beat) -> None:
    """Each of them alone would be right; the second one is refused."""
    names = ("a", "b")
    for name in names:
        beat.create(name)
    stores = {name: beat.desk.another() for name in names}
    start, refused = threading.Barrier(2), list[str]()

    def work(name: str, other: str) -> None:
        start.wait()
        try:
            stores[name].schedules.update(name, {"after": other}, by="me")
        except ConfigError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=work, args=pair) for pair in (names, names[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for store in stores.values():
        store.close()
    (why,) = refused
    assert "cannot come after itself" in why


def test_a_circle_of_code_and_edit_is_set_aside(beat: Beat) -> None:
    """The code of a deploy may close one with what an operator has set; the others go on."""
    beat.declare(a=definition(), b=definition(), c=definition())
    beat.schedules.update("b", {"after": "a"}, by="me")
    found = beat.declare(2, a=definition(after="b"), b=definition(), c=definition())
    assert found.circles == ["a", "b"]
    assert "after itself" in (beat.schedules.get("a").trouble or "")
    beat.elapse(days=1)
    assert beat.make(watched=FAR).ticks.runs == 1
    beat.schedules.update("b", None, by="me")
    assert all(beat.schedules.get(name).look_at for name in "ab")


# -- edits and pauses


def test_the_name_is_the_identity(beat: Beat) -> None:
    """E1: the row follows the code, unless an operator has edited it."""
    first, second = definition(cron="0 2 * * *"), definition(cron="0 3 * * *", task="u")
    assert beat.declare(1, nightly=first).added == ["nightly"]
    for _ in range(3):
        assert beat.declare(1, nightly=first) == beat.declare(1, nightly=first)
    assert beat.declare(2, nightly=second).changed == ["nightly"]
    (row,) = beat.schedules.list()
    assert row.definition.cron == "0 3 * * *" and row.definition.call.jobs[0].task == "u"
    beat.schedules.update("nightly", {"cron": "0 4 * * *"}, by="me")
    assert beat.declare(3, nightly=first).edited == ["nightly"]
    (row,) = beat.schedules.list()
    assert row.definition.cron == "0 4 * * *" and json.loads(row.code or "") == first
    assert row.edited_by == "me" and row.definition.call.jobs[0].task == "t"
    assert beat.schedules.update("nightly", None, by="me").definition.cron == "0 2 * * *"


def test_ticks_of_a_pause_do_not_run_afterwards(beat: Beat) -> None:
    """E2: they are recorded as paused, and are no misfires."""
    beat.create("hourly", cron="0 * * * *")
    beat.schedules.pause("hourly", by="me", reason="load")
    beat.due("hourly", beat.now().replace(minute=0, second=0, microsecond=0))
    assert beat.make().ticks.runs == 0
    assert beat.outcomes("hourly") == ["paused"] and beat.schedules.get("hourly").missed == 0
    beat.due("hourly", beat.now() - timedelta(hours=1))
    row = beat.schedules.resume("hourly")
    assert row.paused_at is None and row.next_at is not None and row.next_at > beat.now()
    assert beat.make().ticks.ticks == 0


def test_ticks_of_a_pause_in_the_code_do_not_run_afterwards(beat: Beat) -> None:
    """E2: while no worker lived, as in a deploy."""
    beat.declare(1, each={**definition(cron="0 * * * *"), "paused": True})
    beat.elapse(hours=3)
    beat.declare(2, each=definition(cron="0 * * * *"))
    row = beat.schedules.get("each")
    assert row.paused_at is None and row.next_at is not None and row.next_at > beat.now()
    assert beat.make().ticks.ticks == 0


def test_a_resume_of_what_is_not_paused_loses_no_tick(beat: Beat) -> None:
    """M4."""
    beat.create("each")
    beat.elapse(days=1)
    assert beat.schedules.resume("each") == beat.schedules.get("each")
    assert beat.make(watched=FAR).ticks.runs == 1


def test_code_over_an_edit_that_cannot_be_read_delays_no_other(beat: Beat) -> None:
    """T3."""
    beat.declare(1, each=definition(), other=definition())
    beat.spoil("each", '{"cron": "nonsense"}')
    code = definition(cron="0 3 * * *")
    found = beat.declare(2, each=code, other=code)
    assert (found.holds, found.changed, found.edited) == (True, ["other"], ["each"])
    row = beat.schedules.get("each")
    assert row.look_at is None and "nonsense" in (row.trouble or "")
    assert beat.declare(2, each=code, other=code) == Declared(holds=True)
    with pytest.raises(ConfigError, match="is not a cron expression"):
        beat.schedules.update("each", {"misfire": "skip"}, by="me")
    mended = beat.schedules.update("each", None, by="me")
    assert mended.trouble is None and mended.next_at is not None


def test_an_edit_counts_from_now(beat: Beat) -> None:
    """E3: it runs nothing that is past, and no other row changes."""
    beat.create("other")
    hour = beat.now().hour
    beat.create("nightly", cron=f"0 {(hour + 2) % 24} * * *")
    before = beat.desk.sql("SELECT * FROM {schedules} WHERE name = 'other'")
    row = beat.schedules.update("nightly", {"cron": f"0 {hour} * * *"}, by="me")
    assert row.next_at is not None and row.next_at > beat.now()
    same = beat.schedules.update("nightly", {"misfire": "skip"}, by="me")
    assert same.next_at == row.next_at
    assert beat.desk.sql("SELECT * FROM {schedules} WHERE name = 'other'") == before
    assert beat.make(watched=60).ticks.ticks == 0


def test_what_the_code_drops_is_disabled(beat: Beat) -> None:
    """E4: also the last one; and an older worker that starts meanwhile changes nothing."""
    code = definition()
    beat.declare(1, each=code)
    assert beat.declare(2, live=1).disabled == ["each"]
    row = beat.schedules.get("each")
    assert row.disabled_since is not None and row.look_at is None
    assert not beat.declare(1, live=2, each=code).holds  # a newer worker lives
    assert beat.schedules.get("each") == row
    beat.elapse(days=5)
    assert beat.make(watched=FAR).ticks.ticks == 0
    back = beat.declare(1, each=code)  # rolled back: no newer worker lives any more
    assert back.holds and back.changed == ["each"]
    row = beat.schedules.get("each")
    assert row.disabled_since is None and row.next_at is not None and row.next_at > beat.now()
    with pytest.raises(ConfigError, match="the code of shop declares"):
        beat.schedules.delete("each")
    beat.declare(3)
    beat.schedules.delete("each")
    assert beat.schedules.list() == []


def test_a_name_that_another_app_gives_up_is_free(beat: Beat) -> None:
    """E4: for the code that has declared it in vain, which is the same at its next start."""
    code = {"nightly": json.dumps(definition())}
    declare = beat.schedules.declare
    beat.declare(1, nightly=definition(task="u"))
    assert declare("mail", 7, code, lambda _: False).foreign == ["nightly"]
    assert declare("mail", 7, code, lambda _: False).foreign == ["nightly"]  # at each start
    beat.declare(2)
    assert declare("mail", 7, code, lambda _: False).changed == ["nightly"]
    row = beat.schedules.get("nightly")
    assert (row.app, row.disabled_since) == ("mail", None) and row.next_at is not None
    assert declare("mail", 7, code, lambda _: False) == Declared(holds=True)


def test_three_workers_declare_at_once(beat: Beat) -> None:
    stores = [beat.desk.another() for _ in range(3)]
    code = {f"s{n}": json.dumps(definition()) for n in range(20)}
    start = threading.Barrier(3)
    found = []

    def work(at: int) -> None:
        start.wait()
        found.append(stores[at].schedules.declare("shop", 1 + at % 2, code, lambda _: False))

    threads = [threading.Thread(target=work, args=(at,)) for at in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 3 and sum(len(one.added) for one in found) == 20
    assert len(beat.schedules.list()) == 20
    for store in stores:
        store.close()


def test_jitter_delays_the_job_and_not_the_tick(beat: Beat) -> None:
    """E5: the same in every process, and lost by no edit."""
    beat.create("hourly", every=3600.0, jitter=1800.0)
    beat.elapse(hours=1)
    row = beat.schedules.get("hourly")
    tick = row.next_at
    assert tick is not None
    delays = [
        row.definition.delay_of("hourly", tick + n * MINUTE, None).total_seconds()
        for n in range(60)
    ]
    assert 0 <= min(delays) < 300 and 1500 < max(delays) < 1800 and len(set(delays)) > 50
    soon = row.definition.delay_of("hourly", tick, tick + timedelta(seconds=5))
    assert soon < timedelta(seconds=5)
    assert beat.make(watched=60).ticks.runs == 1
    beat.schedules.update("hourly", {"jitter": 1800.0}, by="me")
    assert beat.make(watched=60).ticks.runs == 0
    (made,) = beat.schedules.ticks("hourly", 9)
    assert made.tick == tick and made.run is not None
    job = beat.desk.store.jobs.get(made.run)
    assert job is not None and job.state == "scheduled" and job.run_at is not None
    assert abs(job.run_at - tick - timedelta(seconds=delays[0])) < timedelta(milliseconds=1)


def test_what_a_job_expires_after_counts_from_its_jittered_start(beat: Beat) -> None:
    """E5."""
    plain = definition(every=3600.0, jitter=1800.0)
    plain["call"]["jobs"][0]["expires"] = 60.0
    beat.schedules.create("hourly", plain, by="test")
    beat.elapse(hours=1)
    assert beat.make(watched=60).ticks.runs == 1
    (run,) = beat.runs("hourly")
    job = beat.desk.store.jobs.get(run)
    ((expires,),) = beat.desk.sql("SELECT expires_at FROM {jobs}")
    expires_at = beat.desk.store.database.dialect.instant(expires)
    assert job is not None and job.run_at is not None and expires_at is not None
    assert abs(expires_at - job.run_at - MINUTE) < timedelta(seconds=1)


# -- overlap


def due_again(beat: Beat, name: str) -> None:
    row = beat.schedules.get(name)
    beat.due(name, beat.now() - timedelta(milliseconds=1) if row.last_tick is None else
             row.last_tick + timedelta(milliseconds=1))  # fmt: skip


@pytest.mark.parametrize("state", ["ready", "scheduled", "running", "parked", "waiting"])
def test_overlap_sees_every_state_of_the_earlier_run(beat: Beat, state: str) -> None:
    """E7."""
    desk = beat.desk
    beat.create("each", every=86_400.0, overlap="skip")
    due_again(beat, "each")
    beat.make(watched=60)
    (run,) = beat.runs("each")
    if state != "ready":
        (job,) = desk.claim()
        if state == "scheduled":
            desk.settle((job, Retrying(600.0, BAD)))
        elif state == "parked":
            desk.settle((job, Parked("undecodable", BAD)))
        elif state == "waiting":
            desk.settle((job, Completed(b"M\x01")))
            (blocker,) = desk.put(desk.job(queue="other"))
            waits = desk.job(depends=[blocker])
            desk.put(waits)
            desk.sql(f"UPDATE {{schedules}} SET last_run = {desk.id(waits.id)}")
            run = waits.id
    assert desk.state(run) == state
    due_again(beat, "each")
    assert beat.make(watched=60).ticks.runs == 0
    assert beat.outcomes("each") == ["enqueued", "skipped"]
    (last, _) = beat.schedules.ticks("each", 9)
    assert "has not ended" in (last.detail or "")


def test_a_run_by_hand_hides_no_run_that_lasts(beat: Beat) -> None:
    """E7."""
    beat.create("each", every=86_400.0, overlap="skip")
    due_again(beat, "each")
    beat.make(watched=60)
    (long,) = beat.desk.claim()
    for _ in range(3):
        by_hand, _ = beat.schedules.run_now("each")
        (job,) = beat.desk.claim()
        beat.desk.settle((job, Completed(b"M\x01")))
        assert job.id == by_hand
    due_again(beat, "each")
    assert beat.make(watched=60).ticks.runs == 0
    beat.desk.settle((long, Completed(b"M\x01")))
    due_again(beat, "each")
    assert beat.make(watched=60).ticks.runs == 1
    assert beat.outcomes("each") == ["enqueued", "skipped", "enqueued"]


def test_one_run_is_queued_behind_the_earlier_one(beat: Beat) -> None:
    desk = beat.desk
    beat.create("each", every=86_400.0, overlap="queue_one")
    for _ in range(3):
        due_again(beat, "each")
        beat.make(watched=60)
    assert beat.outcomes("each") == ["enqueued", "queued", "skipped"]
    (last, *_) = beat.schedules.ticks("each", 9)
    assert (last.detail or "").endswith(" have not ended")
    first, second = beat.runs("each")
    assert desk.states([first, second]) == ["ready", "waiting"]
    desk.settle((desk.claim()[0], failed()))  # order alone: a failure does not hold it back
    assert desk.state(second) == "ready"
    due_again(beat, "each")
    beat.make(watched=60)
    assert beat.outcomes("each")[-1] == "queued"


def test_the_earlier_run_is_cancelled(beat: Beat) -> None:
    beat.create("each", every=86_400.0, overlap="cancel_old")
    for _ in range(2):
        due_again(beat, "each")
        beat.make(watched=60)
    first, second = beat.runs("each")
    assert beat.cancelled == [first]
    assert beat.desk.states([first, second]) == ["cancelled", "ready"]


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "cancel_old"])
def test_a_policy_set_later_sees_all_runs_that_last(beat: Beat, overlap: str) -> None:
    """E7."""
    desk = beat.desk
    beat.create("each", every=86_400.0, overlap="allow")
    for _ in range(5):
        due_again(beat, "each")
        beat.make(watched=60)
    runs = beat.runs("each")
    claimed = {job.id: job for job in desk.claim()}
    desk.settle(*((claimed.pop(run), Completed(b"M\x01")) for run in runs[-2:]))
    beat.schedules.update("each", {"overlap": overlap}, by="ann")
    due_again(beat, "each")
    beat.make(watched=60)

    if overlap == "cancel_old":
        assert {*beat.cancelled} == {*runs[:3]}
        return
    assert beat.outcomes("each")[-1] == "skipped"
    desk.settle(*((job, Completed(b"M\x01")) for job in claimed.values()))
    due_again(beat, "each")
    beat.make(watched=60)
    assert beat.outcomes("each")[-1] == "enqueued"


def test_nothing_done_to_jobs_stops_a_schedule(beat: Beat) -> None:
    """E8."""
    beat.create("each", overlap="skip")
    for _ in range(2):
        beat.elapse(days=1)
        assert beat.make(watched=FAR).ticks.runs == 1
        for table in ("ready", "jobs", "scheduled"):
            beat.desk.sql(f"DELETE FROM {{{table}}}")
    assert beat.outcomes("each") == ["enqueued"] * 2


def test_a_workflow_whose_unique_member_runs_misses_only_its_tick(beat: Beat) -> None:
    """T3: the schedule is not set aside; others of the same round, and later ticks, are made."""
    desk, first, second = beat.desk, "0" * 31 + "1", "0" * 31 + "2"
    held = {"unique": ["k", "reject", False, None, None], "unique_key": "k"}
    (member,) = definition()["call"]["jobs"]
    whole = {"id": second, "kind": "workflow", "name": "w", "policy": 0, "pending": 1}
    call = {"workflows": [whole], "jobs": [{**member, **held, "workflow_id": second}]}
    for name in ("one", "two"):
        beat.schedules.create(name, {**definition(), "call": call, "misfire": "all"}, by="test")
    assert first == member["id"]
    beat.elapse(days=1)
    assert beat.make(watched=FAR).ticks.runs == 1
    (job,) = desk.claim()
    (winner,) = [name for name in ("one", "two") if beat.runs(name)]
    loser = {"one": "two", "two": "one"}[winner]
    assert beat.outcomes(loser) == ["duplicate"]
    (tick,) = beat.schedules.ticks(loser, 9)
    assert (tick.detail or "").endswith("holds the unique key of a member")
    desk.settle((job, Completed(b"M\x01")))
    beat.elapse(days=2)
    made = beat.make(watched=FAR)
    while made.is_more:
        made = beat.make(watched=FAR)
    assert sorted(beat.outcomes("one") + beat.outcomes("two"))[-2:] == ["enqueued"] * 2
    assert all(row.trouble is None for row in beat.schedules.list())
    assert len(desk.claim()) == 1
    desk.check()


# -- after another schedule


@pytest.fixture
def pair(beat: Beat) -> Iterator[tuple[Beat, datetime]]:
    """extract at 02:00 and report at 08:00 of one day, both due."""
    beat.create("extract", cron="0 2 * * *", tz="Europe/Berlin")
    beat.create("report", cron="0 8 * * *", tz="Europe/Berlin", task="u", after="extract")
    zone = beat.schedules.get("report").definition.zone
    day = beat.now().astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0) - DAY
    beat.due("extract", day.replace(hour=2).astimezone(UTC))
    beat.due("report", day.replace(hour=8).astimezone(UTC))
    yield beat, day


@pytest.mark.parametrize("is_good", [True, False])
def test_a_schedule_waits_for_the_run_of_another_one(
    pair: tuple[Beat, datetime], is_good: bool
) -> None:
    beat, day = pair
    desk = beat.desk
    beat.due("extract", day.replace(hour=2).astimezone(UTC))
    beat.due("report", day.replace(hour=8).astimezone(UTC))
    beat.make(watched=FAR)
    extract, report = beat.runs("extract")[0], beat.runs("report")[0]
    assert desk.states([extract, report]) == ["ready", "waiting"]
    job = next(one for one in desk.claim() if one.id == extract)
    desk.settle((job, Completed(b"M\x01") if is_good else failed()))
    assert desk.state(report) == ("ready" if is_good else "skipped")


def test_a_run_that_has_ended_holds_nothing_up(pair: tuple[Beat, datetime]) -> None:
    beat, _ = pair
    desk = beat.desk
    report = beat.schedules.get("report")
    beat.put("report", look_at=None)
    beat.make(watched=FAR)
    for job in desk.claim():
        desk.end(job)
    assert report.next_at is not None
    beat.due("report", report.next_at)
    beat.make(watched=FAR)
    assert desk.state(beat.runs("report")[0]) == "ready"


def test_it_waits_until_the_tick_of_the_other_one_was_made(pair: tuple[Beat, datetime]) -> None:
    beat, _ = pair
    row = beat.schedules.get("report")
    extract = beat.schedules.get("extract")
    assert extract.next_at is not None
    beat.put("extract", look_at=beat.now() + timedelta(hours=1))  # another worker makes it
    beat.make(watched=FAR)
    held = beat.schedules.get("report")
    assert held.next_at == row.next_at and held.trouble == "waits for the tick of extract"
    assert beat.outcomes("report") == []


def test_a_day_without_the_other_one_is_skipped(pair: tuple[Beat, datetime]) -> None:
    beat, _ = pair
    beat.due("extract", beat.now() + 3 * DAY)
    beat.make(watched=FAR)
    assert set(beat.outcomes("report")) == {"skipped"}
    assert "no tick on" in (beat.schedules.ticks("report", 1)[0].detail or "")


# -- at size


def test_many_schedules_cost_one_query_a_tick(beat: Beat) -> None:
    for n in range(250):
        beat.create(f"s{n:03}", every=3600.0)
    assert (beat.schedules.due_in() or 0) > 3000
    beat.elapse(hours=1)
    first, second = beat.make(watched=7200), beat.make(watched=7200)
    assert (first.ticks.runs, first.is_more) == (200, True)
    assert (second.ticks.runs, second.is_more) == (50, False)


# -- a backlog


@pytest.mark.parametrize(
    ("overlap", "due", "most"), [("allow", 450, 200), ("queue_one", 60, 9), ("cancel_old", 300, 1)]
)
def test_a_backlog_of_ticks_is_made_in_parts(beat: Beat, overlap: str, due: int, most: int) -> None:
    """So that a transaction which is interrupted and begins again comes to its end."""
    row = beat.create("often", every=1.0, misfire="all", overlap=overlap)
    beat.due("often", row.anchor)
    beat.elapse(seconds=due)
    runs: list[int] = []
    while True:
        before = beat.desk.count("jobs")
        made = beat.make()
        runs.append(beat.desk.count("jobs") - before)
        if not made.is_more:
            break
    ticks = [tick.tick for tick in reversed(beat.schedules.ticks("often", 1_000))]
    steps = {(later - tick).total_seconds() for tick, later in itertools.pairwise(ticks)}
    assert len(ticks) >= due and steps == {1.0}
    assert max(runs) <= most and (overlap != "allow" or runs[:2] == [200, 200])
    beat.desk.check()


def test_costly_schedules_do_not_slow_the_backlog_of_plain_ones(beat: Beat) -> None:
    names = [f"in line {n}" for n in range(6)]
    for name in (*names, "plain"):
        row = beat.create(name, every=1.0, overlap="queue_one" if name in names else "allow")
        beat.due(name, row.anchor)
    beat.elapse(seconds=30)

    made = beat.make(watched=FAR)

    assert len(beat.outcomes("plain")) >= 30 and made.is_more
    assert all(len(beat.outcomes(name)) >= 3 for name in names)


def test_a_cancel_of_an_earlier_run_delays_no_other_tick(beat: Beat) -> None:
    for name, overlap in (("newest", "cancel_old"), ("plain", "allow")):
        beat.create(name, every=60.0, overlap=overlap)
    beat.elapse(seconds=61)
    beat.make(watched=FAR)
    beat.elapse(seconds=60)
    seen: list[int] = []

    def cancel(run: bytes) -> None:
        seen.append(len(beat.outcomes("plain")))
        beat.desk.store.jobs.cancel(run, "the next run is due")

    beat.schedules.make(FAR, cancel)

    assert seen == [2] and len(beat.outcomes("newest")) == 2


# -- times that leave no tick


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"cron": "0 {} * * *", "end": 1.0}, "s is never due between .* and its end: change when"),
        ({"cron": "* * * * *", "start": -9.0, "end": -8.0}, "its end, .*, is in the past"),
        ({"every": 7200.0, "end": 1.0}, "never due between"),
        ({"every": 7200.0, "start": 2.0, "end": 1.0}, "end must be later than start"),
    ],
)
def test_a_schedule_that_would_never_be_due_is_not_created(
    beat: Beat, given: dict[str, Any], says: str
) -> None:
    """Its bounds are in hours from now; its hour is one half a day away."""
    with pytest.raises(ConfigError, match=says):
        beat.create("s", **bounded(beat, given))
    assert beat.schedules.list() == []


def bounded(beat: Beat, given: dict[str, Any]) -> dict[str, Any]:
    now = beat.now()
    found = {
        name: (now + timedelta(hours=value)).isoformat() if name in ("start", "end") else value
        for name, value in given.items()
    }
    if "cron" in found:
        found["cron"] = found["cron"].format((now.hour + 12) % 24)
    return found


def test_an_update_that_leaves_a_schedule_without_any_tick_is_refused(beat: Beat) -> None:
    now = beat.now()
    beat.create("s", every=86_400.0)
    for changes, says in (
        ({"end": (now + timedelta(hours=1)).isoformat()}, "never due between"),
        ({"end": (now - DAY).isoformat()}, "in the past"),
        ({"start": "9999-12-30T00:00:00+00:00", "cron": "@yearly"}, "never due after its start"),
    ):
        with pytest.raises(ConfigError, match=says):
            beat.schedules.update("s", changes, by="me")
    assert beat.schedules.get("s").edited == definition(every=86_400.0)


def test_an_end_after_some_ticks_ends_a_schedule(beat: Beat) -> None:
    """It has been due; a new rhythm must come before that end, though."""
    beat.create("s", every=3600.0)
    beat.elapse(hours=5)
    ended = beat.schedules.update("s", {"end": beat.now().isoformat()}, by="me")
    assert ended.next_at is None and ended.trouble is None
    beat.schedules.update("s", {"misfire": "skip"}, by="me")
    with pytest.raises(ConfigError, match="in the past"):
        beat.schedules.update("s", {"every": 60.0}, by="me")
    revived = beat.schedules.update("s", {"every": 60.0, "end": None}, by="me")
    assert revived.next_at is not None


def test_what_the_code_says_holds_after_its_end_and_below_an_edit(beat: Beat) -> None:
    now = beat.now()
    past = {"start": (now - 3 * DAY).isoformat(), "end": (now - DAY).isoformat()}
    beat.declare(1, s=definition(every=3600.0, **past))
    assert beat.schedules.get("s").next_at is None
    beat.schedules.update("s", {"start": None, "end": None}, by="me")
    assert beat.schedules.get("s").next_at is not None
    assert beat.schedules.update("s", None, by="me").next_at is None
