"""What an error of the database means for outcomes that wait to be written."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hammerflow.errors import NotEncodable
from hammerflow.jobs.job import Claimed, JobState
from hammerflow.jobs.outcome import Cancelled, Completed, Failed, Outcome, Retrying
from hammerflow.services.database_status import DatabaseStatus
from hammerflow.stores.connections import retries
from hammerflow.stores.database import Tx
from hammerflow.stores.diagnosis.diagnostics import Diagnostics
from hammerflow.stores.store import Store
from hammerflow.worker.supervisor.settler import Settler
from tests.stores.breaker import Breaker
from tests.stores.kit import BAD, Desk, desk_at, failed, open_raw, spawned
from tests.stores.workflow_kit import Sketch
from tests.support.servers import PROCESSES
from tests.support.waiting import until

_REFUSED = b"M\x63"


@pytest.fixture
def desk(migrated_url: str) -> Iterator[Desk]:
    """A store over a fresh database."""
    with desk_at(migrated_url) as desk:
        yield desk


@pytest.fixture
def settler(desk: Desk) -> Iterator[Settler]:
    """A settler that runs."""
    status = DatabaseStatus(desk.store.database)
    settler = Settler(desk.store, status, lambda _: None, lambda _: None)
    settler.start()
    yield settler
    assert settler.stop(10)


def refuse(desk: Desk, table: str, condition: str, verb: str = "INSERT") -> None:
    """Let a trigger refuse a verb for the rows of a table that fulfil a condition."""
    when = f"BEFORE {verb} ON {{{table}}} FOR EACH ROW"
    if desk.kind == "postgres":
        desk.sql(
            f"CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF {condition} THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$"
        )
        desk.sql(f"CREATE TRIGGER refuse {when} EXECUTE FUNCTION refuse_{table}()")
    elif desk.kind == "mysql":
        desk.sql(
            f"CREATE TRIGGER refuse_{table} {when} IF {condition} THEN"
            " SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF"
        )
    else:
        raised = "SELECT RAISE(ABORT, 'not this one');"
        desk.sql(f"CREATE TRIGGER refuse_{table} {when} WHEN {condition} BEGIN {raised} END")


def test_an_outcome_that_cannot_be_written_ends_its_own_job_alone(
    desk: Desk, settler: Settler
) -> None:
    literal = {"sqlite": "x'4d63'", "postgres": r"'\x4d63'", "mysql": "0x4d63"}[desk.kind]
    refuse(desk, "done", f"NEW.result = {literal}")
    good, bad, other = desk.run(*(desk.job() for _ in range(3)))

    settler.put(1, [(good, Completed(b"M\x01")), (bad, Completed(_REFUSED))])
    settler.put(1, [(other, Retrying(60.0, BAD))])
    until("all are written", lambda: settler.is_idle)

    assert desk.states([good.id, bad.id, other.id]) == ["completed", "failed", "scheduled"]
    [error] = desk.store.jobs.get(bad.id).errors  # type: ignore[union-attr]
    assert error.message.startswith("the outcome of this job (Completed) could not be written: ")
    assert "not this one" in error.message
    assert desk.errors(good.id) == []


def test_a_job_whose_end_cannot_be_written_at_all_is_parked(desk: Desk, settler: Settler) -> None:
    job, *others = desk.run(*(desk.job() for _ in range(20)))
    ids = {"sqlite": "x'{}'", "postgres": "'{}'::uuid", "mysql": "x'{}'"}[desk.kind]
    refuse(desk, "done", f"NEW.job_id = {ids.format(job.id.hex())}")

    settler.put(1, [(job, Completed(b"M\x01"))])
    for other in others:
        settler.put(1, [(other, Completed(b"M\x01"))])
        until("it is written", lambda: _has_ended(desk, other))  # noqa: B023
    until("all are written", lambda: settler.is_idle)

    assert desk.state(job.id) == "parked"
    assert desk.one("why", "parked", job.id) == ("unwritable",)


def allow(desk: Desk, table: str) -> None:
    """Take the trigger of :func:`refuse` away."""
    on = f" ON {{{table}}}" if desk.kind == "postgres" else ""
    desk.sql(f"DROP TRIGGER {'refuse' if on else f'refuse_{table}'}{on}")


@pytest.mark.parametrize("what", ["done", "errors", "scheduled", "failed", "children"])
def test_what_the_database_takes_of_no_job_ends_none(
    desk: Desk, settler: Settler, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """An operator has changed a table: meanwhile other outcomes, and stale ones, are written."""
    caplog.set_level("INFO")
    table = {"failed": "done", "children": "jobs"}.get(what, what)
    end, state = {
        "done": (lambda _: Completed(b"M\x01"), "completed"),
        "errors": (lambda _: Failed(BAD), "failed"),
        "scheduled": (lambda _: Retrying(60.0, BAD), "scheduled"),
        "failed": (lambda _: Failed(BAD), "failed"),
        "children": (lambda job: spawned(desk.child(job, 0), desk.child(job, 1)), "completed"),
    }[what]
    *jobs, stale, other, last = desk.run(*(desk.job() for _ in range(8)))
    number = {"done": 4, "failed": 5}.get(what)
    refuse(desk, table, "NEW.job_id IS NOT NULL" if number is None and table != "jobs" else
           "NEW.id IS NOT NULL" if number is None else f"NEW.state = {number}")  # fmt: skip

    settler.put(1, [(job, end(job)) for job in jobs[:3]])
    until("it is said", lambda: "the database takes no outcome" in caplog.text)
    settler.put(1, [(stale._replace(lease=stale.lease + 1), end(stale))])
    settler.put(1, [(job, end(job)) for job in jobs[3:]])
    settler.put(1, [(other, Cancelled("so it was") if what == "done" else Completed(b"M\x01"))])
    until("all else is written", lambda: len(settler.held(1)) == 5)
    time.sleep(0.5)  # in which nothing must happen
    assert desk.states([job.id for job in jobs]) == ["running"] * 5
    allow(desk, table)
    settler.put(1, [(last, end(last))])  # with it, the others are tried again at once
    until("all are written", lambda: settler.is_idle)

    assert desk.states([job.id for job in [*jobs, last]]) == [state] * 6
    assert [len(desk.errors(job.id)) for job in jobs] == [state in ("failed", "scheduled")] * 5
    assert desk.state(other.id) == ("cancelled" if what == "done" else "completed")
    assert caplog.text.count("the database takes no outcome") == 1
    assert caplog.text.count("the database takes outcomes of this kind again") == 1


def test_a_constraint_that_is_checked_at_the_commit_ends_no_job(
    desk: Desk, settler: Settler, caplog: pytest.LogCaptureFixture
) -> None:
    if desk.kind != "postgres":
        return  # only it has such constraints
    refuse(desk, "done", "NEW.state = 4")
    allow(desk, "done")
    desk.sql(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {done} DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION refuse_done()"
    )
    (job,) = desk.run(desk.job())
    settler.put(1, [(job, Completed(b"M\x01"))])
    until("it is said", lambda: "the database takes no outcome" in caplog.text)
    assert desk.state(job.id) == "running"
    allow(desk, "done")
    until("it is written", lambda: settler.is_idle)
    assert desk.state(job.id) == "completed"


def test_a_limit_on_results_ends_the_jobs_above_it(desk: Desk, settler: Settler) -> None:
    """A first and lonely job, with no end of another one to compare."""
    refuse(desk, "done", "length(NEW.result) > 1000")
    jobs = desk.run(*(desk.job() for _ in range(3)))
    for job in jobs:
        settler.put(1, [(job, Completed(b"x" * 1001))])
    until("all are written", lambda: settler.is_idle)
    assert desk.states([job.id for job in jobs]) == ["failed"] * 3


def test_an_unknown_error_is_not_taken_for_the_jobs_fault(desk: Desk, settler: Settler) -> None:
    jobs = desk.run(*(desk.job() for _ in range(3)))
    Breaker(desk.store.database, at=1, error=LookupError("nobody has heard of this error"))

    settler.put(1, [(job, Completed(b"M\x01")) for job in jobs])
    until("all are written", lambda: settler.is_idle)

    assert desk.states([job.id for job in jobs]) == ["completed"] * 3
    assert [desk.errors(job.id) for job in jobs] == [[], [], []]


# -- locks and cancelled statements


def hold(desk: Desk) -> Any:
    """Lock the table of ends, as a DDL does; closing the connection unlocks it."""
    other = open_raw(desk.url)
    cursor = other.cursor()
    done = f"{desk.settings.prefix}done"
    if desk.kind == "sqlite":
        cursor.execute("BEGIN IMMEDIATE")
    elif desk.kind == "postgres":
        cursor.execute("BEGIN")
        cursor.execute(f"LOCK TABLE {done} IN SHARE MODE")
    else:
        cursor.execute(f"LOCK TABLES {done} READ")
    return other


def cancel_waiting(desk: Desk) -> bool:
    """Cancel the statement that waits, as a time-out of the server does."""
    if desk.kind == "postgres":
        return bool(
            desk.sql(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
    rows = desk.sql(
        f"SELECT id FROM {PROCESSES} WHERE db = database() AND state LIKE 'Waiting for table%lock'"
    )
    for (thread,) in rows:
        desk.sql(f"KILL QUERY {thread}")
    return bool(rows)


def test_a_body_that_returned_completes_once_the_lock_is_gone(
    desk: Desk, settler: Settler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hammerflow")
    (job,) = desk.run(desk.job())
    if desk.kind == "sqlite":
        monkeypatch.setattr(retries, "RETRY_SECONDS", 0.1)
        desk.store.database.dialect._busy = 0.05  # type: ignore[attr-defined]
        desk.store.database.close()
    with contextlib.closing(hold(desk)):
        settler.put(1, [(job, Completed(b"M\x01"))])
        for _ in range(2):
            if desk.kind != "sqlite":
                until("the settle was cancelled", lambda: cancel_waiting(desk))
            until("it is refused", lambda: not settler.database_status.is_up)
        assert settler.held(1) == {job.id}
    until("it is written", lambda: settler.is_idle)

    assert desk.state(job.id) == "completed"
    assert desk.store.jobs.result(job.id)[0] is JobState.COMPLETED
    assert desk.errors(job.id) == []
    said = [record.getMessage() for record in caplog.records]
    assert [text.partition(",")[0].partition(" after")[0] for text in said] == [
        "the database refuses work",
        "the database is back",
    ]


# -- results that no packet holds


@pytest.mark.usefixtures("mariadb_url")
def test_a_result_above_the_servers_packet_ends_its_own_job(own_mariadb: Any) -> None:
    """The server closes the connection at such a packet, at each try."""
    with desk_at(own_mariadb.url()) as desk:
        desk.sql("SET GLOBAL max_allowed_packet = 1048576")
        desk.hang_up()
        desk.store.schema.migrate()
        status = DatabaseStatus(desk.store.database)
        settler = Settler(desk.store, status, lambda _: None, lambda _: None)
        jobs = desk.run(*(desk.job() for _ in range(6)))
        sizes = [10, 1 << 20, 400_000, 400_000, 400_000, 600_000]

        settler.put(1, [(job, Completed(b"x" * n)) for job, n in zip(jobs, sizes, strict=True)])
        settler.start()
        until("all are written", lambda: settler.is_idle)

        ends = ["completed", "failed", "completed", "completed", "completed", "failed"]
        assert desk.states([job.id for job in jobs]) == ends
        [error] = desk.store.jobs.get(jobs[1].id).errors  # type: ignore[union-attr]
        assert "raise max_allowed_packet on the server, or lower max_payload" in error.message
        with pytest.raises(NotEncodable, match="raise max_allowed_packet"):
            desk.put(desk.job()._replace(args=b"x" * (1 << 20)))
        says = Diagnostics(desk.store.database).packet_warning(1 << 20)
        assert says is not None and "1,048,576" in says
        assert Diagnostics(desk.store.database).packet_warning(1 << 18) is None
        assert settler.stop(10)


def test_a_client_that_holds_a_lease_holds_up_that_job_alone(desk: Desk, settler: Settler) -> None:
    if desk.kind == "sqlite":
        return  # its transactions hold the one writer, and no single rows
    held, other, late = desk.run(*(desk.job() for _ in range(3)))
    dependent = desk.job(depends=[held.id])

    with contextlib.closing(desk.another()) as client, client.transaction() as tx:
        client.jobs.insert([dependent], tx)
        settler.put(1, [(held, Completed(b"M\x01")), (other, Completed(b"M\x01"))])
        until("the other is written", lambda: settler.held(1) == {held.id})
        settler.put(1, [(late, Completed(b"M\x01"))])
        until("a later one is written", lambda: settler.held(1) == {held.id})
        assert desk.states([held.id, other.id, late.id]) == ["running", "completed", "completed"]
    until("the held one is written", lambda: settler.is_idle)

    assert desk.states([held.id, dependent.id]) == ["completed", "ready"]


def lock(desk: Desk, client: Store, tx: Tx, what: str) -> tuple[Claimed, Outcome]:
    """Let a client's transaction lock a row; the end of a job that needs it."""
    flow = Sketch()
    join = flow.job(flow.job())
    key = f"key of {what}"
    flow.put(desk)
    (job,) = desk.claim()
    if what == "workflow":
        client.jobs.insert([desk.job(depends=[flow.id])], tx)
    elif what == "waiting job":
        client.jobs.insert([desk.job(depends=[join.id])], tx)
    elif what == "barrier":
        desk.end(job)
        (job,) = desk.claim()
        tx.rows("barriers_lock", ids=[flow.id])
    else:
        client.jobs.insert([desk.job(unique_key=key)], tx)
        return job, spawned(desk.child(job, 0, unique_key=key, workflow_id=flow.id))
    return job, Completed(b"M\x01")


@pytest.mark.parametrize("what", ["workflow", "waiting job", "barrier", "unique key"])
def test_a_row_that_a_client_holds_holds_up_only_what_needs_it(
    desk: Desk, settler: Settler, what: str
) -> None:
    if desk.kind == "sqlite":
        return  # as above
    flows = [Sketch() for _ in range(5)]
    for flow in flows:
        flow.job(flow.job())
        flow.put(desk)
    others = [(job, Completed(b"M\x01")) for job in desk.claim()]
    jobs = [*desk.family(desk.job(), 4), *(desk.job(unique_key=f"k{n}") for n in range(5))]
    jobs += [desk.job() for _ in range(6)]
    desk.put(*jobs)
    others += [(job, Completed(b"M\x01")) for job in desk.claim()]
    late = others.pop()
    assert len(others) >= 19

    with contextlib.closing(desk.another()) as client:
        with client.transaction() as tx:
            held = lock(desk, client, tx, what)
            began = time.monotonic()
            settler.put(1, [others[0], held, *others[1:]])
            until("the others are written", lambda: settler.held(1) == {held[0].id}, step=0.002)
            took = (time.monotonic() - began) * 1000
            print(f"{desk.kind}, {what} held: 20 others after {took:.0f} ms")  # noqa: T201
            settler.put(1, [late])
            until("a later one is written", lambda: settler.held(1) == {held[0].id})
            assert desk.state(held[0].id) == "running"
            assert set(desk.states([job.id for job, _ in [*others, late]])) == {"completed"}
        until("the held one is written", lambda: settler.is_idle)
    assert desk.state(held[0].id) == "completed"


def test_what_comes_for_a_held_workflow_waits_with_it(desk: Desk, settler: Settler) -> None:
    if desk.kind == "sqlite":
        return  # as above
    flow = Sketch()
    steps = [flow.job() for _ in range(3)]
    flow.put(desk)
    jobs = desk.claim()
    done = Completed(b"M\x01")
    with contextlib.closing(desk.another()) as client:
        with client.transaction() as tx:
            client.jobs.insert([desk.job(depends=[flow.id])], tx)
            settler.put(1, [(jobs[0], done)])
            until("it was tried in vain", lambda: bool(settler._held))
            settler.put(1, [(job, done) for job in jobs[1:]])
            until("they have joined it", lambda: not settler._queue)
            assert settler.held(1) == {step.id for step in steps}
        until("all are written", lambda: settler.is_idle)
    assert desk.states([step.id for step in steps]) == ["completed"] * 3
    assert desk.store.workflows.get(flow.id).ended_at is not None  # type: ignore[union-attr]


def delay_end(desk: Desk, job_id: bytes, seconds: float) -> None:
    """Let a trigger sleep before the end of a job is written."""
    when = "BEFORE INSERT ON {done} FOR EACH ROW"
    if desk.kind == "postgres":
        desk.sql(
            "CREATE FUNCTION delay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" PERFORM pg_sleep({seconds}); RETURN NEW; END $$"
        )
        same = f"WHEN (NEW.job_id = '{job_id.hex()}'::uuid)"
        desk.sql(f"CREATE TRIGGER delay {when} {same} EXECUTE FUNCTION delay()")
    else:
        slept = f"IF NEW.job_id = x'{job_id.hex()}' THEN DO SLEEP({seconds}); END IF"
        desk.sql(f"CREATE TRIGGER delay {when} {slept}")


@pytest.mark.parametrize("shape", ["chain", "star", "halt"])
def test_a_cascade_of_thousands_holds_up_no_other_outcome(
    desk: Desk, settler: Settler, shape: str
) -> None:
    if desk.kind == "sqlite":
        pytest.skip("one transaction writes at a time")
    w = Sketch("fail_fast" if shape == "halt" else "continue_on_failure")
    first = last = w.job()
    for _ in range(1_500):
        last = w.job(first if shape == "star" else last)
    w.put(desk)
    delay_end(desk, last.id, 1.0)
    small = Sketch()
    small.job()
    small.put(desk)
    # MariaDB reads all leases of a worker where most are named, and waits for locked ones.
    failing, *others = (desk.claim(2) + desk.run(*(desk.job() for _ in range(900))))[:22]

    settler.put(1, [(others[0], Completed(b"M\x01")), (failing, failed())])
    until("it is written", lambda: any(t.name == "cascades" for t in threading.enumerate()))
    settler.put(1, [(job, Completed(b"M\x01")) for job in others[1:]])
    until("the others are", lambda: all(_has_ended(desk, other) for other in others))

    assert desk.state(first.id) == "running", "the cascade is still written"
    assert settler.held(1) == {failing.id}
    until("all are written", lambda: settler.is_idle)
    assert desk.state(first.id) == "failed"
    assert desk.state(last.id) == ("cancelled" if shape == "halt" else "skipped")


def _has_ended(desk: Desk, job: Claimed) -> bool:
    seen = desk.store.jobs.get(job.id)
    return seen is not None and seen.state is JobState.COMPLETED
