"""A database over TLS: what is cut there is an error of other classes and words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stores.kit import Desk, desk_at, failed, spawned
from tests.support.proxy import Proxy
from tests.support.servers import MariaDB, Postgres, Server

_CIPHER = {
    "postgres": "SELECT cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    "mysql": "SHOW SESSION STATUS LIKE 'Ssl_cipher'",
}


@pytest.fixture(scope="module", params=[Postgres, MariaDB], ids=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that offers TLS."""
    with request.param(tls=True) as server:
        yield server


@pytest.fixture
def url(server: Server, servers: None) -> Iterator[str]:
    """A database of it."""
    yield server.create_database("tls")
    server.drop_database("tls")


def _cipher(desk: Desk) -> str:
    with desk.store.transaction() as tx:
        cursor = tx.connection.cursor()
        cursor.execute(_CIPHER[desk.kind])
        return str(cursor.fetchone()[-1] or "")


@pytest.mark.parametrize("before", [False, True], ids=["reply lost", "message lost"])
def test_a_settle_that_is_cut_anywhere_is_written_once(url: str, before: bool) -> None:
    with Proxy(url, tls=True) as proxy, desk_at(proxy.url) as desk, desk_at(url) as near:
        desk.store.schema.migrate()
        assert _cipher(desk)
        messages = 0
        while True:
            parent, other = desk.run(desk.job(), desk.job())
            *kids, then = desk.family(parent, 3)
            cuts = proxy.cuts
            proxy.cut_at("", before=before, skip=messages)
            settlement = desk.settle((parent, spawned(*kids, then)), (other, failed()))
            proxy.spare()
            assert {parent.id, other.id} <= {*settlement.ended, *settlement.stale}
            assert near.states([parent.id, other.id]) == ["completed", "failed"]
            assert near.states([kid.id for kid in kids]) == ["ready"] * 3
            assert tuple(near.one("pending, failed", "waiting", then.id)) == (3, 0)
            near.check()
            if proxy.cuts == cuts:  # it has fewer messages than that
                break
            messages += 1
        assert messages > 2


def test_a_proxy_is_read_where_its_url_turns_tls_off(url: str) -> None:
    with Proxy(url) as proxy, desk_at(proxy.url) as desk:
        desk.store.schema.migrate()
        assert not _cipher(desk)
        proxy.cut_at("COMMIT")
        desk.put(desk.job(), desk.job())
        assert proxy.cuts == 1 and desk.count("jobs") == 2
