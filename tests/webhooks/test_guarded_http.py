"""The guarded client: only public addresses, the one that was checked, and nothing outlasts it."""

from __future__ import annotations

import ipaddress
import pickle
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hammerflow import ConfigError
from hammerflow.webhooks.guarded_http import GuardedAnswer, GuardedError, check_url, networks, post
from tests.support.misbehaving import SLOW, Server

LOOPBACK = ("127.0.0.0/8",)
Lookup = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for hooks.example, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", key, "-out", made, "-days", "2", "-subj", "/CN=hooks.example"),
            *("-addext", "subjectAltName=DNS:hooks.example"),
        ],
        check=True,
        capture_output=True,
    )
    return made, key


@pytest.fixture
def tls_server(certificate: tuple[Path, Path]) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    found = Server(tls=context)
    yield found
    found.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Addresses of names; each resolution takes the next list of them."""
    found: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *args: Any, **options: Any) -> list[tuple[Any, ...]]:
        if host not in found:
            return list(real(host, port, *args, **options))
        return [info for ip in found[host].pop(0) for info in real(ip, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return found


def send(server: Server, path: str = "/fine", host: str = "", **options: Any) -> GuardedAnswer:
    place = f"{host or '127.0.0.1'}:{server.port}"
    options = {"allow_networks": LOOPBACK, "timeout": 20.0, **options}
    return post(f"http://{place}{path}", b"{}", {"X-One": "1"}, **options)


def test_an_answer_has_all_that_a_log_needs(server: Server) -> None:
    answer = send(server, "/fine?a=b")

    assert (answer.status, answer.body, answer.address) == (200, b"fine", "127.0.0.1")
    assert answer.headers["retry-after"] == "7"
    assert 0 < answer.seconds < 20
    [(path, headers, body)] = server.requests
    assert (path, body) == ("/fine?a=b", b"{}")
    assert headers["Host"] == f"127.0.0.1:{server.port}"
    assert (headers["X-One"], headers["User-Agent"]) == ("1", "hammerflow")


def test_a_redirect_is_an_answer_and_is_not_followed(server: Server) -> None:
    answer = send(server, "/redirect")

    assert answer.status == 302
    assert answer.headers["location"].endswith("/fine")
    assert [path for path, _, _ in server.requests] == ["/redirect"]


def test_no_more_of_an_answer_is_read_than_the_cap(server: Server) -> None:
    assert send(server, "/big").body == b"x" * 65_536
    assert send(server, "/big", body_cap=10).body == b"x" * 10


def test_an_answer_whose_body_breaks_off_has_its_status(server: Server) -> None:
    answer = send(server, "/cut")

    assert (answer.status, answer.body) == (200, b"begin")


@pytest.mark.parametrize("path", SLOW)
def test_a_server_that_drips_is_cut_at_the_deadline(server: Server, path: str) -> None:
    begin = time.monotonic()
    with pytest.raises(GuardedError, match=r"no whole answer within 0\.3 seconds") as error:
        send(server, path, timeout=0.3)

    assert time.monotonic() - begin < 5
    assert (error.value.is_refused, error.value.address) == (False, "127.0.0.1")


def test_a_handshake_that_never_ends_is_cut_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(GuardedError, match=r"within 0\.3 seconds"):
            post(url, b"", {}, allow_networks=LOOPBACK, timeout=0.3)


def test_a_resolver_that_does_not_answer_is_left_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(60) and [])

    with pytest.raises(GuardedError, match=r"within 0\.2 seconds"):
        post("http://slow.example/", b"", {}, timeout=0.2)
    released.set()


INTERNAL = [
    "0.0.0.0", "10.0.0.1", "100.100.100.200", "127.0.0.1", "168.63.129.16", "169.254.169.254",
    "172.16.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:10.0.0.1",
    "::ffff:0:7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1",
    "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1",
    "ff02::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INTERNAL)
def test_an_internal_address_is_refused(address: str, names: dict[str, list[list[str]]]) -> None:
    names["hooks.example"] = [[address]]
    literal = f"[{address}]" if ":" in address else address

    for host in ("hooks.example", literal):
        with pytest.raises(GuardedError, match="not on the public internet") as error:
            post(f"http://{host}/", b"", {}, timeout=5.0)
        assert error.value.is_refused


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1"])
def test_other_ways_to_write_the_own_host_are_refused(host: str, server: Server) -> None:
    with pytest.raises(GuardedError) as error:
        send(server, host=host, allow_networks=())

    assert error.value.is_refused
    assert server.requests == []


def test_an_internal_network_can_be_allowed(server: Server) -> None:
    own = ipaddress.ip_network("127.0.0.1")

    assert send(server, allow_networks=[own]).status == 200
    assert send(server, host="[::ffff:127.0.0.1]", allow_networks=[own]).status == 200
    with pytest.raises(GuardedError):
        send(server, allow_networks=["127.0.0.2", "::/0"])


def test_one_internal_address_of_a_name_refuses_them_all(
    server: Server, names: dict[str, list[list[str]]]
) -> None:
    names["two.example"] = [["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"]]

    for _ in range(2):
        with pytest.raises(GuardedError, match=r"two\.example has the address 10\.0\.0\.1"):
            send(server, host="two.example")
    assert server.requests == []


def test_a_name_that_changes_after_the_check_is_not_resolved_again(
    server: Server, names: dict[str, list[list[str]]]
) -> None:
    names["rebinding.example"] = [["127.0.0.1"], ["127.0.0.2"]]

    answer = send(server, host="rebinding.example", allow_networks=["127.0.0.1/32"])

    assert answer.address == "127.0.0.1"
    assert names["rebinding.example"] == [["127.0.0.2"]]
    assert server.requests[0][1]["Host"] == f"rebinding.example:{server.port}"


def test_the_next_address_is_tried_if_one_does_not_accept(
    server: Server, names: dict[str, list[list[str]]]
) -> None:
    names["two.example"] = [["127.0.0.2", "127.0.0.1"]]

    assert send(server, host="two.example").address == "127.0.0.1"


def test_proxies_of_the_environment_are_not_used(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert send(server).status == 200


def test_a_certificate_is_checked_against_the_name_of_the_url(
    tls_server: Server, certificate: tuple[Path, Path], names: dict[str, list[list[str]]]
) -> None:
    context = ssl.create_default_context(cafile=certificate[0])

    def ask(host: str, tls: ssl.SSLContext | None = context) -> GuardedAnswer:
        names[host] = [["127.0.0.1"]]
        url = f"https://{host}:{tls_server.port}/fine"
        return post(url, b"", {}, allow_networks=LOOPBACK, timeout=20.0, tls=tls)

    assert ask("hooks.example").status == 200
    with pytest.raises(GuardedError, match="Hostname mismatch"):
        ask("other.example")
    with pytest.raises(GuardedError, match="self-signed"):
        ask("hooks.example", tls=None)


def test_a_tls_answer_that_drips_is_cut_too(
    tls_server: Server, certificate: tuple[Path, Path], names: dict[str, list[list[str]]]
) -> None:
    context = ssl.create_default_context(cafile=certificate[0])
    for path in SLOW:
        names["hooks.example"] = [["127.0.0.1"]]
        url = f"https://hooks.example:{tls_server.port}{path}"
        with pytest.raises(GuardedError, match=r"within 0\.3 seconds"):
            post(url, b"", {}, allow_networks=LOOPBACK, timeout=0.3, tls=context)


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.example", "ftp://hooks.example/", "file:///etc/passwd", "http:///path",
        "http://user:pa55@hooks.example/", "http://good.example@hooks.example/",
        "http://good.example\\@hooks.example/", "http://hooks.example:0/",
        "http://hooks.example:99999/", "http://hooks.example:x/", "http://[::1/", "http://[v1.a]/",
        "http://hooks.example/a b", "http://hooks.example/\r\nX: 1", "http://hooks.example/\x7f",
        "\thttp://hooks.example/", "http://hooks.example/ä", "http://ä.example/",
        "http://hooks.example/a HTTP/1.1\r\nHost: x", "http://[fe80::1%25lo]/", "http://%31/",
        "http://a|b/", "http://.a/",
    ],
)  # fmt: skip
def test_a_url_that_is_not_plain_is_refused_before_anything_is_resolved(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("resolved"))
    with pytest.raises(GuardedError) as error:
        post(url, b"", {})

    assert error.value.is_refused
    assert "pa55" not in str(error.value)


def test_the_parts_of_a_url() -> None:
    assert check_url("https://Hooks.Example/a?b=c#d") == (True, "hooks.example", 443, "/a?b=c")
    assert check_url("http://[2606:4700::1]:81") == (False, "2606:4700::1", 81, "/")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nX-B: 2"}, {"X-A\r\nX-B": "2"}, {"X A": "1"}, {"X-A": "€"}, {"": "1"},
        {"host": "metadata"}, {"Content-Length": "0"}, {"TRANSFER-ENCODING": "chunked"},
        {"Connection": "keep-alive"},
    ],
)  # fmt: skip
def test_headers_cannot_carry_another_request(server: Server, headers: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{server.port}/fine"
    with pytest.raises(GuardedError) as error:
        post(url, b"", headers, allow_networks=LOOPBACK)

    assert error.value.is_refused
    assert server.requests == []


def test_errors_say_why(names: dict[str, list[list[str]]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(GuardedError, match="ConnectionRefusedError") as error:
        post(f"http://127.0.0.1:{port}/", b"", {}, allow_networks=LOOPBACK)
    again = pickle.loads(pickle.dumps(error.value))
    assert (str(again), again.address) == (str(error.value), "127.0.0.1")
    with pytest.raises(GuardedError, match="has no address"):
        post(f"http://{'a' * 64}.example/", b"", {}, timeout=5.0)
    with pytest.raises(ConfigError, match=r"'10\.0\.0\.1/8' is not a network"):
        networks(["10.0.0.1/8"])


def test_no_socket_and_no_thread_is_left(server: Server) -> None:
    send(server)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("/fine", "/redirect", "/big", "/cut"):
        send(server, path)
    server.close()
    mine = [thread.name for thread in threading.enumerate() if "resolver" in thread.name]

    assert mine == []
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
