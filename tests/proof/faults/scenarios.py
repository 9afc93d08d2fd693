"""Scenarios: each breaks one thing, and returns what it saw; AssertionError if that is wrong."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.proof.faults import (
    children,
    crowds,
    databases,
    deadlocks,
    deploys,
    disks,
    networks,
    processes,
)
from tests.proof.faults.ground import (
    faketime_library,
    inside,
    link,
    needs,
    set_link,
)
from tests.proof.faults.power import power_cuts
from tests.proof.faults.shops import shop_on
from tests.stores.kit import Desk
from tests.support.proxy import Proxy
from tests.support.servers import Postgres
from tests.support.waiting import until

__all__ = ["SCENARIOS"]


def clocks(folder: Path, _: int) -> str:
    """Workers whose clock is wrong by an hour or a year: the database's clock decides."""
    preload = faketime_library()
    with Postgres() as server, shop_on(server.create_database("shop"), folder) as shop:
        for offset in ("+1h", "-1h", "+1y", "-1y"):
            os.environ |= {"LD_PRELOAD": preload, "FAKETIME": offset, "DONT_FAKE_MONOTONIC": "1"}
            try:
                worker = shop.worker()
            finally:
                for name in ("LD_PRELOAD", "FAKETIME", "DONT_FAKE_MONOTONIC"):
                    del os.environ[name]
            began = time.monotonic()
            later = shop.send("note", offset, delay=1.5)
            assert shop.send("note", offset).get(timeout=10) == offset
            assert later.get(timeout=15) == offset
            (run,) = shop.ledger.runs(later.id.hex)
            assert run.began - began >= 1.4, f"{offset}: it began {run.began - began:.2f} s after"
            worker.end()
        with shop.worker():  # takes nothing from the dead ones too early, nor too late
            assert shop.send("note", 1).get(timeout=10) == 1
        shop.wait_until_quiet()
        shop.check()
    return "workers off by +-1 h and +-1 y: countdowns of 1.5 s kept, all done once"


def pooler(folder: Path, _: int) -> str:
    """PgBouncer in transaction mode between everything and PostgreSQL."""
    pgbouncer = needs("pgbouncer")
    with Postgres() as server:
        direct = server.create_database("shop")
        with Proxy(direct) as spare:  # a free port, taken over below
            port = int(spare.url.rpartition(":")[2].partition("/")[0])
        config = folder / "pgbouncer.ini"
        users = folder / "users.txt"
        users.write_text('"postgres" ""\n')
        config.write_text(
            f"[databases]\nshop = host=127.0.0.1 port={server.port} dbname=shop user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
            f"auth_file = {users}\npool_mode = transaction\ndefault_pool_size = 4\n"
            "unix_socket_dir =\nignore_startup_parameters = options,extra_float_digits\n"
        )
        folder.chmod(0o755)
        command = [pgbouncer, "-q", str(config)]
        user = "nobody" if os.geteuid() == 0 else None
        process = subprocess.Popen(command, user=user, stderr=subprocess.DEVNULL)
        try:
            url = f"postgresql://postgres@127.0.0.1:{port}/shop"
            until("the pooler answers", lambda: _answers(url))
            with shop_on(url, folder) as shop:
                shop.desk = Desk(direct)  # its plain SQL is not made for poolers
                with shop.worker(), shop.worker():
                    sent = shop.send_all("note", ((i,) for i in range(300)))
                    parent = shop.send("fan_out", 3_000)
                    parent.wait(timeout=60)
                    shop.wait_until_quiet(60)
                shop.check([*sent, parent])
        finally:
            process.terminate()
            process.wait()
    return "300 jobs and a spawner of 3 000 through 4 pooled connections in transaction mode"


def _answers(url: str) -> bool:
    import psycopg

    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=2, prepare_threshold=None).close()
        return True
    return False


class _OpenPostgres(Postgres):
    """Reachable from other network namespaces."""

    def _prepare(self) -> None:
        super()._prepare()
        with open(self.folder / "data" / "pg_hba.conf", "a") as file:
            file.write("host all all 10.217.0.0/16 trust\n")

    def _command(self) -> list[str]:
        return [*super()._command(), "--listen_addresses=*"]


def partition(folder: Path, _: int) -> str:
    """Two supervisors in network namespaces of their own; the link of one is cut and healed."""
    with contextlib.ExitStack() as stack:
        near_address, _interface = stack.enter_context(link("hfnear", 1))
        far_address, interface = stack.enter_context(link("hffar", 2))
        server = stack.enter_context(_OpenPostgres())
        url = server.create_database("shop")
        shop = stack.enter_context(shop_on(url, folder))
        workers = []
        for name, address in (("hfnear", near_address), ("hffar", far_address)):
            shop.url = url.replace("127.0.0.1", address)
            with inside(name):
                workers.append(shop.worker())
        near, far = workers
        held = [shop.send("hold", "gate", i) for i in range(4)]
        runs = [shop.wait_for_run(result) for result in held]
        family = far.family()
        hit = [result for result, run in zip(held, runs, strict=True) if run.pid in family]
        assert len(hit) == 2, "each worker runs two of four jobs"

        set_link(interface, up=False)
        cut = time.monotonic()
        far.wait_for_log(
            "killing all children", timeout=60
        )  # it stops its own bodies: others may begin
        shop.open("gate")
        values = [result.get(timeout=60) for result in held]
        took = time.monotonic() - cut
        set_link(interface, up=True)
        far.wait_for_log("the database is back", timeout=60)

        near.freeze()  # so that it must be the other one who works
        assert shop.send("note", 7).get(timeout=20) == 7
        near.thaw()
        shop.wait_until_quiet(60)
        assert values == [0, 1, 2, 3]
        doubled = sum(len(shop.ledger.runs(result.id.hex)) > 1 for result in hit)
        assert shop.overlaps() == 0, "two bodies of a job ran at the same time"
        shop.check(may_overlap=True)
    return f"{doubled} jobs of the cut host taken over, all done {took:.1f} s after the cut"


SCENARIOS: dict[str, Callable[[Path, int], str]] = {
    "power-cut-sqlite": functools.partial(power_cuts, "sqlite"),
    "power-cut-postgres": functools.partial(power_cuts, "postgres"),
    "power-cut-mariadb": functools.partial(power_cuts, "mariadb"),
    "disk-full": disks.disk_full,
    "disk-full-postgres": functools.partial(disks.disk_full_under_a_server, "postgres"),
    "disk-full-mariadb": functools.partial(disks.disk_full_under_a_server, "mariadb"),
    "fsync-error-sqlite": disks.sync_errors_sqlite,
    "fsync-error-postgres": disks.sync_errors_postgres,
    "fsync-error-mariadb": disks.sync_errors_mariadb,
    "memory-limit": processes.memory_limit,
    "pid-limit": processes.pid_limit,
    "descriptor-limit": processes.descriptor_limit,
    "hostile-bodies": processes.hostile_bodies,
    "daemon-left": processes.daemon_left,
    "six-hundred-children": children.six_hundred,
    "struck-at-random-sqlite": functools.partial(children.struck_at_random, "sqlite"),
    "struck-at-random-postgres": functools.partial(children.struck_at_random, "postgres"),
    "backend-kills": databases.backend_kills,
    "connection-limit-postgres": functools.partial(databases.connection_limit, "postgres"),
    "connection-limit-mariadb": functools.partial(databases.connection_limit, "mariadb"),
    "held-transaction-postgres": functools.partial(databases.held_transaction, "postgres"),
    "held-transaction-mariadb": functools.partial(databases.held_transaction, "mariadb"),
    "serialization-postgres": databases.serializable_postgres,
    "serialization-mariadb": databases.serializable_mariadb,
    "database-clock": databases.clock_jumps,
    "slow-network-postgres": functools.partial(networks.slow_network, "postgres"),
    "slow-network-mariadb": functools.partial(networks.slow_network, "mariadb"),
    "redis-memory": networks.redis_refuses,
    "rolling-restarts": deploys.rolling_restarts,
    "mixed-versions": deploys.mixed_versions,
    "sqlite-writer-held": crowds.sqlite_writer_held,
    "many-due": crowds.many_due,
    "wide-fan-in": crowds.wide_fan_in,
    "lock-order": deadlocks.lock_order,
    "clocks": clocks,
    "pooler": pooler,
    "partition": partition,
}
