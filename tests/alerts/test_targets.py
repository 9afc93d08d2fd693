"""Targets: each kind against a server that checks what it gets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hammerflow.alerts.targets import (
    AlertDelivery,
    TargetError,
    check_target,
    send,
    shown_target,
    target_of_text,
)
from hammerflow.errors import ConfigError
from hammerflow.options.variables import CLOSED, Bounds
from hammerflow.webhooks import verify
from tests.sinks.receiver import LOCAL

FIRED = {
    "rule": "queue_depth", "subject": "mail", "state": "fired", "severity": "critical",
    "value": 30_000.0, "text": "queue <mail> has 30,000 ready jobs", "since": 1_700_000_000.0,
}  # fmt: skip
ENDED = {**FIRED, "state": "resolved"}
DELIVERY = AlertDelivery("alert_7", "shop", [FIRED, ENDED])


class Hook:
    """An HTTP server that keeps requests and answers with a status."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(hook.status)
                self.end_headers()
                self.wfile.write(b"no such hook")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook/s3cret?a=b"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def body(self) -> Any:
        return json.loads(self.got[-1][2])


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


def test_a_webhook_is_signed_as_standard_webhooks_are(hook: Hook) -> None:
    key = bytes(range(24))
    secret = f"whsec_{base64.b64encode(key).decode()}"
    send("ops", "webhook", {"url": hook.url, "secret": secret}, DELIVERY)
    path, headers, body = hook.got[0]
    assert path == "/hook/s3cret?a=b"
    assert headers["webhook-id"] == "alert_7"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    signed = f"alert_7.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    verify(secret, headers, body)
    data = hook.body["data"]
    assert data["title"] == "hammerflow shop: 1 firing (critical), 1 resolved"
    assert data["alerts"][0] == {**FIRED, "since": "2023-11-14T22:13:20+00:00"}
    send("ops", "webhook", {"url": hook.url}, DELIVERY)
    assert "webhook-signature" not in hook.got[1][1]


def test_chats_get_their_own_form(hook: Hook) -> None:
    send("c", "slack", {"url": hook.url}, DELIVERY)
    assert hook.body["text"].startswith("*hammerflow shop: 1 firing (critical), 1 resolved*\nCRIT")
    assert "queue &lt;mail&gt; has" in hook.body["text"]
    send("c", "mattermost", {"url": hook.url}, DELIVERY)
    assert "RESOLVED [queue_depth] queue <mail>" in hook.body["text"]
    send("c", "discord", {"url": hook.url}, DELIVERY)
    assert "CRITICAL [queue_depth]" in hook.body["content"]
    assert hook.body["allowed_mentions"] == {"parse": []}
    send("c", "teams", {"url": hook.url}, DELIVERY)
    card = hook.body["attachments"][0]["content"]
    assert card["type"] == "AdaptiveCard"
    assert [block["text"][:8] for block in card["body"]] == ["hammerfl", "CRITICAL", "RESOLVED"]


def test_alertmanager_gets_when_each_alert_ends(hook: Hook) -> None:
    send("am", "alertmanager", {"url": hook.url.partition("/hook")[0] + "/"}, DELIVERY)
    assert hook.got[0][0] == "/api/v2/alerts"
    fired, ended = hook.body
    labels = {"alertname": "hammerflow_queue_depth", "subject": "mail", "namespace": "shop"}
    assert fired["labels"] == ended["labels"] == labels
    assert fired["startsAt"] == ended["endsAt"] == "2023-11-14T22:13:20+00:00"
    assert fired["endsAt"] > fired["startsAt"]
    assert fired["annotations"]["severity"] == "critical"


def test_an_answer_that_is_no_2xx_is_an_error_without_the_secret(hook: Hook) -> None:
    hook.status = 404
    with pytest.raises(TargetError, match="HTTP 404: no such hook") as caught:
        send("c", "slack", {"url": hook.url}, DELIVERY)
    assert "s3cret" not in str(caught.value)
    hook.status = 302
    with pytest.raises(TargetError, match="HTTP 302"):
        send("c", "slack", {"url": hook.url}, DELIVERY)


@pytest.mark.parametrize("head", ["HTTP/1.1 200 OK\r\n", "HTTP/1.0 200 OK\r\n\r\n"])
def test_an_answer_that_drips_ends_at_the_deadline(head: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(head.encode())
                while not ended.wait(0.05):
                    try:
                        connection.sendall(b"X-A: b\r\n")
                    except OSError:
                        return

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(TargetError, match=r"no answer within 0\.4 s"):
            send("c", "webhook", {"url": url, "timeout": 0.4}, DELIVERY)
        assert time.monotonic() - began < 5
        ended.set()


class Post:
    """A mail server in this process, with STARTTLS and one login."""

    def __init__(self, folder: Path, *, with_tls: bool = True) -> None:
        import ssl

        from aiosmtpd.controller import Controller
        from aiosmtpd.smtp import AuthResult

        self.mails: list[Any] = []
        self.logins: list[tuple[bytes, bytes]] = []
        context = None
        if with_tls:
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                 "-subj", "/CN=localhost", "-keyout", folder / "key", "-out", folder / "cert"],
                check=True, capture_output=True,
            )  # fmt: skip
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(folder / "cert", folder / "key")
        post = self

        class Handler:
            async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
                post.mails.append(envelope)
                return "250 taken"

        def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
            post.logins.append((data.login, data.password))
            return AuthResult(success=data.password == b"pw", handled=False)

        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.controller = Controller(
            Handler(), hostname="127.0.0.1", port=port, tls_context=context,
            require_starttls=with_tls, authenticator=login, auth_require_tls=True,
        )  # fmt: skip
        self.controller.start()
        self.options = {
            "host": "127.0.0.1", "port": port, "to": "a@x.example, b@x.example",
            "sender": "jobs@x.example",
        }  # fmt: skip


def test_a_mail_is_sent_over_starttls_with_a_login(tmp_path: Path) -> None:
    post = Post(tmp_path)
    try:
        login = {"user": "me", "password": "pw"}
        with pytest.raises(TargetError, match="CERTIFICATE_VERIFY_FAILED"):
            send("m", "email", {**post.options, **login}, DELIVERY)
        options = {**post.options, **login, "verify": False}
        send("m", "email", options, DELIVERY)
        [envelope] = post.mails
        assert post.logins == [(b"me", b"pw")]
        assert envelope.rcpt_tos == ["a@x.example", "b@x.example"]
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert mail["Subject"] == "hammerflow shop: 1 firing (critical), 1 resolved"
        assert mail["Message-ID"] == "<alert_7@hammerflow.invalid>"
        assert "CRITICAL [queue_depth] queue <mail>" in mail.get_content()
        with pytest.raises(TargetError, match="535") as caught:
            send("m", "email", {**options, "password": "n0t-it"}, DELIVERY)
        assert "n0t-it" not in str(caught.value)
        with pytest.raises(ConfigError, match="only sent over TLS"):
            send("m", "email", {**options, "security": "none"}, DELIVERY)
    finally:
        post.controller.stop()


def test_secrets_are_not_shown_and_may_be_variables(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = shown_target("slack", {"url": hook.url})
    assert "s3cret" not in str(shown)
    shown = shown_target("webhook", {"url": "https://u:pw@x.example/", "secret": "s3cret"})
    assert "s3cret" not in str(shown)
    assert "pw" not in shown["url"]
    config = target_of_text("slack", {"url": "${HOOK_OF_TESTS}"})
    assert shown_target("slack", config) == {"url": "${HOOK_OF_TESTS}"}
    with pytest.raises(ConfigError, match="needs the environment variable HOOK_OF_TESTS"):
        send("c", "slack", config, DELIVERY)
    monkeypatch.setenv("HOOK_OF_TESTS", hook.url)
    send("c", "slack", config, DELIVERY)
    assert len(hook.got) == 1


def test_a_target_that_no_code_declares_is_kept_in_bounds(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_OF_TESTS", hook.url)
    monkeypatch.setenv("HAMMERFLOW_SINK_HOOK", hook.url)
    with pytest.raises(ConfigError, match="must not read the environment variable HOOK_OF_TESTS"):
        send("c", "slack", {"url": "${HOOK_OF_TESTS}"}, DELIVERY, LOCAL)
    for bounds in (CLOSED, Bounds(networks=["10.0.0.0/8"])):
        with pytest.raises(TargetError, match=r"127\.0\.0\.1 is not on the public internet"):
            send("c", "slack", {"url": hook.url}, DELIVERY, bounds)
    assert hook.got == []
    for url, bounds in (
        (hook.url, LOCAL),
        ("${HAMMERFLOW_SINK_HOOK}", LOCAL),
        ("${HOOK_OF_TESTS}", LOCAL._replace(variables=["HOOK_OF_TESTS"])),
    ):
        send("c", "slack", {"url": url}, DELIVERY, bounds)
    assert len(hook.got) == 3


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("pager", {}, "unknown kind of alert target 'pager': use one of webhook, slack"),
        ("slack", {}, "needs url"),
        ("slack", {"url": "ftp://x"}, "url must begin with http"),
        ("slack", {"uri": "http://x"}, "has no option 'uri': did you mean url"),
        ("email", {"host": "x", "to": "a@b", "sender": "c@d", "port": 0}, "port must be a whole"),
        ("webhook", {"url": "http://x", "secret": "s" * 2_000}, "secret must be whsec_ and 24"),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(kind: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        check_target(kind, given)
    assert "sss" not in str(caught.value)
