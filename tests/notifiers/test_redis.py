"""Redis may die, hang, lie or be flushed: that costs time, and never an error."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from hammerflow.errors import ConfigError
from hammerflow.notifiers import open_notifier
from hammerflow.notifiers.doorbell import Doorbell
from hammerflow.settings import Settings
from tests.notifiers.conftest import Make
from tests.notifiers.kit import LONG, Lines, Listening, silent_server, until
from tests.support.servers import Redis, open_redis

#: The promise for one ring is half a second; the machine of a test may be busy.
BOUND = 1.5


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with open_redis(redis_url) as found:
        yield found


def _ring_all(doorbell: Doorbell) -> float:
    """Ring everything; the seconds that it took."""
    began = time.monotonic()
    doorbell.ring(["mail", "other"])
    doorbell.ring_done([os.urandom(16)])
    doorbell.ring_control()
    return time.monotonic() - began


# -- not there


def test_without_a_redis_nothing_raises_and_one_line_says_so(
    redis_doorbell: Make, lines: Lines
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    doorbell = redis_doorbell(f"redis://127.0.0.1:{port}/0")

    longest = max(_ring_all(doorbell) for _ in range(20))

    assert longest < BOUND
    assert str(port) in lines.next()
    assert lines.rest() == []


def test_a_bell_without_a_redis_waits_as_told(redis_doorbell: Make, lines: Lines) -> None:
    doorbell = redis_doorbell("redis://127.0.0.1:1/0")

    began = time.monotonic()
    with doorbell.expect(os.urandom(16)) as bell:
        assert not bell.wait(0.2)

    assert 0.2 <= time.monotonic() - began < 0.2 + BOUND


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "192.0.2.1:6379"])
def test_a_server_that_never_answers_costs_one_ring_half_a_second(
    host: str, redis_doorbell: Make, lines: Lines
) -> None:
    with silent_server() as port:
        doorbell = redis_doorbell(f"redis://{host.format(port=port)}/0")

        first = _ring_all(doorbell)
        rest = max(_ring_all(doorbell) for _ in range(1000))

    assert first < BOUND
    assert rest < 0.2
    assert "down" in lines.next()
    assert lines.rest() == []


def test_a_name_that_is_not_found_in_time_costs_no_more(
    redis_doorbell: Make, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = threading.Event()

    def look_up(*_: object, **__: object) -> object:
        found.wait(LONG)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    doorbell = redis_doorbell("redis://redis.example:6379/0")

    first = _ring_all(doorbell)
    rest = max(_ring_all(doorbell) for _ in range(1000))
    found.set()

    assert first < BOUND
    assert rest < 0.2
    assert "redis.example" in lines.next()


def test_a_server_that_is_no_redis_is_taken_for_down(redis_doorbell: Make, lines: Lines) -> None:
    def greet(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"220 mail.example ESMTP\r\n" + b"\x00\xff" * 500)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=greet, args=(server,), daemon=True).start()
        doorbell = redis_doorbell(f"redis://127.0.0.1:{server.getsockname()[1]}/0")

        assert _ring_all(doorbell) < BOUND
        assert "down" in lines.next()
        with doorbell.expect(os.urandom(16)) as bell:
            bell.wait(0)
        server.shutdown(socket.SHUT_RDWR)


# -- killed, stopped, flushed


def test_a_killed_redis_is_subscribed_to_again_when_it_is_back(
    own_redis: Redis, redis_doorbell: Make, lines: Lines
) -> None:
    listening = Listening(redis_doorbell(own_redis.url()))
    ringer = redis_doorbell(own_redis.url())
    ringer.ring(["mail"])
    listening.comes()

    own_redis.kill()
    assert "down" in lines.next()  # the listener's
    longest = until(lambda: lines.any, lambda: _ring_all(ringer))
    assert "down" in lines.next()  # the ringer's
    own_redis.start()
    listening.comes()  # by itself: something may have been missed
    assert "up" in lines.next()
    until(lambda: lines.any, lambda: _ring_all(ringer))

    assert longest < BOUND
    assert "up" in lines.next()
    listening.work.clear()
    ringer.ring(["mail"])
    listening.comes()
    assert lines.rest() == []


def test_a_bell_rings_once_redis_is_back(own_redis: Redis, redis_doorbell: Make) -> None:
    doorbell = redis_doorbell(own_redis.url())
    with doorbell.expect(os.urandom(16)) as bell:
        bell.wait(0.1)
        own_redis.kill()
        own_redis.start()

        assert bell.wait(LONG)  # it may have been missed


@pytest.mark.slow
def test_a_stopped_redis_is_noticed_and_costs_hardly_anything(
    own_redis: Redis, redis_doorbell: Make, lines: Lines
) -> None:
    ringer = redis_doorbell(own_redis.url())
    ringer.ring(["mail"])

    own_redis.pause()
    longest = until(lambda: lines.any, lambda: _ring_all(ringer))
    assert "down" in lines.next()
    began = time.monotonic()
    while time.monotonic() - began < 2.0:
        longest = max(longest, _ring_all(ringer))
    own_redis.resume()
    longest = max(longest, until(lambda: lines.any, lambda: _ring_all(ringer)))

    assert longest < 0.4
    assert "up" in lines.next()
    assert lines.rest() == []


@pytest.mark.slow
def test_a_listener_notices_a_stopped_redis_within_seconds(
    own_redis: Redis, redis_doorbell: Make, lines: Lines
) -> None:
    listening = Listening(redis_doorbell(own_redis.url()))

    own_redis.pause()
    began = time.monotonic()
    assert "no reply to a ping" in lines.next()
    took = time.monotonic() - began
    own_redis.resume()

    assert took < 5.0
    listening.comes()
    assert "up" in lines.next()


def test_a_listener_ends_at_once_while_redis_hangs(own_redis: Redis, redis_doorbell: Make) -> None:
    doorbell = redis_doorbell(own_redis.url())
    listening = Listening(doorbell)
    doorbell.ring(["mail"])
    listening.comes()

    own_redis.pause()
    began = time.monotonic()
    doorbell.ring(["mail"])
    doorbell.close()
    took = time.monotonic() - began
    own_redis.resume()

    assert took < 2.5


def test_a_flushed_redis_changes_nothing(own_redis: Redis, redis_doorbell: Make) -> None:
    listening = Listening(redis_doorbell(own_redis.url()))
    ringer = redis_doorbell(own_redis.url())
    ringer.ring(["mail"])
    listening.comes()

    own_redis.flush()
    ringer.ring(["mail"])

    listening.comes()


def test_an_idle_connection_that_was_cut_is_made_anew_without_a_word(
    own_redis: Redis, redis_doorbell: Make, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hammerflow.notifiers.publisher.YOUNG", 0.0)
    listening = Listening(redis_doorbell(own_redis.url()))
    ringer = redis_doorbell(own_redis.url())
    ringer.ring(["mail"])
    listening.comes()

    with open_redis(own_redis.url()) as client:
        client.client_kill_filter(_type="normal")  # subscribers are of another type
    ringer.ring(["mail"])

    listening.comes()
    assert lines.rest() == []


@pytest.mark.slow
def test_a_paused_redis_rings_later(own_redis: Redis, redis_doorbell: Make) -> None:
    listening = Listening(redis_doorbell(own_redis.url()))
    ringer = redis_doorbell(own_redis.url())
    ringer.ring(["mail"])
    listening.comes()

    with open_redis(own_redis.url()) as client:
        client.client_pause(1500)
    longest = max(_ring_all(ringer) for _ in range(100))
    until(listening.work.is_set, lambda: _ring_all(ringer))

    assert longest < 0.4


@pytest.mark.slow
def test_a_script_that_just_ends_has_rung(redis_url: str, redis_doorbell: Make) -> None:
    code = (
        "import sys\n"
        "from hammerflow.notifiers import open_notifier\n"
        "from hammerflow.settings import Settings\n"
        "notifier = open_notifier(Settings(redis=sys.argv[1], namespace='shop'))\n"
        "for _ in range(30): notifier.ring(['mail', 'other'])\n"
        "notifier.ring(['last'])\n"
    )
    listening = Listening(redis_doorbell(redis_url), "last")

    for _ in range(3):
        subprocess.run([sys.executable, "-c", code, redis_url], check=True)

        listening.comes()


# -- says no


@pytest.mark.slow
def test_a_wrong_password_is_one_line_without_the_password(
    own_redis: Redis, redis_doorbell: Make, lines: Lines
) -> None:
    with open_redis(own_redis.url()) as client:
        client.config_set("requirepass", "right")
    doorbell = redis_doorbell(own_redis.url().replace("//", "//:wr0ng@"))

    began = time.monotonic()
    while time.monotonic() - began < 2.0:  # over several tries
        assert _ring_all(doorbell) < BOUND

    line = lines.next()
    assert "password" in line
    assert "wr0ng" not in line
    assert lines.rest() == []


def _set_user(client: redis.Redis, name: str, *rules: str) -> None:
    if int(client.info("server")["redis_version"].partition(".")[0]) < 6:
        pytest.skip("Redis has users since version 6")
    client.execute_command("ACL", "SETUSER", name, "on", *rules)


@pytest.mark.slow
@pytest.mark.parametrize(
    "login", ["", "nopublish:pw@"], ids=["no login", "a login without the right"]
)
def test_a_lack_of_rights_is_one_line(
    login: str, own_redis: Redis, redis_doorbell: Make, lines: Lines
) -> None:
    with open_redis(own_redis.url()) as client:
        if login:
            _set_user(client, "nopublish", ">pw", "allcommands")
        client.config_set("requirepass", "right")
    doorbell = redis_doorbell(own_redis.url().replace("//", f"//{login}"))

    began = time.monotonic()
    while time.monotonic() - began < 2.0:
        assert _ring_all(doorbell) < BOUND

    assert "down" in lines.next()
    assert lines.rest() == []


def test_a_login_confined_to_its_namespace_is_enough(
    own_redis: Redis, redis_doorbell: Make, lines: Lines
) -> None:
    with open_redis(own_redis.url()) as client:
        rights = ("resetchannels", "&shop:*", "-@all", "+@pubsub", "+@connection")
        _set_user(client, "shop", ">p w/", *rights)
    url = own_redis.url().replace("//", "//shop:p%20w%2F@")
    listening = Listening(redis_doorbell(url))

    redis_doorbell(url).ring(["mail"])

    listening.comes()
    assert lines.rest() == []


# -- lies


def test_garbage_on_the_channels_does_no_harm(
    client: redis.Redis, redis_url: str, redis_doorbell: Make
) -> None:
    doorbell = redis_doorbell(redis_url)
    listening = Listening(doorbell)
    job = os.urandom(16)

    with doorbell.expect(job) as bell:
        bell.wait(0.1)
        for body in (b"", b"\x00" * 15, b"*3\r\n$7\r\nmessage\r\n", os.urandom(5000), b"-ERR\r\n"):
            for channel in ("work:mail", "control", "done"):
                client.publish(f"shop:{channel}", body)
        listening.comes()
        assert listening.control.wait(LONG)
        until(lambda: not bell.wait(0.2))
        doorbell.ring_done([job])
        assert bell.wait(LONG)


def test_giant_messages_are_not_kept(
    client: redis.Redis, redis_url: str, redis_doorbell: Make
) -> None:
    doorbell = redis_doorbell(redis_url)
    listening = Listening(doorbell)
    job = os.urandom(16)

    with doorbell.expect(job) as bell:
        bell.wait(0.1)
        for channel in ("work:mail", "done"):
            client.publish(f"shop:{channel}", b"x" * 20_000_000)
        listening.comes()
        until(lambda: bell.wait(0.1), lambda: doorbell.ring_done([job]))


def test_a_flood_is_a_trickle_of_calls_and_the_next_ring_is_heard(
    client: redis.Redis, redis_url: str, redis_doorbell: Make
) -> None:
    doorbell = redis_doorbell(redis_url)
    listening = Listening(doorbell)

    began = time.monotonic()
    for _ in range(20):
        with client.pipeline(transaction=False) as pipeline:
            for _ in range(1000):
                pipeline.publish("shop:work:mail", b"flood")
            pipeline.execute()
    last = time.monotonic()
    doorbell.ring(["mail"])
    until(lambda: listening.last_at >= last)

    assert listening.count <= 20 + 1000 * (listening.last_at - began)


# -- where it is


def test_a_unix_socket_and_a_protocol_in_the_url_will_do(
    tmp_path: Path, redis_doorbell: Make, own_redis: Redis
) -> None:
    url = own_redis.url() + "?protocol=3&socket_timeout=3"
    listening = Listening(redis_doorbell(url))

    redis_doorbell(url).ring(["mail"])

    listening.comes()


@pytest.mark.parametrize("url", ["redis://host:port/0", "redis://h?socket_timeout=soon"])
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_notifier(Settings(redis=url.replace("//", "//:s3cret@")))

    assert "s3cret" not in str(caught.value)


def test_settings_with_a_redis_open_it(redis_url: str) -> None:
    settings = Settings(redis=redis_url, namespace="settings")
    listener, ringer = open_notifier(settings), open_notifier(settings)
    listening = Listening(listener)

    ringer.ring(["mail"])

    listening.comes()
    listener.close()
    ringer.close()
