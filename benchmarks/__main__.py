"""python -m benchmarks [FIGURE ...] [--database sqlite,postgres,mariadb] [--jobs N] [--redis]

Starts private servers, runs the figures (all by default) against each database, and prints a table
and a JSON line for each figure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

FIGURES = (
    "enqueue",
    "throughput",
    "latency",
    "spawn",
    "workflow",
    "head-of-line",
    "idle",
    "start-up",
)


def main() -> int:
    """Run the figures that were asked for, each database in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--database", default="sqlite,postgres,mariadb")
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--redis", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--url", help="one database, already running; run here")
    arguments = parser.parse_args()
    unknown = set(arguments.figures) - set(FIGURES)
    if unknown:
        parser.error(f"unknown figure {', '.join(sorted(unknown))}: choose from {FIGURES}")
    figures = arguments.figures or list(FIGURES)
    if arguments.url:
        return _here(arguments.url, figures, arguments.jobs)
    return _each(arguments.database.split(","), figures, arguments.jobs, redis=arguments.redis)


def _each(names: list[str], figures: list[str], jobs: int, *, redis: bool) -> int:
    from tests.servers import MariaDB, Postgres, Redis

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hammerflow-bench-"))
        bell = stack.enter_context(Redis()).url() if redis else None
        for name in names:
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
            code = subprocess.call([*command, "--jobs", str(jobs)], env=environment)
            if code:
                return code
    return 0


def _here(url: str, figures: list[str], jobs: int) -> int:
    os.environ["HAMMERFLOW_DATABASE_URL"] = url
    from benchmarks.measure import ALL
    from benchmarks.tasks import app

    app.migrate()
    sizes = {"latency": 300}
    for name in figures:
        for figure in ALL[name](url, sizes.get(name, jobs)):
            facts = {"database": app.store.dialect, **figure}
            shown = "  ".join(f"{key} {value}" for key, value in figure.items() if key != "figure")
            print(f"{facts['database']:9} {figure['figure']:38} {shown}", flush=True)
            print(json.dumps({**facts, "python": platform.python_version()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
