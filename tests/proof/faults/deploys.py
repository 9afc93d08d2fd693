"""Deploys: workers that are replaced one after the other, and workers of two versions."""

from __future__ import annotations

import io
import signal
import subprocess
import tarfile
from pathlib import Path

from tests.acceptance.kit import Worker
from tests.proof.faults.ground import Impossible
from tests.proof.faults.shops import Customers, percentile, shop_on
from tests.support.servers import Postgres

__all__ = ["mixed_versions", "rolling_restarts"]

_ROOT = Path(__file__).parents[3]
_MIGRATIONS = "hammerflow/stores/sql/migrations"
_RESTARTS = 20


def rolling_restarts(folder: Path, _: int) -> str:
    """Two workers under load are replaced in turn, 20 times."""
    with (
        Postgres() as server,
        shop_on(server.create_database("shop"), folder) as shop,
        shop.worker() as one,
        shop.worker() as other,
        Customers(shop, pause=0.03) as customers,
    ):
        workers = [one, other]
        long = []
        for turn in range(_RESTARTS):
            long.append(shop.send("note", turn, 0.5))  # for one of the two to have in hand
            old = workers[turn % 2]
            old.signal(signal.SIGTERM)
            workers[turn % 2] = shop.worker()
            assert old.process.wait(20) == 0, old.log
            assert not old.complaints(), old.log
        customers.wait_for(20)
        customers.stop()
        shop.wait_until_quiet()
        assert not customers.refused
        everything = [*customers.acknowledged, *long]
        assert shop.ledger.counts(r.id.hex for r in everything) == {1: len(everything)}
        assert shop.desk.count("errors") == 0
        shop.check(everything, most_attempts=1)
        delays = customers.delays()
    return (
        f"{_RESTARTS} restarts, {len(everything)} jobs in one attempt each; start p50 "
        f"{percentile(delays, 0.5) * 1e3:.0f} ms, p99 {percentile(delays, 0.99) * 1e3:.0f} ms"
    )


def mixed_versions(folder: Path, _: int) -> str:
    """A worker of the oldest commit with this schema beside one of today; each outlives the other.

    Its client is of today.
    """
    commit, age = _oldest_commit()
    old_tree = folder / "old"
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
        archive.extractall(old_tree, filter="data")
    with (
        Postgres() as server,
        shop_on(server.create_database("shop"), folder) as shop,
        Customers(shop, pause=0.01) as customers,
    ):

        def old_worker() -> Worker:
            return shop.worker(folder=old_tree, path=old_tree)

        old, new = old_worker(), shop.worker()
        spawners = shop.send_all("fan_out", [(300,)] * 4)
        customers.wait_for(200)
        family = {"old": {*old.family()}, "new": {*new.family()}}
        new.kill()
        customers.wait_for(100)
        new = shop.worker()
        old.kill()
        customers.wait_for(100)
        old = old_worker()
        customers.wait_for(100)
        customers.stop()
        for result in spawners:
            result.wait(timeout=30)
        shop.wait_until_quiet()
        for worker in (old, new):
            assert worker.stop() == 0, worker.log
            assert not worker.complaints(), worker.log
        shop.check([*customers.acknowledged, *spawners])
        pids = [run.pid for run in shop.ledger.runs()]
        shares = {name: sum(pid in members for pid in pids) for name, members in family.items()}
        assert all(shares.values()), f"one of them had no work: {shares}"
    return (
        f"commit {commit[:7]} ({age} commits ago) beside this one, each killed once: "
        f"{len(pids)} bodies, {shares['old']} of the first old worker, none lost"
    )


def _oldest_commit() -> tuple[str, int]:
    """The oldest commit whose migrations are those of today, and how far back it lies."""
    today = _git("rev-parse", f"HEAD:{_MIGRATIONS}")
    commits = _git("rev-list", "--first-parent", "HEAD").decode().split()
    same = []
    for commit in commits:
        if _git("rev-parse", f"{commit}:{_MIGRATIONS}") != today:
            break
        same.append(commit)
    if len(same) < 2:
        raise Impossible("the schema is of the last commit: no older worker fits")
    return same[-1], len(same) - 1


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(
            ["git", "-c", "safe.directory=*", *arguments],
            cwd=_ROOT,
            capture_output=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Impossible(f"this is no clone of the repository: {error}") from error
