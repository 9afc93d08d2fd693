"""``hammerflow sink`` and ``event``: an operator's view of the events, without secrets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hammerflow import Hammerflow
from tests.cli.conftest import Run
from tests.sinks.receiver import Receiver


def said(run: Run, *words: object) -> str:
    """What a command prints, which succeeds."""
    ended = run(*words)
    assert ended.code == 0, ended
    return ended.out + ended.err


def test_a_sink_from_add_to_remove(shop: Hammerflow, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    added = said(
        run, "sink", "add", "audit", "file", f"path={path}", "--kinds", "job.*", "--queue", "d*"
    )
    assert "sink audit: added\n" in added and "it gets every event from" in added
    shop.store.names.outbox.refresh()
    shop.tasks["shop.add"].delay(1, 2)
    said(run, "relay", "--for", "1")
    [line] = path.read_text("utf-8").splitlines()
    assert json.loads(line)["type"] == "hammerflow.job.enqueued.v1"
    [found] = json.loads(said(run, "--json", "sink", "list"))
    assert (found["behind"], found["sent"], found["state"]) == (0, 1, "running")
    [event] = json.loads(said(run, "--json", "event", "list"))
    assert event["kind"] == "job.enqueued" and event["data"]["task"] == "shop.add"
    assert "shop.add" in said(run, "event", "tail", "--from-position", "0", "--count", "1")
    assert "is paused" in said(run, "sink", "pause", "audit")
    assert "goes on" in said(run, "sink", "resume", "audit")
    assert "would deliver 1 event again" in said(
        run, "sink", "rewind", "audit", "--to-position", "0", "--dry-run"
    )
    said(run, "sink", "rewind", "audit", "--to-position", "0", "--yes")
    said(run, "relay", "--for", "1")
    assert path.read_text("utf-8").splitlines() == [line, line]
    assert "removed" in said(run, "sink", "remove", "audit", "--yes")
    assert "no sink asks for events" in said(run, "event", "list", "--kinds", "worker.lost")


def test_a_test_event_is_sent_and_no_secret_is_printed(
    embedded_shop: Hammerflow, run: Run, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAMMERFLOW_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("OPS_TOKEN", "s3cret-token")
    header = 'headers={"Authorization": "Bearer ${OPS_TOKEN}"}'
    refused = run("sink", "add", "ops", "http", f"url={receiver.url}", header)
    assert "must not read the environment variable OPS_TOKEN" in refused.err
    monkeypatch.setenv("HAMMERFLOW_SINK_ENVIRONMENT", "OPS_TOKEN")
    said(run, "sink", "add", "ops", "http", f"url={receiver.url}", header)
    assert "has taken a test event" in said(run, "sink", "test", "ops")
    assert receiver.headers[0]["Authorization"] == "Bearer s3cret-token"
    said(
        run, "sink", "add", "ops", "http", f"url={receiver.url}", 'headers={"X-Key": "s3cret-key"}'
    )
    for words in (("sink", "show", "ops"), ("--json", "sink", "show", "ops"), ("sink", "list")):
        assert "s3cret" not in said(run, *words)


@pytest.fixture
def receiver() -> object:
    """An HTTP receiver."""
    receiver = Receiver()
    yield receiver
    receiver.close()
