"""LISTEN and NOTIFY: PostgreSQL may go, hang and come back."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from hammerflow.errors import ConfigError
from hammerflow.notifiers import open_notifier
from hammerflow.notifiers.base import Ring
from hammerflow.notifiers.doorbell import Doorbell
from hammerflow.notifiers.transports.postgres import PostgresTransport
from hammerflow.settings import Settings
from tests.notifiers.kit import LONG, Lines, Listening, until
from tests.support.proxy import Proxy
from tests.support.servers import Postgres, ends_idle_sessions


@pytest.fixture
def doorbell_at() -> Iterator[Callable[[str], Doorbell]]:
    made: list[Doorbell] = []

    def make(url: str) -> Doorbell:
        transport = PostgresTransport(
            lambda: psycopg.connect(url, autocommit=True, connect_timeout=2), namespace="shop"
        )
        made.append(Doorbell(transport))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("what", ["sender", "subscription"])
def test_a_connection_whose_server_is_silent_from_the_start_is_closed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr("hammerflow.notifiers.transports.postgres.TIMEOUT", 0.05)
    made: list[psycopg.Connection] = []
    with Proxy(postgres_url) as proxy:

        def connect() -> psycopg.Connection:
            made.append(psycopg.connect(proxy.url, autocommit=True))
            proxy.silence()
            return made[-1]

        transport = PostgresTransport(connect, namespace="shop")
        with pytest.raises(TimeoutError, match="did not answer"):
            transport.connect() if what == "sender" else transport.subscribe(None)
    assert [connection.closed for connection in made] == [True]


@pytest.mark.slow
def test_a_killed_postgres_is_listened_to_again_when_it_is_back(
    own_postgres: Postgres, doorbell_at: Callable[[str], Doorbell], lines: Lines
) -> None:
    doorbell = doorbell_at(own_postgres.url())
    listening = Listening(doorbell)
    doorbell.ring(["mail"])
    listening.comes()

    own_postgres.kill()
    assert "down" in lines.next()
    longest = max(_seconds(lambda: doorbell.ring(["mail"])) for _ in range(1000))
    own_postgres.start()
    listening.comes()
    until(listening.work.is_set, lambda: doorbell.ring(["mail"]))

    assert longest < 0.4
    assert lines.alternate()


@pytest.mark.slow
def test_a_stopped_postgres_costs_the_ringer_nothing_and_is_noticed(
    own_postgres: Postgres, doorbell_at: Callable[[str], Doorbell], lines: Lines
) -> None:
    doorbell = doorbell_at(own_postgres.url())
    listening = Listening(doorbell)
    doorbell.ring(["mail"])
    listening.comes()

    own_postgres.pause()
    began = time.monotonic()
    longest = until(lambda: lines.any, lambda: doorbell.ring(["mail"]))
    took = time.monotonic() - began
    own_postgres.resume()

    assert longest < 0.4
    assert took < 5.0
    assert "down" in lines.next()
    until(lambda: lines.any, lambda: doorbell.ring(["mail"]))
    listening.work.clear()
    until(listening.work.is_set, lambda: doorbell.ring(["mail"]))
    assert lines.alternate()


@pytest.mark.slow
def test_a_session_that_was_ended_is_begun_again(
    own_postgres: Postgres, doorbell_at: Callable[[str], Doorbell], lines: Lines
) -> None:
    listening = Listening(doorbell_at(own_postgres.url()))

    with psycopg.connect(own_postgres.url(), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    listening.comes()
    assert "down" in lines.next()
    assert "up" in lines.next()


def test_notes_of_strangers_do_no_harm(
    postgres_url: str, doorbell_at: Callable[[str], Doorbell]
) -> None:
    doorbell = doorbell_at(postgres_url)
    listening = Listening(doorbell)
    job = os.urandom(16)

    with (
        doorbell.expect(job) as bell,
        psycopg.connect(postgres_url, autocommit=True) as connection,
    ):
        bell.wait(0.1)
        for channel in (_channel("work"), _channel("done")):
            for body in ("", "é", "xyz", "0", "control,", "a" * 7000):
                connection.execute("SELECT pg_notify(%s, %s)", (channel, body))
        assert listening.control.wait(LONG)
        doorbell.ring_done([job])
        until(lambda: bell.wait(0.1))
    doorbell.ring(["mail"])

    listening.comes()


def _channel(suffix: str) -> str:
    """The channel that a doorbell of the shop listens to."""
    transport = PostgresTransport(lambda: None, namespace="shop")
    name: str = getattr(transport, f"_{suffix}")
    return name


def test_many_queues_and_ids_are_split_into_notes(
    postgres_url: str, doorbell_at: Callable[[str], Doorbell]
) -> None:
    doorbell = doorbell_at(postgres_url)
    listening = Listening(doorbell, "queue-999")
    job = os.urandom(16)

    with doorbell.expect(job) as bell:
        bell.wait(0.1)
        doorbell.ring(f"queue-{n}" for n in range(1000))
        listening.comes()
        doorbell.ring_done([*(os.urandom(16) for _ in range(9_999)), job])
        assert bell.wait(LONG)


def test_it_needs_a_way_to_connect() -> None:
    settings = Settings(database="postgresql://u:p@host/db", doorbell="postgres")

    with pytest.raises(ConfigError):
        open_notifier(settings)


def test_settings_with_a_way_to_connect_open_it(postgres_url: str) -> None:
    settings = Settings(database=postgres_url, doorbell="postgres")
    notifier = open_notifier(
        settings, connect=lambda: psycopg.connect(postgres_url, autocommit=True)
    )
    listening = Listening(notifier)

    notifier.ring(["mail"])

    listening.comes()
    notifier.close()


def _seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def test_a_session_that_waits_for_rings_is_not_ended_for_idling(postgres_url: str) -> None:
    if not ends_idle_sessions(postgres_url):
        pytest.skip("this server ends no idle session")

    def connect() -> psycopg.Connection:
        options = "-c idle_session_timeout=50ms"
        return psycopg.connect(postgres_url, autocommit=True, options=options)

    transport = PostgresTransport(connect, namespace="idle")
    subscription, sender = transport.subscribe(["mail"]), transport.connect()

    ends, _, _ = select.select([subscription.fileno()], [], [], 0.5)
    sender.send([Ring("work", b"mail")])
    heard, _, _ = select.select([subscription.fileno()], [], [], LONG)

    assert (ends, len(heard)) == ([], 1)
    assert subscription.receive()[0] == [Ring("work", b"mail")]
    subscription.close()
    sender.close()
