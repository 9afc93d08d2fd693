"""Webhooks: events become deliveries, signed, tried again, and disabled after failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hammerflow import Hammerflow
from hammerflow.admin.webhooks import put_webhook, rotate_secret, try_webhook
from hammerflow.errors import ConfigError, WebhookInvalid
from hammerflow.events.filter import EventFilter
from hammerflow.stores.diagnosis.cluster_metrics import ClusterMetrics
from hammerflow.stores.events.webhooks import DELIVER, WebhookAttempt
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
                endpoint.handle()
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

    def handle(self) -> None:
        """What it does before it answers."""

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
    desk.store.webhooks.rotate("ops", secret := new_secret(), overlap=0)
    app.store.names.outbox.refresh()
    return secret


def fail_jobs(desk: Desk, count: int = 1) -> None:
    """Events of failed jobs, fanned out to deliveries."""
    jobs = desk.run(*(desk.job() for _ in range(count)))
    desk.settle(*((job, failed()) for job in jobs))
    deliver(desk, delivery(desk.store, "ops")).close()


def waits_for(desk: Desk, job: Any) -> float:
    """Seconds until a delivery is due."""
    return float(job.run_at.timestamp() - desk.store.clock())


def earlier(desk: Desk) -> str:
    return "'2020-01-01'" if desk.kind != "sqlite" else "0"


def due_now(desk: Desk) -> None:
    """Every delivery that waits is due, and no endpoint rests any more."""
    desk.sql("UPDATE {webhooks} SET rest_until = NULL")
    desk.sql(f"UPDATE {{scheduled}} SET run_at = {earlier(desk)}")
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
    shown = ClusterMetrics(desk.store, lease=30.0).read().numbers
    assert shown["hammerflow_webhook_deliveries_total"] == {
        ("ops", "delivered"): 3, ("ops", "failed"): 0,
    }  # fmt: skip
    assert shown["hammerflow_webhook_disabled"] == {("ops",): 0}
    assert (first.status, first.attempt, first.address) == (200, 1, "127.0.0.1")
    assert first.answer == "x" * 4_096
    assert {job.state for job in app.jobs(task=DELIVER)} == {"completed"}
    assert desk.store.webhooks.get("ops").failures == 0
    assert desk.store.events.head() == 3  # the deliveries cause no events


def test_failures_follow_the_schedule_with_one_id(
    desk: Desk, app: Hammerflow, endpoint: Endpoint
) -> None:
    add(desk, app, endpoint.url)
    endpoint.answer(302, {"Location": endpoint.url})
    fail_jobs(desk)
    delays = []
    for _ in range(10):
        drain(app)
        [job] = app.jobs(task=DELIVER)
        if job.state == "failed":
            break
        delays.append(waits_for(desk, job))
        due_now(desk)
    wanted = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
    assert len(delays) == 9
    assert all(abs(d - w) <= w * 0.1 + 5 for d, w in zip(delays, wanted, strict=True)), delays
    assert len({headers["webhook-id"] for headers, _ in endpoint.got}) == 1
    assert len(endpoint.got) == 10
    log = desk.store.webhooks.deliveries("ops", 100)
    assert [row.attempt for row in log] == list(range(10, 0, -1))
    assert {row.error for row in log} == {"it has answered with HTTP 302"}


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("120", 110, 120), ("999999", 3_590, 3_600), ("soon", 0, 6), ("0", 3, 5), (None, 200, 300)],
)
def test_a_delivery_waits_as_long_as_the_endpoint_asks(
    desk: Desk, app: Hammerflow, endpoint: Endpoint, value: str | None, least: int, most: int
) -> None:
    add(desk, app, endpoint.url)
    at = formatdate(desk.store.clock() + 300, usegmt=True)
    endpoint.answer(503, {"Retry-After": at if value is None else value})
    fail_jobs(desk)
    drain(app)
    [job] = app.jobs(task=DELIVER)
    assert least <= waits_for(desk, job) <= most
    endpoint.answer(200)
    due_now(desk)
    drain(app)
    assert app.jobs(task=DELIVER)[0].state == "completed"


def test_gone_disables_at_once(desk: Desk, app: Hammerflow, endpoint: Endpoint) -> None:
    add(desk, app, endpoint.url)
    endpoint.answer(410)
    fail_jobs(desk, 2)
    drain(app)
    assert len(endpoint.got) == 1
    assert {job.state for job in app.jobs(task=DELIVER)} == {"scheduled"}
    found = desk.store.webhooks.get("ops")
    assert (found.state, found.sink_state, found.probe_at) == ("disabled", "paused", None)
    assert "410" in found.reason
    while desk.store.events.relay():
        pass
    [event] = list(app.events(kinds=["webhook.*"]))
    assert (event.kind, event.subject, event.data["name"]) == ("webhook.disabled", "ops", "ops")

    endpoint.answer(200)
    desk.store.webhooks.enable("ops", by="me")
    fail_jobs(desk)
    drain(app)
    kinds = [json.loads(body)["type"] for _, body in endpoint.got[1:]]
    assert sorted(kinds) == [
        *["hammerflow.job.failed.v1"] * 3, "hammerflow.webhook.disabled.v1",
        "hammerflow.webhook.enabled.v1",
    ]  # fmt: skip
    assert len({headers["webhook-id"] for headers, _ in endpoint.got}) == 5


def test_what_waits_for_a_disabled_endpoint_is_due_once_it_is_enabled(
    desk: Desk, app: Hammerflow, endpoint: Endpoint
) -> None:
    add(desk, app, endpoint.url)
    fail_jobs(desk, 2)
    desk.store.webhooks.disable("ops", "moved", by="me")
    drain(app)
    assert endpoint.got == []
    assert {job.state for job in app.jobs(task=DELIVER)} == {"scheduled"}
    desk.store.webhooks.enable("ops", by="me")
    drain(app)
    assert len(endpoint.got) == 2

    fail_jobs(desk)
    desk.store.webhooks.disable("ops", "moved", by="me")
    desk.sql(f"UPDATE {{webhooks}} SET disabled_at = disabled_at - {7 * DAY + 1}")
    drain(app)
    assert min(job.state for job in app.jobs(task=DELIVER)) == "cancelled"
    assert len(endpoint.got) == 2


def test_what_a_restored_backup_or_a_person_has_paused_sends_nothing(
    desk: Desk, app: Hammerflow, endpoint: Endpoint
) -> None:
    add(desk, app, endpoint.url)
    fail_jobs(desk)
    desk.store.sinks.pause("ops", by="me", reason="a backup was restored")
    drain(app)
    assert endpoint.got == []
    desk.store.sinks.resume("ops", by="me")
    assert desk.store.webhooks.release("ops") == 1
    drain(app)
    assert len(endpoint.got) == 1

    desk.store.sinks.pause("ops", by="me", reason="not now")
    desk.store.webhooks.disable("ops", "moved", by="me")
    desk.store.webhooks.enable("ops", by="me")
    assert desk.store.webhooks.get("ops").sink_state == "paused"  # that was another person


def test_a_busy_endpoint_is_left_alone_by_all_deliveries(
    desk: Desk, app: Hammerflow, endpoint: Endpoint
) -> None:
    add(desk, app, endpoint.url)
    endpoint.answer(429, {"Retry-After": "120"})
    fail_jobs(desk, 3)
    drain(app)
    assert len(endpoint.got) == 1
    assert all(110 <= waits_for(desk, job) <= 182 for job in app.jobs(task=DELIVER))
    endpoint.answer(200)
    due_now(desk)
    drain(app)
    assert len(endpoint.got) == 4


def test_after_many_failures_an_endpoint_rests_until_one_delivery_succeeds(
    desk: Desk, app: Hammerflow, endpoint: Endpoint
) -> None:
    add(desk, app, endpoint.url)
    endpoint.answer(500)
    fail_jobs(desk, 12)
    drain(app)
    assert len(endpoint.got) == 5
    assert desk.store.webhooks.target("ops").rest_in > 3  # type: ignore[union-attr]
    attempts = sorted(job.attempt for job in app.jobs(task=DELIVER))
    assert attempts == [0] * 7 + [1] * 5  # those that rest lose none

    desk.sql("UPDATE {webhooks} SET failures = 40, rest_until = rest_until - 10")
    endpoint.answer(503)
    [*ids] = [job.id.bytes for job in app.jobs(task=DELIVER)]
    desk.sql(f"UPDATE {{scheduled}} SET run_at = {earlier(desk)} WHERE job_id = {desk.id(ids[0])}")
    desk.store.jobs.promote(100)
    drain(app)
    assert 290 < desk.store.webhooks.target("ops").rest_in <= 300  # type: ignore[union-attr]
    endpoint.answer(200)
    desk.sql("UPDATE {webhooks} SET rest_until = NULL")
    desk.sql(f"UPDATE {{scheduled}} SET run_at = {earlier(desk)} WHERE job_id = {desk.id(ids[0])}")
    desk.store.jobs.promote(100)
    drain(app)
    assert {job.state for job in app.jobs(task=DELIVER)} == {"completed"}  # all of them


def test_one_delivery_a_day_tries_what_was_disabled_after_failures(
    desk: Desk, app: Hammerflow, endpoint: Endpoint
) -> None:
    add(desk, app, endpoint.url)
    endpoint.answer(500)
    fail_jobs(desk, 3)
    desk.sql(f"UPDATE {{webhooks}} SET failures = 30, since = since - {5 * DAY - 60}")
    drain(app)
    assert desk.store.webhooks.get("ops").state == "enabled"  # not five days yet
    desk.sql("UPDATE {webhooks} SET failures = 10, since = since - 60")
    due_now(desk)
    drain(app)
    assert desk.store.webhooks.get("ops").state == "enabled"  # not twenty failures
    desk.sql("UPDATE {webhooks} SET failures = 19")
    due_now(desk)
    drain(app)
    assert desk.store.webhooks.get("ops").state == "disabled"
    assert {job.state for job in app.jobs(task=DELIVER)} == {"scheduled"}

    count = len(endpoint.got)
    due_now(desk)
    drain(app)
    assert len(endpoint.got) == count  # its day has not come
    desk.sql(f"UPDATE {{webhooks}} SET probe_at = probe_at - {DAY}")
    due_now(desk)
    drain(app)
    assert len(endpoint.got) == count + 1  # one of three
    assert desk.store.webhooks.get("ops").state == "disabled"

    endpoint.answer(200)
    desk.sql(f"UPDATE {{webhooks}} SET probe_at = probe_at - {DAY}")
    due_now(desk)
    drain(app)
    found = desk.store.webhooks.get("ops")
    assert (found.state, found.sink_state, found.failures) == ("enabled", "running", 0)
    assert {job.state for job in app.jobs(task=DELIVER)} == {"completed"}


def test_a_disabled_endpoint_that_is_gone_is_not_tried_again(
    desk: Desk, app: Hammerflow, endpoint: Endpoint
) -> None:
    add(desk, app, endpoint.url)
    endpoint.answer(500)
    fail_jobs(desk)
    desk.sql(f"UPDATE {{webhooks}} SET failures = 19, since = since - {6 * DAY}")
    drain(app)
    assert desk.store.webhooks.get("ops").probe_at is not None
    endpoint.answer(410)
    desk.sql("UPDATE {webhooks} SET probe_at = 1")
    due_now(desk)
    drain(app)
    found = desk.store.webhooks.get("ops")
    assert (found.state, found.probe_at) == ("disabled", None)


def test_an_address_that_is_not_public_is_refused(desk: Desk, endpoint: Endpoint) -> None:
    app = Hammerflow("strict", database=desk.url, doorbell="none")
    try:
        add(desk, app, endpoint.url)
        fail_jobs(desk)
        drain(app)
    finally:
        app.close()
    assert endpoint.got == []
    [row] = desk.store.webhooks.deliveries("ops", 10)
    assert row.status is None
    assert "not on the public internet" in row.error


def test_an_old_secret_signs_for_a_day(desk: Desk, app: Hammerflow, endpoint: Endpoint) -> None:
    old, new = add(desk, app, endpoint.url), new_secret()
    desk.store.webhooks.rotate("ops", new)
    fail_jobs(desk)
    drain(app)
    desk.sql(f"UPDATE {{webhooks}} SET old_until = old_until - {DAY}")
    fail_jobs(desk)
    drain(app)
    [(first, one), (second, other)] = endpoint.got
    verify(old, first, one)
    verify(new, first, one)
    verify(new, second, other)
    assert len(second["webhook-signature"].split()) == 1


def test_a_removed_endpoint_gets_nothing_more(
    desk: Desk, app: Hammerflow, endpoint: Endpoint
) -> None:
    add(desk, app, endpoint.url)
    fail_jobs(desk)
    desk.store.sinks.remove("ops")
    drain(app)
    assert endpoint.got == []
    assert app.jobs(task=DELIVER)[0].state == "cancelled"
    assert desk.sql("SELECT count(*) FROM {webhooks}")[0][0] == 0


def test_another_endpoint_of_the_name_gets_nothing_of_a_removed_one(
    desk: Desk, app: Hammerflow, endpoint: Endpoint
) -> None:
    add(desk, app, "http://127.0.0.1:9/")
    one = delivery(desk.store, "ops")
    [job] = desk.run(desk.job())
    desk.settle((job, failed()))
    deliver(desk, one)
    desk.store.sinks.remove("ops")
    add(desk, app, endpoint.url)
    drain(app)
    assert endpoint.got == []
    assert app.jobs(task=DELIVER)[0].state == "cancelled"
    fail_jobs(desk)
    drain(app)
    assert len(endpoint.got) == 1
    one.close(give=False)


def test_a_variable_that_is_not_set_is_a_failure_that_the_log_tells(
    desk: Desk, app: Hammerflow, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = new_secret(), new_secret()
    add(desk, app, endpoint.url, secret="${HAMMERFLOW_SINK_NEW},${HAMMERFLOW_SINK_OLD}")
    fail_jobs(desk)
    drain(app)
    [row] = desk.store.webhooks.deliveries("ops", 10)
    assert row.error == "the webhook ops needs the environment variable HAMMERFLOW_SINK_NEW"
    monkeypatch.setenv("HAMMERFLOW_SINK_NEW", new)
    monkeypatch.setenv("HAMMERFLOW_SINK_OLD", "hunter2")
    due_now(desk)
    drain(app)
    [row, _] = desk.store.webhooks.deliveries("ops", 10)
    assert "must be whsec_" in row.error
    assert "hunter2" not in row.error
    monkeypatch.setenv("HAMMERFLOW_SINK_OLD", old)
    due_now(desk)
    drain(app)
    [(headers, body)] = endpoint.got
    for secret in new, old:
        verify(secret, headers, body)
    [job] = app.jobs(task=DELIVER)
    assert new[6:] not in f"{job} {app.job(job.id)}"


@pytest.mark.parametrize("owner", ["", "hooked"])
def test_an_endpoint_that_no_code_declares_reads_no_variable_of_others(
    embedded_desk: Desk, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    desk = embedded_desk
    monkeypatch.setenv("DATABASE_PASSWORD", "s3cret")
    url, filters = f"{endpoint.url}?${{DATABASE_PASSWORD}}", EventFilter.of(kinds=["job.failed"])
    allowed = ["127.0.0.0/8"]
    with closing(Hammerflow("hooked", database=desk.url, webhook_allow_networks=allowed)) as app:
        desk.store.sinks.put("ops", "webhook", {"url": url}, filters, app=owner)
        app.store.names.outbox.refresh()
        fail_jobs(desk)
        drain(app)
        assert len(endpoint.got) == bool(owner)
        _, made = try_webhook(desk.store, "ops", app.settings)
    assert len(endpoint.got) == 2 * bool(owner)
    for error in made.error, desk.store.sinks.get("ops").reason:
        assert ("must not read the environment variable" in error) == (not owner)


def test_an_endpoint_has_thresholds_of_its_own(
    desk: Desk, app: Hammerflow, endpoint: Endpoint
) -> None:
    add(desk, app, endpoint.url, disable_failures=2, disable_after=60.0)
    endpoint.answer(500)
    fail_jobs(desk, 3)
    drain(app)
    found = desk.store.webhooks.get("ops")
    assert (found.state, found.failures) == ("enabled", 3)  # a minute has not passed
    desk.sql("UPDATE {webhooks} SET since = since - 61, failures = 0")
    states = []
    for _ in range(2):
        desk.store.webhooks.note("ops", "msg_1", 1, 1, WebhookAttempt(500, 1, None, "HTTP 500", ""))
        states.append(desk.store.webhooks.get("ops").state)
    assert states == ["enabled", "disabled"]


def test_an_endpoint_is_signed_for_by_a_key_pair_that_is_rotated(
    embedded_desk: Desk, endpoint: Endpoint
) -> None:
    desk = embedded_desk
    allowed = ["127.0.0.0/8"]
    with closing(Hammerflow("hooked", database=desk.url, webhook_allow_networks=allowed)) as app:
        wanted = EventFilter.of(kinds=["job.failed"])
        _, first = put_webhook(
            desk.store, "ops", {"url": endpoint.url}, wanted, by="", position=None,
            signature="ed25519",
        )  # fmt: skip
        assert first is not None and first.startswith("whpk_")
        second, third = (rotate_secret(desk.store, "ops", kind) for kind in (None, "hmac"))
        app.store.names.outbox.refresh()
        fail_jobs(desk)
        drain(app)
    [(headers, body)] = endpoint.got
    assert second.startswith("whpk_")
    for known in second, third:
        verify(known, headers, body)
    with pytest.raises(WebhookInvalid):
        verify(first, headers, body)


def test_the_binary_form_has_the_attributes_in_headers(
    desk: Desk, app: Hammerflow, endpoint: Endpoint
) -> None:
    secret = add(desk, app, endpoint.url, encoding="binary")
    fail_jobs(desk)
    drain(app)
    [(headers, body)] = endpoint.got
    verify(secret, headers, body)
    assert headers["ce-type"] == "hammerflow.job.failed.v1"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["task"] == "t"


def test_the_log_is_kept_for_a_week(
    desk: Desk, app: Hammerflow, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(desk, app, endpoint.url)
    fail_jobs(desk)
    drain(app)
    desk.store.webhooks.prune(desk.store.clock() + 6 * DAY)
    assert len(desk.store.webhooks.deliveries("ops", 10)) == 1
    monkeypatch.setattr("hammerflow.stores.events.webhooks._PAGE", 2)
    made = WebhookAttempt(200, 1, "", "", "")
    for n in range(5):
        desk.store.webhooks.note("ops", f"msg_{n}", n, 1, made)
    desk.store.webhooks.prune(desk.store.clock() + 8 * DAY)
    assert desk.store.webhooks.deliveries("ops", 10) == []
    for n in range(5):
        desk.store.webhooks.note("ops", f"msg_{n}", n, 1, made)
    desk.store.webhooks.forget("ops")
    assert len(desk.store.webhooks.deliveries("ops", 10)) == 1  # the rest goes with the endpoint


def test_wrong_webhooks_are_refused_in_a_sentence(app: Hammerflow) -> None:
    with pytest.raises(ConfigError, match="must be a URL of http or https"):
        app.webhook("ops", "ftp://ops.example/")
    with pytest.raises(ConfigError, match="whsec_") as caught:
        app.webhook("ops", "https://ops.example/", secret="hunter2")
    assert "hunter2" not in str(caught.value)
    app.webhook("ops", "https://ops.example/", secret="${OPS_SECRET}", kinds=["job.failed"])
    with pytest.raises(ConfigError, match="two sinks are named"):
        app.webhook("ops", "https://ops.example/")
