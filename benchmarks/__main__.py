"""python -m benchmarks [FIGURE ...] [--database sqlite,postgres,mariadb] [--jobs N] [--json FILE]

Starts private servers, runs the figures (all by default) against each database, and prints a table
and a JSON line for each figure. The figure "peers" runs other job queues beside hammerflow, in a
virtual environment of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers.figure import default_folder, peers

FIGURES = (
    "enqueue",
    "throughput",
    "latency",
    "spawn",
    "workflow",
    "head-of-line",
    "idle",
    "start-up",
    "backlog",
    "snapshot",
    "distance",
    "scale-out",
    "memory",
    "retention",
    "retention-at-scale",
    "retention-in-turns",
    "views",
    "web",
    "limits",
    "fairness",
    "schedules",
    "event-cost",
    "event-lag",
)
PEERS, PAGES = "peers", "pages"  # which need other programs
#: Jobs for each peer at the most: the slowest do some hundred a second.
MOST_PEER_JOBS = 10_000


def main() -> int:
    """Run the figures that were asked for, each database in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = (*FIGURES, PAGES, PEERS)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(known))
    parser.add_argument("--database", default="sqlite,postgres,mariadb")
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--redis", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the JSON lines here, too")
    parser.add_argument("--peers-venv", type=Path, default=default_folder(), metavar="PATH",
                        help="the peers' own environment, made once (%(default)s)")  # fmt: skip
    parser.add_argument("--peer", action="append", help="only this peer (hammerflow, celery ...)")
    parser.add_argument("--url", help="one database, already running; run here")
    arguments = parser.parse_args()
    unknown = set(arguments.figures) - set(known)
    if unknown:
        parser.error(f"unknown figure {', '.join(sorted(unknown))}: choose from {known}")
    figures = arguments.figures or [*FIGURES, PEERS]
    ours = [name for name in figures if name != PEERS]
    if arguments.url:
        return _here(arguments.url, ours, arguments)
    code = _each(ours, arguments) if ours else 0
    if PEERS in figures:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that each peer is ended, too
        jobs = min(arguments.jobs, MOST_PEER_JOBS)
        for row in peers(jobs, arguments.peers_venv, set(arguments.peer or ())):
            _show(row, arguments.json)
    return code


def _each(figures: list[str], arguments: argparse.Namespace) -> int:
    from tests.support.servers import MariaDB, Postgres, Redis

    worst = 0
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hammerflow-bench-"))
        bell = stack.enter_context(Redis()).url() if arguments.redis else None
        for name in arguments.database.split(","):
            servers = {"postgres": Postgres, "mariadb": MariaDB}
            if name == "sqlite":
                url = f"sqlite:///{Path(folder) / 'bench.db'}"
            else:
                server = stack.enter_context(servers[name](durable=True))
                url = server.create_database("bench")
            environment = {**os.environ, "HAMMERFLOW_DATABASE_URL": url}
            if bell is not None:
                environment["HAMMERFLOW_REDIS_URL"] = bell
            command = [sys.executable, "-m", "benchmarks", *figures, "--url", url]
            command += ["--jobs", str(arguments.jobs)]
            if arguments.json:
                command += ["--json", str(arguments.json)]
            worst = max(worst, subprocess.call(command, env=environment))
    return worst


def _here(url: str, figures: list[str], arguments: argparse.Namespace) -> int:
    os.environ["HAMMERFLOW_DATABASE_URL"] = url
    from benchmarks import (
        event_load,
        fairness,
        limits,
        measure,
        pages,
        retention,
        scale,
        schedules,
        views,
        web,
    )
    from benchmarks.tasks import app

    app.migrate()
    sizes = {"latency": 300}
    for name in figures:
        known = measure.ALL | scale.ALL | retention.ALL | views.ALL | limits.ALL | schedules.ALL
        known |= event_load.ALL | fairness.ALL | web.ALL | pages.ALL
        measured = known[name]
        for figure in measured(url, sizes.get(name, arguments.jobs)):
            _show({"database": app.store.dialect, **figure}, arguments.json)
    return 0


def _show(row: dict[str, Any], file: Path | None) -> None:
    shown = "  ".join(f"{key} {row[key]}" for key in row if key not in ("figure", "database"))
    print(f"{row['database']:9} {row['figure']:38} {shown}", flush=True)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    machine = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    facts = {**row, "python": platform.python_version(), **machine, "at": now}
    line = json.dumps(facts)
    print(line, flush=True)
    if file is not None:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
