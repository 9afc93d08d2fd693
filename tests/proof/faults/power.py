"""Power cuts: the disk's content at one instant, and what a database makes of it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

from hammerflow import Hammerflow
from tests.acceptance.kit import Shop
from tests.proof.faults.ground import copied_disk, disk
from tests.proof.faults.shops import loading
from tests.support.servers import MariaDB, Postgres, Server
from tests.support.waiting import until

__all__ = ["move_data", "power_cuts"]

_KINDS: dict[str, type[Server]] = {"postgres": Postgres, "mariadb": MariaDB}


def power_cuts(kind: str, folder: Path, cuts: int) -> str:
    """Cut the power again and again under load: what was acknowledged is there afterwards.

    All processes are stopped, the disk's image is copied, and they go on; the copy is what a power
    cut would have left. No page that was not synced is in it.
    """
    seen = 0
    with contextlib.ExitStack() as stack:
        image, place = stack.enter_context(disk(folder, 64 if kind == "sqlite" else 2_000))
        server = None
        if kind == "sqlite":
            url = f"sqlite:///{place / 'shop.db'}"
        else:
            server = _KINDS[kind](durable=True)
            stack.callback(server.close)
            move_data(server, place)
            server.start()
            url = server.create_database("shop")
        Hammerflow("shop", database=url).migrate()
        shop = Shop(url, folder)
        stack.callback(shop.close)
        worker = shop.worker()
        load = stack.enter_context(loading(url, folder / "acknowledged"))
        for cut in range(cuts):
            until("more load", lambda: load.calls > seen, timeout=30)  # noqa: B023
            time.sleep(random.uniform(0.0, 0.3))
            load.process.send_signal(signal.SIGSTOP)
            worker.freeze()
            if server is not None:
                server.pause()
            seen = load.calls
            promised = [job.id.bytes for job in load.promised]
            with copied_disk(image, folder) as copy:
                if server is not None:
                    server.resume()
                worker.thaw()
                load.process.send_signal(signal.SIGCONT)
                _look(kind, url, copy, folder, promised, drain=cut == cuts - 1)
    return f"{cuts} power cuts, {len(promised)} acknowledged jobs, none lost, no half spawner"


def _look(
    kind: str, url: str, copy: Path, folder: Path, promised: list[bytes], *, drain: bool
) -> None:
    """Open the copy as the database would after the cut, and check it."""
    after = folder / "after"
    shutil.rmtree(after, ignore_errors=True)
    after.mkdir()
    with contextlib.ExitStack() as stack:
        if kind == "sqlite":
            found = f"sqlite:///{copy / 'shop.db'}"
        else:
            twin = _KINDS[kind](durable=True)
            stack.callback(twin.close)
            shutil.rmtree(twin.folder / "data")
            (twin.folder / "data").symlink_to(copy / "data")
            (copy / "data" / "postmaster.pid").unlink(missing_ok=True)  # its process is no more
            twin.start()
            found = twin.url("shop")
        shop = Shop(found, after)
        stack.callback(shop.close)
        there = set(shop.desk.ids("SELECT id FROM {jobs}"))
        lost = [id_ for id_ in promised if id_ not in there]
        assert not lost, f"{len(lost)} of {len(promised)} acknowledged jobs are lost"
        shop.desk.check()
        shop._check_spawns()
        if kind == "sqlite":
            assert shop.desk.sql("PRAGMA integrity_check") == [("ok",)]
        if drain:
            shop.worker()
            shop.wait_until_quiet(120)
            shop.desk.check()


def move_data(server: Server, place: Path) -> None:
    """Let the server keep its data there."""
    data = server.folder / "data"
    subprocess.run(["cp", "-a", data, place / "data"], check=True)
    shutil.rmtree(data)
    data.symlink_to(place / "data")
    os.sync()  # as initdb does it
