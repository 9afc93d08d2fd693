"""The figure of the peers: an environment for them, servers for all, a row for each."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.catalogue import PEERS, Peer

__all__ = ["default_folder", "environment", "peers"]

ROOT = Path(__file__).parents[2]
#: What one peer may take in all; then its row says so.
MOST_SECONDS = 300


def default_folder() -> Path:
    """Where the peers' own environment lives between the runs."""
    return Path(tempfile.gettempdir()) / "hammerflow-bench-peers"


def peers(jobs: int, folder: Path, only: set[str] | None = None) -> Iterator[dict[str, Any]]:
    """Each peer's enqueueing, drain and start latency, and how many times that hammerflow does."""
    from tests.support.servers import Postgres, Redis

    chosen = [peer for peer in PEERS if not only or peer.name in only]
    interpreter = environment(folder, [peer for peer in chosen if peer.requirements])
    ours: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        bell = stack.enter_context(Redis())
        database = stack.enter_context(Postgres(durable=True))
        files = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hammerflow-bench-")))
        for peer in chosen:
            bell.flush()
            if peer.database == "sqlite":
                url = f"sqlite:///{files / 'peers.db'}"
            else:
                url = database.create_database(f"bench_{peer.name}")
            program = str(interpreter) if peer.requirements else sys.executable
            facts = _run(peer, program, jobs, {"redis": bell.url(), "database": url})
            row = {
                "database": peer.database,
                "figure": f"peer: {peer.title}",
                "jobs": jobs,
                **facts,
            }
            if peer.name == "hammerflow":
                ours = ours or facts
            else:
                row |= _ratios(ours, facts)
            yield {**row, "durable": peer.durable}
            if peer.database != "sqlite":
                database.drop_database(f"bench_{peer.name}")


def _ratios(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """How many times the peer's rate is ours."""
    keys = {"drain_jobs_s": "drain_ratio", "enqueue_jobs_s": "enqueue_ratio"}
    return {
        name: round(ours[key] / theirs[key], 2)
        for key, name in keys.items()
        if ours.get(key) and theirs.get(key)
    }


def _run(peer: Peer, program: str, jobs: int, urls: dict[str, str]) -> dict[str, Any]:
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("HAMMERFLOW_")},
        "BENCH_REDIS_URL": urls["redis"],
        "BENCH_DATABASE_URL": urls["database"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [program, "-m", "benchmarks.peers.run", peer.module, str(jobs)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {MOST_SECONDS} s"}
    finally:
        process.terminate()  # it ends its workers
        process.wait(30)
    lines = (errors if process.returncode else output).strip().splitlines()
    last = lines[-1] if lines else f"ended with {process.returncode}"
    if process.returncode:
        return {"failed": last[:300]}
    facts: dict[str, Any] = json.loads(last)
    return facts


def environment(folder: Path, wanted: list[Peer]) -> Path:
    """The peers' interpreter; what cannot be installed is missed by its own row only."""
    interpreter = folder / "bin" / "python"
    if not interpreter.exists():
        venv.create(folder, with_pip=True)
    stamp = folder / "installed.json"
    needed = sorted({word for peer in wanted for word in peer.requirements})
    installed = json.loads(stamp.read_text()) if stamp.exists() else []
    if set(needed) <= set(installed):
        return interpreter
    pip = [str(interpreter), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    if subprocess.run([*pip, *needed], stdout=sys.stderr, check=False).returncode == 0:
        stamp.write_text(json.dumps(sorted({*installed, *needed})))
    else:
        for peer in wanted:
            subprocess.run([*pip, *peer.requirements], stdout=sys.stderr, check=False)
    return interpreter
