"""What the server refuses: other hosts and sites, requests that are too large or too slow."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from hammerflow import Hammerflow
from hammerflow.web import application
from hammerflow.web.access import Principal, Role
from hammerflow.web.application import create_application
from hammerflow.web.guard import host_name
from hammerflow.web.login import BrowserLogin
from hammerflow.web.server import _bind
from tests.cli.conftest import HAMMERFLOW, environment
from tests.web.conftest import served


def test_an_answer_waits_for_no_acknowledgement() -> None:
    with (
        _bind("127.0.0.1", 0) as bound,
        socket.create_connection(bound.getsockname()),
        bound.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@contextmanager
def _web(database: str, *options: str) -> Iterator[str]:
    """A server of its own; gives the link that it prints."""
    command = [*HAMMERFLOW, "--database", database, "web", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        assert process.stdout is not None
        found = re.fullmatch(
            r"(?:open|serving) (https?://[\d.]+:\d+(?:/login\?code=\S+)?)(: log in .*)?\n",
            process.stdout.readline(),
        )
        assert found is not None
        yield found[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def sqlite_shop(sqlite_url: str) -> str:
    app = Hammerflow("shop", database=sqlite_url)
    app.migrate()
    app.task(name="shop.resize")(lambda image: image)
    app.tasks["shop.resize"].delay(1)
    app.close()
    return sqlite_url


def test_the_link_logs_one_browser_in_once(sqlite_shop: str) -> None:
    with _web(sqlite_shop) as link, httpx.Client(base_url=link.partition("/login")[0]) as browser:
        assert browser.get("/api/jobs").status_code == 401
        assert browser.get("/login?code=wrong").status_code == 403
        answer = browser.get(link)
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        jobs = browser.get("/api/jobs").json()["items"]
        assert len(jobs) == 1
        assert httpx.get(link).status_code == 403  # a second use
        seen = httpx.get(link, headers={"accept": "text/html"})
        assert (seen.status_code, seen.headers["location"]) == (303, "/?link=refused")
        assert "set-cookie" not in seen.headers
        guess = {"authorization": "Bearer hf_wrong"}
        refused = browser.get("/api/jobs", headers=guess)
        assert refused.status_code == 401
        assert "this token is unknown" in refused.json()["detail"]

        cancel = f"/api/jobs/{jobs[0]['id']}/cancel"
        assert browser.post(cancel, json={}).status_code == 403  # what a form of another site sends
        own = {"x-hammerflow": "1"}
        foreign = {**own, "origin": "https://evil.example"}
        assert browser.post(cancel, json={}, headers=foreign).status_code == 403
        assert browser.get("/api/jobs").json()["items"][0]["state"] == "ready"
        assert browser.post(cancel, json={}, headers=own).json()["state"] == "cancelled"

        assert browser.post("/logout", headers=own).status_code == 204
        browser.cookies.clear()
        assert browser.get("/api/jobs").status_code == 401


def test_two_servers_on_one_host_keep_their_sessions(sqlite_shop: str) -> None:
    """A browser sends the cookies of a host to each of its ports."""
    app = Hammerflow("shop", database=sqlite_shop)
    with ExitStack() as opened, httpx.Client() as browser:
        urls = []
        for name in ("ann", "ben"):
            login = BrowserLogin(Principal(name))
            api = create_application(
                app, authorize=login.authorize, title="shop", more=login.routes()
            )
            urls.append(opened.enter_context(served(api)))
            browser.get(urls[-1] + login.path())
        found = [browser.get(f"{url}/api/session").json().get("name") for url in urls]
        assert found == ["ann", "ben"]
        browser.post(f"{urls[0]}/logout", headers={"x-hammerflow": "1"}).raise_for_status()
        assert [browser.get(f"{url}/api/session").status_code for url in urls] == [401, 200]
    app.close()


def test_a_read_only_server_changes_nothing(sqlite_shop: str) -> None:
    with (
        _web(sqlite_shop, "--read-only") as link,
        httpx.Client(base_url=link.partition("/login")[0]) as browser,
    ):
        browser.get(link)
        job = browser.get("/api/jobs").json()["items"][0]["id"]
        answer = browser.post(f"/api/jobs/{job}/cancel", json={}, headers={"x-hammerflow": "1"})
        assert (answer.status_code, "operate" in answer.json()["detail"]) == (403, True)


def test_a_name_that_was_pointed_here_is_refused(sqlite_shop: str) -> None:
    with _web(sqlite_shop, "--allowed-host", "Jobs.Example") as link:
        url = link.partition("/login")[0]
        for host, status in (
            ("evil.example", 421), ("127.0.0.1.evil.example", 421), ("", 421),
            ("jobs.example:80", 401), ("LOCALHOST", 401), ("[::1]:8080", 401),
        ):  # fmt: skip
            answer = httpx.get(f"{url}/api/jobs", headers={"host": host})
            assert answer.status_code == status, host


def test_hosts_are_read_from_any_header() -> None:
    assert host_name("[::1]:80") == "::1"
    assert host_name("Shop.Example:80") == "shop.example"
    for odd in ("", "[", "a b", "@x", ":80", "\udcff"):
        assert host_name(odd) not in ("localhost", "127.0.0.1", "::1")


def _token(database: str, *, role: Role = Role.ADMIN) -> tuple[str, str]:
    """A new token, and its id."""
    with contextlib.closing(Hammerflow("shop", database=database)) as app:
        id_, token = app.store.access.create(
            "ops", role, sees_values=False, expires_in=None, by="test"
        )
    return token, str(uuid.UUID(bytes=id_))


def test_elsewhere_everybody_logs_in_with_a_token(sqlite_shop: str) -> None:
    token, token_id = _token(sqlite_shop)
    own, every = {"x-hammerflow": "1"}, "0.0.0.0"
    with (
        _web(sqlite_shop, "--host", every) as url,
        httpx.Client(base_url=url.replace(every, "127.0.0.1")) as browser,
    ):
        assert 'data-login="token"' in browser.get("/").text
        assert browser.get("/api/jobs").status_code == 401
        assert browser.get("/login?code=None").status_code == 403
        assert browser.post("/login", json={"token": token}).status_code == 403  # another site
        for wrong in ({"token": token[:-1]}, {"token": None}, ["x"], {}):
            assert browser.post("/login", json=wrong, headers=own).status_code == 403
        assert browser.post("/login", content=b"x" * 9_999, headers=own).status_code == 413
        assert browser.post("/login", json={"token": token}, headers=own).status_code == 204
        assert browser.get("/api/session").json()["name"] == "token ops"
        assert browser.get("/api/jobs", headers={"host": "evil.example"}).status_code == 421
        at = f"10.2.3.4:{browser.base_url.port}"
        assert browser.get("/api/jobs", headers={"host": at}).status_code == 200
        assert browser.delete(f"/api/tokens/{token_id}", headers=own).status_code == 200
        assert browser.get("/api/jobs").status_code == 401  # the session ends with its token


def test_a_token_gives_no_more_than_the_server(sqlite_shop: str) -> None:
    token, _ = _token(sqlite_shop)
    with _web(sqlite_shop, "--read-only") as link:
        answer = httpx.post(
            f"{link.partition('/login')[0]}/api/app/pause", json={},
            headers={"authorization": f"Bearer {token}"},
        )  # fmt: skip
    assert answer.status_code == 403


def test_guesses_are_counted_by_the_client_s_address_behind_a_proxy(sqlite_shop: str) -> None:
    with _web(sqlite_shop, "--proxy", "127.0.0.0/8") as link:
        url = link.partition("/login")[0] + "/api/jobs"

        def guess(client: str) -> int:
            headers = {"authorization": "Bearer hf_no", "x-forwarded-for": client}
            return httpx.get(url, headers=headers).status_code

        assert [guess("192.0.2.1") for _ in range(11)] == [401] * 10 + [429]
        assert guess("192.0.2.2") == 401


def test_https_is_served_with_a_certificate(sqlite_shop: str, tmp_path: Path) -> None:
    cert, key = tmp_path / "web.pem", tmp_path / "web.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ("--tls-cert", str(cert), "--tls-key", str(key))
    context = ssl.create_default_context(cafile=cert)
    with _web(sqlite_shop, *tls) as link, httpx.Client(verify=context) as browser:
        assert link.startswith("https://")
        assert "secure" in browser.get(link).headers["set-cookie"].lower()


def test_bodies_are_bounded(
    busy: Hammerflow, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert admin.post("/api/jobs", content=b"[" * 100_000, headers=JSON).status_code == 422
    assert admin.post("/api/jobs", content=b"{", headers=JSON).status_code == 400
    assert admin.post("/api/jobs", content=b"x" * (5 << 20), headers=JSON).status_code == 413
    assert admin.post("/api/jobs", content=b"{}").status_code == 415
    assert admin.get("/api/jobs?limit=1&limit=2").status_code == 422
    for query, says in (("state=faild", "failed or"), ("stat=failed", "did you mean state?")):
        assert says in admin.get(f"/api/jobs?{query}").json()["detail"].replace(", ", " or ")
    monkeypatch.setattr(application, "_SLOWEST_BODY", 0.3)
    place = admin.base_url
    connection = http.client.HTTPConnection(place.host, place.port, timeout=20)
    connection.putrequest("POST", "/api/jobs")
    for name, value in (*JSON.items(), ("authorization", admin.headers["authorization"])):
        connection.putheader(name, value)
    connection.putheader("content-length", "100")
    connection.endheaders(b'{"task"')
    assert connection.getresponse().status == 408
    connection.close()


JSON = {"content-type": "application/json"}


def test_other_paths_are_not_found(busy: Hammerflow, admin: httpx.Client) -> None:
    for path in ("/api", "/api/", "/api/jobs/", "/api/jobs/../queues", "/%2e%2e/etc/passwd",
                 "//api/jobs", "/api/jobs/0193abcd/../../x"):  # fmt: skip
        with socket.create_connection((admin.base_url.host, admin.base_url.port or 0)) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
            head = client.recv(200).decode()
        assert re.match(r"HTTP/1\.1 (404|307|401) ", head), (path, head)


def test_without_the_extra_the_command_says_what_to_install(
    sqlite_shop: str, tmp_path: Path
) -> None:
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError(name='starlette')\n")
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    command = [*HAMMERFLOW, "--database", sqlite_shop, "web"]
    ran = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**environment(), "PYTHONPATH": path},
    )
    assert "pip install 'hammerflow[web]'" in ran.stderr
