"""The sink ``redis``: each event is appended once, in order, whatever becomes of the server."""

from __future__ import annotations

import pytest

from hammerflow.errors import ConfigError
from hammerflow.sinks.registry import open_sink, shown_config
from tests.sinks.test_delivery import add, deliver, delivery
from tests.stores.kit import Desk
from tests.support.servers import Redis, open_redis

STREAM = "events"


def entries(url: str) -> list[tuple[int, dict[bytes, bytes]]]:
    with open_redis(url) as client:
        return [(int(id_.split(b"-")[0]), fields) for id_, fields in client.xrange(STREAM)]


def end_jobs(desk: Desk, count: int) -> None:
    desk.end(*desk.run(*(desk.job() for _ in range(count))))


def test_each_event_is_an_entry_and_a_repeat_adds_none(desk: Desk, redis_url: str) -> None:
    add(desk, kind="redis", url=redis_url, stream=STREAM, batch=2)
    end_jobs(desk, 5)
    deliver(desk).close()
    first = entries(redis_url)
    assert len(first) == 5 == desk.store.events.head()
    assert [position for position, _ in first] == [1, 2, 3, 4, 5]
    assert first[0][1][b"id"].endswith(b"/1") and b"job.completed" in first[0][1][b"body"]
    desk.store.sinks.rewind("s", 0, by="me")
    deliver(desk)
    assert entries(redis_url) == first
    row = desk.store.sinks.get("s")
    assert (row.position, row.sent) == (5, 10)


def test_a_stream_that_is_past_an_event_refuses_it(embedded_desk: Desk, redis_url: str) -> None:
    desk = embedded_desk
    with open_redis(redis_url) as client:
        client.xadd(STREAM, {"id": "of another app"}, id="1-0")
    add(desk, kind="redis", url=redis_url, stream=STREAM)
    end_jobs(desk, 2)
    deliver(desk)
    assert [position for position, _ in entries(redis_url)] == [1, 2]
    parked = desk.store.sinks.parked("s")
    assert [one.position for one in parked] == [1] and "does not hold" in parked[0].error


def test_a_server_that_died_gets_the_rest_and_says_what_it_lost(
    embedded_desk: Desk, own_redis: Redis
) -> None:
    desk, url = embedded_desk, own_redis.url()
    add(desk, kind="redis", url=url, stream=STREAM)
    end_jobs(desk, 2)
    one = deliver(desk)
    own_redis.kill()
    end_jobs(desk, 1)
    deliver(desk, one)
    assert desk.store.sinks.get("s").failures == 1 and desk.store.sinks.get("s").position == 2
    own_redis.start()
    one._retry_at = 0.0
    deliver(desk, one)
    assert "has lost the events from 1 to 2" in desk.store.sinks.get("s").error
    assert entries(url) == []
    one.close()
    desk.store.sinks.rewind("s", 0, by="me")
    deliver(desk, delivery(desk.store))
    assert [position for position, _ in entries(url)] == [1, 2, 3]


def test_another_relay_notices_what_the_server_has_lost(desk: Desk, redis_url: str) -> None:
    add(desk, kind="redis", url=redis_url, stream=STREAM)
    end_jobs(desk, 3)
    deliver(desk).close()
    with open_redis(redis_url) as client:
        client.delete(STREAM)
    end_jobs(desk, 1)
    another = desk.another()
    one = deliver(desk, delivery(another))
    row = desk.store.sinks.get("s")
    assert "has lost the events from 1 to 3" in row.error and row.position == 3
    assert entries(redis_url) == []
    one.close()
    another.close()
    desk.store.sinks.rewind("s", 0, by="me")
    one = deliver(desk)
    assert [position for position, _ in entries(redis_url)] == [1, 2, 3, 4]
    with open_redis(redis_url) as client:
        client.delete(STREAM)  # while the relay is connected
    end_jobs(desk, 1)
    deliver(desk, one)
    one._retry_at = 0.0
    deliver(desk, one)
    assert "has lost the events from 1 to 4" in desk.store.sinks.get("s").error
    assert entries(redis_url) == []


def test_passwords_are_not_shown_nor_taken_where_they_would_be() -> None:
    config = {"url": "redis://:s3cret@host/0", "stream": STREAM}
    assert "s3cret" not in str(shown_config("redis", config))
    with pytest.raises(ConfigError, match="percent-encoded") as caught:
        open_sink("s", "redis", {"url": "redis://:s3c/ret@host/0", "stream": STREAM})
    assert "s3c" not in str(caught.value) + str(caught.value.__context__)
    with pytest.raises(ConfigError, match="before the host"):
        open_sink("s", "redis", {"url": "redis://host/0?password=s3cret", "stream": STREAM})
    with pytest.raises(ConfigError, match="needs stream="):
        open_sink("s", "redis", {"url": "redis://host/0"})
