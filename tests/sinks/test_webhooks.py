"""Webhooks: events become deliveries, signed, tried again, and disabled after failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hammerflow import Hammerflow
from hammerflow.errors import ConfigError
from hammerflow.events.filter import EventFilter
from hammerflow.sinks.webhook import DELIVER, prepare_endpoint
from hammerflow.testing import drain
from hammerflow.webhooks import new_secret, verify
from tests.sinks.test_delivery import deliver, delivery
from tests.stores.kit import Desk, failed

DAY = 86_400


class Endpoint:
    """Keeps what it gets, and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status, self.headers = 200, dict[str, str]()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.got.append((dict(self.headers), body))
                self.send_response(endpoint.status)
                for name, value in endpoint.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"x" * 5_000)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def answer(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.headers = status, dict(headers or {})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    found = Endpoint()
    yield found
    found.close()


@pytest.fixture
def app(desk: Desk) -> Iterator[Hammerflow]:
    app = Hammerflow(
        "hooked", database=desk.url, doorbell="none", webhook_allow_networks=["127.0.0.0/8"]
    )
    yield app
    app.close()


def add(desk: Desk, app: Hammerflow, url: str, **config: Any) -> str:
    """An endpoint for failed jobs; its secret."""
    filters = EventFilter.of(kinds=["job.failed", "webhook.*"])
    desk.store.sinks.put("ops", "webhook", {"url": url, **config}, filters)
    secret = prepare_endpoint(desk.store, "ops", by="me")
    app.store.names.outbox.refresh()
    assert secret is not None
    return secret


def fail_jobs(desk: Desk, count: int = 1) -> None:
    """Events of failed jobs, fanned out to deliveries."""
    jobs = desk.run(*(desk.job() for _ in range(count)))
    desk.settle(*((job, failed()) for job in jobs))
    deliver(desk, delivery(desk.store, "ops")).close()


def due_now(desk: Desk) -> None:
    """Every delivery that waits is due."""
    earlier = "'2020-01-01'" if desk.kind != "sqlite" else "0"
    desk.sql(f"UPDATE {{scheduled}} SET run_at = {earlier}")
    desk.store.jobs.promote(100)


def test_an_event_is_delivered_once_and_signed(
    desk: Desk, app: Hammerflow, endpoint: Endpoint
) -> None:
    secret = add(desk, app, endpoint.url)
    fail_jobs(desk, 3)
    drain(app)
    desk.store.sinks.rewind("ops", 0, by="me")  # what was enqueued is not enqueued again
    deliver(desk, delivery(desk.store, "ops")).close()
    drain(app)
    assert len(endpoint.got) == 3
    for headers, body in endpoint.got:
        verify(secret, headers, body)
        assert headers["Content-Type"] == "application/cloudevents+json"
        assert json.loads(body)["type"] == "hammerflow.job.failed.v1"
    [first, *_] = found = desk.store.webhooks.deliveries("ops", 10)
    assert len(found) == 3
    assert (first.status, first.attempt, first.address) == (200, 1, "127.0.0.1")
    assert first.answer == "x" * 4_096
    assert {job.state for job in app.jobs(task=DELIVER)} == {"completed"}
    assert desk.store.webhooks.get("ops").failures == 0
    assert desk.store.events.head() == 3  # the deliveries cause no events
