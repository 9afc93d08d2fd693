"""``hammerflow webhook``: endpoints from add to remove; a secret is printed once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from hammerflow import Hammerflow
from hammerflow.stores.events.webhooks import DELIVER
from hammerflow.testing import drain
from hammerflow.webhooks import verify
from tests.cli.conftest import Run
from tests.cli.test_sink import said
from tests.sinks.test_webhooks import Endpoint


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("HAMMERFLOW_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8")
    found = Endpoint()
    yield found
    found.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://10.0.0.7/x", "10.0.0.7 is not on the public internet, so workers refuse"),
        ("http://localhost:9/x", "localhost is not on the public internet"),
        ("http://[fd00::1]/x", "fd00::1 is not on"), ("https://ops.example/x", ""),
        ("https://8.8.8.8/x", ""), ("http://127.0.0.1/x", ""),
    ],
)  # fmt: skip
def test_who_adds_an_address_that_workers_refuse_is_told_at_once(
    shop: Hammerflow, run: Run, monkeypatch: pytest.MonkeyPatch, url: str, says: str
) -> None:
    if "127" in url:
        monkeypatch.setenv("HAMMERFLOW_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8")
    added = run("webhook", "add", "ops", url)
    assert (added.code, says in added.err) == (0, True)
    assert ("warning" in added.err) == bool(says)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://a", "must be a URL of http or https, not 'ftp://a'\n"),
        ("http://me:pass@a/", "not 'http://***@a/': it must not have a user or a password in it"),
        ("http://a:0/", "it must have a host, and a port from 1 to 65535"),
    ],
)
def test_a_wrong_url_is_refused_in_one_sentence(
    shop: Hammerflow, run: Run, url: str, says: str
) -> None:
    refused = run("webhook", "add", "ops", url)
    assert refused.code == 1 and says in refused.err and "pass@" not in refused.err


def test_an_old_secret_is_told_of_while_it_signs(shop: Hammerflow, run: Run) -> None:
    run("webhook", "add", "ops", "https://ops.example/x")
    assert "old_secret_until" not in run("webhook", "show", "ops").out
    run("webhook", "rotate", "ops")
    assert "old_secret_until" in run("webhook", "show", "ops").out


def test_a_webhook_from_add_to_remove(shop: Hammerflow, run: Run, endpoint: Endpoint) -> None:
    added = said(run, "--json", "webhook", "add", "ops", endpoint.url, "--kinds", "queue.*")
    secret = json.loads(added)["secret"]
    assert "nothing changed" in said(
        run, "webhook", "add", "ops", endpoint.url, "--kinds", "queue.*"
    )
    wider = said(run, "webhook", "add", "ops", endpoint.url, "--kinds", "queue.*", "--queue", "m*")
    assert wider == "webhook ops: changed\n"
    assert "has answered HTTP 200" in said(run, "webhook", "test", "ops")
    verify(secret, *endpoint.got[0])
    [row] = json.loads(said(run, "--json", "webhook", "deliveries", "ops"))
    assert (row["attempt"], row["status"], row["position"]) == (0, 200, 0)

    rotated = json.loads(said(run, "--json", "webhook", "rotate", "ops"))["secret"]
    said(run, "webhook", "test", "ops")
    verify(secret, *endpoint.got[1])
    verify(rotated, *endpoint.got[1])
    for words in (
        ("list",), ("show", "ops"), ("deliveries", "ops"), ("disable", "ops"), ("enable", "ops"),
    ):  # fmt: skip
        for form in (), ("--json",):
            shown = said(run, *form, "webhook", *words)
            assert "whsec" not in shown
    assert secret[6:] not in said(run, "--json", "sink", "list")

    endpoint.answer(500)
    failed = run("webhook", "test", "ops")
    assert failed.code == 1
    assert "HTTP 500" in failed.err
    assert "would be removed" in said(run, "webhook", "remove", "ops", "--dry-run")
    said(run, "webhook", "remove", "ops", "--yes")
    assert "there are no webhooks" in said(run, "webhook", "list")
    missing = run("webhook", "show", "ops")
    assert (missing.code, "there is no webhook 'ops'" in missing.err) == (1, True)


def test_a_replay_delivers_a_range_again(shop: Hammerflow, run: Run, endpoint: Endpoint) -> None:
    added = said(run, "--json", "webhook", "add", "ops", endpoint.url, "--kinds", "job.enqueued")
    secret = json.loads(added)["secret"][6:]
    said(run, "webhook", "add", "other", f"{endpoint.url}/other", "--kinds", "job.enqueued")
    shop.store.names.outbox.refresh()
    for n in range(3):
        shop.tasks["shop.add"].delay(n, n)
    said(run, "relay", "--for", "1")
    strict = Hammerflow(
        "replayer", database=shop.settings.database, doorbell="none",
        webhook_allow_networks=["127.0.0.1"],
    )  # fmt: skip
    drain(strict, queues=["_webhooks"])
    assert len(endpoint.got) == 6
    words = ("webhook", "replay", "ops", "--from-position", "1", "--to-position", "2")
    assert "would deliver 1 event again" in said(run, *words, "--dry-run")
    for range_, count in (
        (("--from-time", "2020-01-01T00:00Z"), 3), (("--from-time", "2100-01-01T00:00Z"), 0),
        (("--from-position", "0", "--to-time", "2020-01-01T00:00Z"), 0),
        (("--from-time", "2020-01-01T00:00Z", "--to-time", "2100-01-01T00:00Z"), 3),
    ):  # fmt: skip
        answer = said(run, "--json", "webhook", "replay", "ops", *range_, "--dry-run")
        assert json.loads(answer)["events"] == count
    said(run, *words, "--yes")
    drain(strict, queues=["_webhooks"])
    strict.close()
    ids = [headers["webhook-id"] for headers, _ in endpoint.got]
    assert len(ids) == 7
    assert ids[6] in ids[:6]
    deliveries = shop.jobs(task=DELIVER)
    assert len(deliveries) == 7
    of_other = [headers for headers, _ in endpoint.got if headers["webhook-id"] in ids[:6]]
    assert len({headers["webhook-id"] for headers in of_other}) == 6
    names = [row["name"] for row in json.loads(said(run, "--json", "webhook", "list"))]
    assert names == ["ops", "other"]
    counts = [len(json.loads(said(run, "--json", "webhook", "deliveries", name))) for name in names]
    assert counts == [4, 3]  # the other endpoint gets none again
    for words in (("show", str(deliveries[0].id), "--json"), ("list", "--json"), ("export",)):
        shown = said(run, "job", *words)
        assert secret not in shown
        assert "whsec" not in shown
