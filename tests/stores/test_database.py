"""What a database does to the unwary: lost connections and replies, locks, restarts, forks."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hammerflow.errors import SoftTimeout, StoreUnavailable
from hammerflow.jobs.job import JobState
from hammerflow.jobs.outcome import Completed, Retrying
from hammerflow.settings import Settings, parse_url
from hammerflow.stores import open_store
from hammerflow.stores.connections import retries
from hammerflow.stores.database import Tx
from tests.stores.gates import blocked, running
from tests.stores.kit import BAD, Desk, desk_at, failed, open_raw, spawned
from tests.support.proxy import Proxy
from tests.support.servers import PROCESSES, MariaDB, Postgres, ends_idle_sessions
from tests.support.waiting import until

Migrated = Callable[[str], str]
SERVERS = ("postgres", "mariadb")


@pytest.fixture(params=SERVERS)
def far(request: pytest.FixtureRequest, migrated_database: Migrated) -> Iterator[Far]:
    """A desk behind a proxy, and one that goes straight to the same database."""
    url = migrated_database(request.param)
    with Proxy(url) as proxy, desk_at(proxy.url) as desk, desk_at(url) as near:
        yield Far(proxy, desk, near)


class Far:
    """A store whose connection can be cut, and a view of the truth."""

    def __init__(self, proxy: Proxy, desk: Desk, near: Desk) -> None:
        self.proxy = proxy
        self.desk = desk
        self.near = near


# -- unknown commits: the connection is cut while COMMIT is under way

WHEN = pytest.mark.parametrize("before", [False, True], ids=["reply lost", "commit lost"])


@WHEN
def test_an_insert_with_an_unknown_commit_is_there_once(far: Far, before: bool) -> None:
    jobs = [far.desk.job(unique_key=f"k{n}") for n in range(3)]
    far.desk.put(far.desk.job())
    far.proxy.cut_at("COMMIT", before=before)
    assert far.desk.put(*jobs) == [job.id for job in jobs]
    assert far.proxy.cuts == 1
    assert far.near.count("jobs") == 4 == far.near.count("ready")
    far.near.check()


@WHEN
def test_the_short_insert_with_an_unknown_commit_is_there_once(far: Far, before: bool) -> None:
    far.desk.store.jobs.insert_one(far.desk.job())
    far.proxy.cut_at("COMMIT" if far.desk.kind == "mysql" else "\0", before=before)
    far.desk.store.jobs.insert_one(job := far.desk.job())
    assert far.proxy.cuts == 1
    assert far.near.count("jobs") == 2 and far.near.state(job.id) == "ready"


@WHEN
def test_a_settle_with_an_unknown_commit_is_written_once(far: Far, before: bool) -> None:
    desk = far.desk
    parent, other, retried = desk.run(desk.job(), desk.job(), desk.job())
    *kids, then = desk.family(parent, 3)
    far.proxy.cut_at("COMMIT", before=before)
    settlement = desk.settle(
        (parent, spawned(*kids, then)), (other, failed()), (retried, Retrying(9, BAD))
    )
    assert far.proxy.cuts == 1
    assert sorted(settlement.ended) == sorted([parent.id, other.id])
    assert parent.id not in settlement.stale and other.id not in settlement.stale
    assert far.near.states([parent.id, other.id, retried.id]) == [
        "completed",
        "failed",
        "scheduled",
    ]
    assert far.near.states([kid.id for kid in kids]) == ["ready"] * 3
    assert tuple(far.near.one("pending, failed", "waiting", then.id)) == (3, 0)
    assert far.near.errors(other.id) == [("failed", 1)]
    far.near.check()


@WHEN
def test_a_stream_with_an_unknown_commit_is_written_once(far: Far, before: bool) -> None:
    desk = far.desk
    (parent,) = desk.run(desk.job())
    kids = desk.family(parent, 50)
    far.proxy.cut_at("COMMIT", before=before)
    settlement = desk.store.jobs.settle_stream(
        1, parent, spawned(), lambda: (kids[n : n + 20] for n in range(0, 60, 20))
    )
    assert far.proxy.cuts == 1 and settlement.ended == [parent.id]
    assert far.near.count("ready") == 50 and far.near.count("waiting") == 1
    assert far.near.count("spawns") == 1
    far.near.check()


@WHEN
def test_a_fan_in_is_counted_down_once(far: Far, before: bool) -> None:
    desk = far.desk
    (parent,) = desk.run(desk.job())
    *kids, then = desk.family(parent, 2)
    desk.settle((parent, spawned(*kids, then)))
    first, second = desk.claim()
    far.proxy.cut_at("COMMIT", before=before)
    desk.end(first)
    assert far.proxy.cuts == 1
    assert tuple(far.near.one("pending", "waiting", then.id)) == (1,)
    desk.end(second)
    assert far.near.state(then.id) == "ready"


@WHEN
def test_a_claim_with_an_unknown_commit_is_given_back(far: Far, before: bool) -> None:
    desk = far.desk
    desk.put(desk.job())
    desk.claim(0)
    far.proxy.cut_at("COMMIT" if desk.kind == "mysql" else "\0", before=before)
    got = desk.claim()
    assert far.proxy.cuts == 1
    lost = desk.store.jobs.release_unheld(1, {job.id for job in got})
    assert (len(got), lost) in ((1, 0), (0, 1))
    assert len(got) + len(desk.claim()) == 1


@WHEN
def test_moves_by_hand_with_an_unknown_commit_are_made_once(far: Far, before: bool) -> None:
    desk = far.desk
    (job,) = desk.run(desk.job(unique_key="k"))
    desk.settle((job, Retrying(0, BAD)))
    far.proxy.cut_at("COMMIT", before=before)
    assert desk.store.jobs.cancel(job.id, "no") is JobState.CANCELLED
    far.proxy.cut_at("COMMIT", before=before)
    assert desk.store.jobs.replay(job.id) == {"q"}
    assert far.proxy.cuts == 2
    assert far.near.state(job.id) == "ready" and far.near.count("unique_keys") == 1


@WHEN
def test_a_worker_is_registered_once(far: Far, before: bool) -> None:
    far.desk.put(far.desk.job())
    far.proxy.cut_at("COMMIT", before=before)
    far.desk.register(1, tasks=["a", "b"])
    assert far.proxy.cuts == 1
    assert far.near.count("workers") == 1 and far.near.count("worker_tasks") == 2


@WHEN
def test_an_unknown_commit_of_a_callers_block_is_told(far: Far, before: bool) -> None:
    job = far.desk.job()
    far.desk.put(far.desk.job())
    with pytest.raises(StoreUnavailable), far.desk.store.transaction() as tx:
        far.desk.store.jobs.insert([job], tx)
        far.proxy.cut_at("COMMIT", before=before)
    assert bool(far.near.places(job.id)) is not before
    assert far.desk.put(far.desk.job())


# -- connections that die


def kill_backends(desk: Desk) -> int:
    """Kill every connection to the desk's database but our own plain one."""
    if desk.kind == "postgres":
        return len(
            desk.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    rows = desk.sql(f"SELECT id FROM {PROCESSES} WHERE db = database() AND id <> connection_id()")
    for (number,) in rows:
        desk.sql(f"KILL {number}")
    return len(rows)


@pytest.fixture(params=SERVERS)
def served(request: pytest.FixtureRequest, migrated_database: Migrated) -> Iterator[Desk]:
    """A desk on a server."""
    with desk_at(migrated_database(request.param)) as desk:
        yield desk


def test_an_idle_connection_that_was_killed_is_renewed(served: Desk) -> None:
    for _ in range(3):
        served.put(served.job())
        assert kill_backends(served) >= 1
    assert len(served.claim()) == 3


def test_a_session_that_the_server_ends_for_idling_is_renewed_unseen(served: Desk) -> None:
    if served.kind == "postgres" and not ends_idle_sessions(served.url):
        pytest.skip("this server ends no idle session")
    others = f"SELECT 1 FROM {PROCESSES} WHERE id = {{}}"
    if served.kind == "postgres":
        name = served.sql("SELECT current_database()")[0][0]
        served.sql(f'ALTER DATABASE "{name}" SET idle_session_timeout = 50')
        others = "SELECT 1 FROM pg_stat_activity WHERE pid = {}"

    uses = [lambda: served.put(served.job()), served.store.queues.paused, served.claim]
    for use in uses if served.kind == "postgres" else uses[:1]:  # MariaDB counts in seconds

        def own(tx: Tx) -> int:
            if served.kind == "postgres":
                return int(tx.connection.info.backend_pid)
            tx.connection.cursor().execute("SET SESSION wait_timeout = 1")
            return int(tx.connection.thread_id())

        gone = others.format(served.store.database.unit(own))
        with contextlib.closing(open_raw(served.url)) as raw:
            if served.kind == "postgres":
                raw.execute("SET idle_session_timeout = 0")

            cursor = raw.cursor()

            def has_ended(cursor: Any = cursor, gone: str = gone) -> bool:
                cursor.execute(gone)
                return not cursor.fetchall()

            until("the server ends the session", has_ended)
        use()


def test_a_backend_killed_in_a_unit_costs_nothing(served: Desk) -> None:
    jobs = [served.job() for _ in range(3)]
    runs = []

    def work(tx: Tx) -> None:
        runs.append(tx.repeated)
        tx.rows("jobs_existing", ids=[jobs[0].id])
        if len(runs) == 1:
            kill_backends(served)
        served.store.jobs.insert(jobs, tx)

    served.put(served.job())
    served.store.database.unit(work)
    assert runs == [False, False]
    assert served.count("jobs") == 4


def test_connections_killed_all_the_time_lose_nothing(served: Desk) -> None:
    stop = threading.Event()

    def killer() -> None:
        own = Desk(served.url)
        with contextlib.closing(own):
            while not stop.wait(0.03):
                kill_backends(own)

    done: list[bytes] = []
    with running(killer) as finished:
        for _ in range(60):
            for attempt in range(20):
                try:
                    job = served.job()
                    served.put(job)
                    break
                except StoreUnavailable:
                    assert attempt < 19
            done.append(job.id)
        stop.set()
        finished()
    assert set(done) <= set(served.ids("SELECT id FROM {jobs}"))
    assert served.count("jobs") == served.count("ready")


def test_a_killed_connection_in_a_callers_block_is_told(served: Desk) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be used"), served.store.transaction() as tx:
        tx.rows("clock")
        kill_backends(served)
        served.store.jobs.insert([served.job(), served.job()], tx)
    assert served.count("jobs") == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Postgres, MariaDB])
@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.usefixtures("servers")
def test_a_server_may_restart_between_units(kind: type[Postgres | MariaDB], how: str) -> None:
    with kind() as server, desk_at(server.url()) as desk:
        desk.store.schema.migrate()
        (job,) = desk.run(desk.job())
        getattr(server, how)()
        with pytest.raises(StoreUnavailable) as caught:
            desk.put(desk.job())
        message = str(caught.value)
        assert message.endswith("the URL is right, and that its user may connect")
        assert "\n" not in message and "hammerflow:hammerflow" not in message
        server.start()
        assert desk.put(desk.job())
        assert desk.end(job).ended == [job.id]
        with contextlib.closing(desk.another()) as fresh:
            assert fresh.jobs.result(job.id) == (JobState.COMPLETED, b"M\x01", None)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody:secret@127.0.0.1:1/none",
        "mysql://nobody:secret@127.0.0.1:1/none",
        "sqlite:////proc/nothing/here.db",
    ],
)
def test_a_database_that_is_not_there_is_one_sentence(url: str) -> None:
    store = open_store(Settings(database=url))
    for verb in (store.jobs.promote, store.queues.paused, store.schema.check):
        words = "cannot be used: .*; check (that it runs|its path)"
        with pytest.raises(StoreUnavailable, match=words) as got:
            verb()
        assert "secret" not in str(got.value) and "\n" not in str(got.value)
        assert "?" not in str(got.value) and "('" not in str(got.value)


def test_the_drivers_words_are_a_sentence_without_the_statement(desk: Desk) -> None:
    wrong, words = "SELECT 1\nFROM nowhere", desk.store.database.dialect.words
    with pytest.raises(Exception, match="nowhere") as caught, desk.store.transaction() as tx:
        tx.connection.cursor().execute(wrong)
    expected = {
        "sqlite": "no such table: nowhere",
        "postgres": 'relation "nowhere" does not exist',
        "mysql": r"Table '\w+\.nowhere' doesn't exist \(1146\)",
    }[desk.kind]
    assert re.fullmatch(expected, words(caught.value))


def test_a_server_that_has_become_read_only_is_left(served: Desk) -> None:
    served.put(served.job())
    if served.kind == "postgres":
        name = served.sql("SELECT current_database()")[0][0]
        served.sql(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        kill_backends(served)
        with pytest.raises(StoreUnavailable, match="read-only"):
            served.put(served.job())
        served.sql("SET default_transaction_read_only = off")
        served.sql(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        served.put(served.job())  # on a fresh connection


@pytest.mark.usefixtures("servers")
def test_a_silent_peer_is_cut(migrated_database: Migrated) -> None:
    """Between any two statements the server stops answering, though its TCP does not."""
    url = migrated_database("postgres")
    with Proxy(url) as proxy, desk_at(proxy.url) as desk, desk_at(url) as near:
        desk.put(desk.job())
        desk.store.jobs.promote()
        for verb in (desk.claim, lambda: desk.put(desk.job(), desk.job()), desk.store.jobs.promote):
            proxy.silence()
            with running(verb) as answer:
                until("a silent connection", lambda: desk.store.database.cut_silent(0.2))
                proxy.speak()
            with contextlib.suppress(StoreUnavailable):
                answer()
        assert near.count("jobs") == 3


def test_a_client_leaves_a_server_that_does_not_answer(migrated_database: Migrated) -> None:
    """Nobody watches it there: a call ends by itself."""
    url = migrated_database("postgres")
    settings = {"statement_timeout": 0.2, "connect_timeout": 1}
    with Proxy(url) as proxy, desk_at(proxy.url, **settings) as desk:
        desk.put(desk.job())
        proxy.silence()
        with (
            running(lambda: desk.put(desk.job())) as answer,
            pytest.raises(StoreUnavailable, match="not answered for 2.2 s|timeout expired"),
        ):
            answer()
        proxy.speak()
        desk.put(desk.job())


# -- locks


def test_a_deadlock_is_retried(served: Desk) -> None:
    a, b = (served.job(pending=5) for _ in range(2))
    served.put(a, b)
    meet = threading.Barrier(2)
    tries: list[int] = []

    def crosswise(*ids: bytes) -> None:
        met: list[int] = []

        def work(tx: Tx) -> None:
            tries.append(1)
            tx.run("waiting_count", n=1, failed=0, skipped=0, cause=None, ids=ids[:1])
            if not met:
                met.append(1)
                meet.wait(20)
            tx.run("waiting_count", n=1, failed=0, skipped=0, cause=None, ids=ids[1:])

        served.store.database.unit(work)

    with running(lambda: crosswise(a.id, b.id)) as other:
        crosswise(b.id, a.id)
        other()
    assert len(tries) >= 3  # the one that begins again may meet the other once more
    assert [served.one("pending", "waiting", job.id)[0] for job in (a, b)] == [3, 3]


@pytest.mark.usefixtures("servers")
def test_a_lock_timeout_undoes_the_whole_unit(migrated_database: Migrated) -> None:
    """MariaDB undoes only the statement (error 1205): a COMMIT would keep the first half."""
    with desk_at(migrated_database("mariadb")) as desk:
        a, b = (desk.job(pending=5) for _ in range(2))
        desk.put(a, b)
        tries: list[int] = []

        def work(tx: Tx) -> None:
            tries.append(1)
            tx.connection.cursor().execute("SET SESSION innodb_lock_wait_timeout = 1")
            tx.run("waiting_count", n=1, failed=0, skipped=0, cause=None, ids=[a.id])
            tx.run("waiting_count", n=1, failed=0, skipped=0, cause=None, ids=[b.id])

        with desk.store.transaction() as tx:
            tx.rows("waiting_lock", ids=[b.id])
            with running(lambda: desk.store.database.unit(work)) as done:
                until("a second try", lambda: len(tries) > 1)
        done()
        assert [desk.one("pending", "waiting", job.id)[0] for job in (a, b)] == [4, 4]


@pytest.mark.usefixtures("servers")
def test_a_record_that_has_changed_is_contention(migrated_database: Migrated) -> None:
    """MariaDB 11.6.2 and later refuse to write over what a snapshot has not seen (error 1020)."""
    with desk_at(migrated_database("mariadb")) as desk:
        if not desk.sql("SHOW VARIABLES LIKE 'innodb_snapshot_isolation'"):
            pytest.skip("this server knows no snapshot isolation")
        job = desk.job(pending=5)
        desk.put(job)
        tries: list[int] = []

        def work(tx: Tx) -> None:
            tries.append(1)
            cursor = tx.connection.cursor()
            if len(tries) == 1:
                for text in (
                    "COMMIT",
                    "SET SESSION innodb_snapshot_isolation = ON",
                    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                    "BEGIN",
                ):
                    cursor.execute(text)
                cursor.execute("SELECT * FROM hammerflow_waiting")
                desk.sql("UPDATE {waiting} SET pending = pending + 1")
            tx.run("waiting_count", n=1, failed=0, skipped=0, cause=None, ids=[job.id])

        desk.store.database.unit(work)
        assert len(tries) == 2
        assert desk.one("pending", "waiting", job.id) == (5,)

        tries.clear()
        told = pytest.raises(StoreUnavailable, match="changed since last read.*; run it again$")
        with told, desk.store.transaction() as tx:
            work(tx)


def test_a_statement_that_waits_goes_on_when_the_lock_is_free(served: Desk) -> None:
    job = served.job(pending=2)
    served.put(job)
    with served.store.transaction() as tx:
        tx.rows("waiting_lock", ids=[job.id])
        with running(lambda: served.store.jobs.cancel(job.id, "no")) as cancelled:
            until("a lock", lambda: blocked(served), step=0.15)
    assert cancelled() is JobState.CANCELLED


def test_no_more_connections_is_one_sentence(served: Desk) -> None:
    """The server's own limit, and a role's, are met without a traceback."""
    if served.kind != "postgres":
        return
    name = served.sql("SELECT current_database()")[0][0]
    served.sql(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
    served.sql("DROP ROLE IF EXISTS hammerflow_guest")
    served.sql("CREATE ROLE hammerflow_guest LOGIN")
    try:
        guest = served.url.replace("postgres@", "hammerflow_guest@")
        store = open_store(Settings(database=guest, pool_timeout=0.1))
        with pytest.raises(
            StoreUnavailable, match="too many connections.*; raise the server.s limit"
        ):
            store.jobs.promote()
    finally:
        served.sql("DROP ROLE hammerflow_guest")


# -- SQLite


@pytest.fixture
def file(migrated_database: Migrated) -> Iterator[Desk]:
    """A desk on a SQLite file."""
    with desk_at(migrated_database("sqlite")) as desk:
        yield desk


def test_a_writer_of_another_process_is_waited_for(file: Desk) -> None:
    (claimed,) = file.run(file.job())
    with contextlib.closing(open_raw(file.url)) as other:
        other.execute("BEGIN IMMEDIATE")
        with running(lambda: file.end(claimed)) as settled:
            assert file.state(claimed.id) == "running"  # readers go on
            other.execute("COMMIT")
        assert settled().ended == [claimed.id]


def test_a_writer_that_never_ends_is_told(file: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "RETRY_SECONDS", 0.2)
    file.store.database.dialect._busy = 0.05  # type: ignore[attr-defined]
    with contextlib.closing(open_raw(file.url)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="database is locked"):
            file.put(file.job())
        begun = file.store.transaction()
        with pytest.raises(StoreUnavailable, match="database is locked"), begun:
            pass
        other.execute("ROLLBACK")
    assert file.put(file.job())


def test_writers_of_one_process_take_turns(file: Desk) -> None:
    barrier = threading.Barrier(8)

    def writer() -> None:
        barrier.wait()
        for _ in range(20):
            file.put(file.job(), file.job())

    threads = [threading.Thread(target=writer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.count("jobs") == 320


def test_every_commit_is_synced(file: Desk) -> None:
    """NORMAL lost 878 of 1 873 acknowledged rows in a power-cut test, FULL none."""
    with file.store.transaction() as tx:
        assert tx.connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert tx.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_full_disk_is_one_sentence(file: Desk) -> None:
    file.put(file.job())
    big = file.job()._replace(args=b"M" * 500_000)
    with pytest.raises(StoreUnavailable, match="disk is full"), file.store.transaction() as tx:
        tx.connection.execute("PRAGMA max_page_count = 1")  # of this connection: as it is now
        file.store.jobs.insert([big], tx)
    assert file.put(file.job()) and file.count("jobs") == 2


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be taken for one" * 100)
    store = open_store(Settings(database=f"sqlite:///{path}"))
    with pytest.raises(StoreUnavailable, match="not a database"):
        store.schema.migrate()


def test_many_processes_may_open_a_fresh_file_at_once(tmp_path: Path) -> None:
    program = (
        "import sys; from hammerflow.settings import Settings;"
        "from hammerflow.stores import open_store;"
        "store = open_store(Settings(database=sys.argv[1])); sys.stdin.read();"
        "store.schema.migrate(); store.schema.check()"
    )
    url = f"sqlite:///{tmp_path}/fresh.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, url],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(6)
    ]  # fmt: skip
    answers = [process.communicate(timeout=60)[1] for process in processes]
    assert answers == [""] * 6


# -- forks, threads, signals


def in_child(work: Callable[[], Any]) -> int:
    """Run in a forked child; its exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - this is a forked child's border
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_child_opens_its_own_connections(desk: Desk) -> None:
    desk.put(desk.job())
    desk.store.jobs.promote()

    def child() -> None:
        desk.store.jobs.insert([desk.job(), desk.job()])
        assert in_child(lambda: desk.store.jobs.insert([desk.job(), desk.job()])) == 0
        desk.store.close()

    for _ in range(3):
        assert in_child(child) == 0
        desk.put(desk.job(), desk.job())  # the parent's connection is as it was
    assert desk.count("jobs") == 19


def test_ids_of_parent_and_child_differ(file: Desk) -> None:
    assert in_child(lambda: file.put(*(file.job() for _ in range(500)))) == 0
    file.put(*(file.job() for _ in range(500)))
    assert file.count("jobs") == 1000


class Stop(BaseException):
    """What a signal handler raises."""


@pytest.mark.parametrize("error", [Stop(), KeyboardInterrupt(), SoftTimeout("late")])
def test_a_signal_in_a_unit_leaves_nothing_behind(desk: Desk, error: BaseException) -> None:
    job = desk.job()

    def work(tx: Tx) -> None:
        desk.store.jobs.insert([job], tx)
        raise error

    desk.put(desk.job())
    with pytest.raises(type(error)):
        desk.store.database.unit(work)
    with pytest.raises(type(error)), desk.store.transaction() as tx:
        work(tx)
    assert desk.places(job.id) == []
    desk.put(job)
    assert desk.state(job.id) == "ready"


def test_threads_share_a_store(desk: Desk) -> None:
    barrier, faults = threading.Barrier(6), []

    def life(worker: int) -> None:
        try:
            barrier.wait()
            for n in range(6):
                desk.put(*(desk.job(queue=f"q{worker}") for _ in range(5)))
                claimed = desk.claim(10, worker=worker, queue=f"q{worker}")
                assert len(claimed) == 5
                desk.settle(*((job, Completed(b"M%d" % n)) for job in claimed), worker=worker)
                if n % 3 == 2:
                    desk.store.close()  # only idle connections
        except BaseException as error:  # noqa: BLE001 - shown below
            faults.append(error)

    threads = [threading.Thread(target=life, args=(n,)) for n in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert desk.count("done") == 180
    desk.check()


def test_a_store_closed_is_opened_by_its_next_verb(desk: Desk) -> None:
    desk.put(desk.job())
    desk.store.close()
    desk.store.close()
    assert len(desk.claim()) == 1


def test_no_connection_is_left_over(desk: Desk) -> None:
    if desk.kind != "postgres":
        return

    def connections() -> int:
        return len(
            desk.sql(
                "SELECT 1 FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )

    threads = [threading.Thread(target=lambda: desk.put(desk.job())) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until("few connections", lambda: connections() <= desk.settings.max_connections)
    desk.store.close()
    until("no connection", lambda: connections() == 0)


def test_a_password_is_never_shown() -> None:
    url = "postgresql://shop:s3cret@127.0.0.1:1/db"
    store = open_store(Settings(database=url))
    with pytest.raises(StoreUnavailable) as caught:
        store.clock()
    assert "s3cret" not in repr(caught.value) and "shop:***@" in str(caught.value)
    assert isinstance(caught.value.__cause__, psycopg.OperationalError)
    assert parse_url(url).redacted in str(caught.value)
