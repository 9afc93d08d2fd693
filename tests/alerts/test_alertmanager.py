"""The target ``alertmanager`` against a real Alertmanager."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow.alerts.targets import AlertDelivery, TargetError, send
from tests.alerts.test_targets import FIRED, Hook
from tests.support.waiting import until

_NAMES = ("prometheus-alertmanager", "alertmanager")
_CONFIG = """
route: {{receiver: hook, group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers:
  - {{name: hook, webhook_configs: [{{url: "{url}", send_resolved: true}}]}}
"""


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


@pytest.fixture
def alertmanager(tmp_path: Path, hook: Hook) -> Iterator[str]:
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        assert "CI" not in os.environ, "python -m tests.support.install installs Alertmanager"
        pytest.skip("Alertmanager is not installed: python -m tests.support.install")
    config = tmp_path / "alertmanager.yml"
    config.write_text(_CONFIG.format(url=hook.url))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = (
        f"--config.file={config}", f"--storage.path={tmp_path}/data", "--cluster.listen-address=",
        f"--web.listen-address={address}",
    )  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([program, *words], stdout=log, stderr=log)
    try:
        until("it answers", lambda: _is_up(f"http://{address}"), timeout=30)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def _active(url: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=5) as answer:
        found: list[dict[str, Any]] = json.load(answer)
        return found


def test_an_alertmanager_takes_alerts_tells_of_them_and_ends_them(
    alertmanager: str, hook: Hook
) -> None:
    now = time.time()
    fired = {**FIRED, "since": now - 60}
    send("am", "alertmanager", {"url": alertmanager}, AlertDelivery("a", "shop", [fired]))
    [alert] = _active(alertmanager)
    labels = {"alertname": "hammerflow_queue_depth", "subject": "mail", "namespace": "shop"}
    assert alert["labels"] == labels
    assert alert["annotations"]["summary"] == FIRED["text"]
    until("its receiver is told", lambda: bool(hook.got), timeout=20)
    assert hook.body["status"] == "firing"

    again = {**fired, "severity": "warning", "text": "still"}  # as each minute
    send("am", "alertmanager", {"url": alertmanager}, AlertDelivery("b", "shop", [again]))
    [alert] = _active(alertmanager)
    assert alert["annotations"]["summary"] == "still"

    ended = {**fired, "state": "resolved", "since": time.time()}
    send("am", "alertmanager", {"url": alertmanager}, AlertDelivery("c", "shop", [ended]))
    until("it is over", lambda: _active(alertmanager) == [], timeout=20)
    until("its receiver is told", lambda: hook.body["status"] == "resolved", timeout=20)


def test_what_an_alertmanager_refuses_is_an_error(alertmanager: str) -> None:
    wrong = {**FIRED, "since": time.time() + 3_600}  # it begins behind its end
    with pytest.raises(TargetError, match="HTTP 400: .*start time must be before end time"):
        send("am", "alertmanager", {"url": alertmanager}, AlertDelivery("a", "shop", [wrong]))
