"""python -m tests.proof.chaos.peers [--peer NAME ...] [--seconds 60] [--seed S ...] [--rate 12]
[--lease 10] [--no-kills] [--peers-venv DIR] [--json FILE] [--keep DIR]
[--table FILE]

Each contender under the same load and the same schedule of kills; prints a table. The peers are
installed into an environment of their own. --table prints the table of recorded lines.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.figure import default_folder, environment
from tests.proof.chaos.peers.catalogue import CONTENDERS, Contender
from tests.proof.chaos.peers.figures import table
from tests.proof.chaos.peers.run import run


def main() -> int:
    """Parse and run; 1 if a contender did not come up."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.chaos.peers", description=__doc__)
    names = [contender.name for contender in CONTENDERS]
    parser.add_argument("--peer", choices=names, nargs="+", default=names)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, nargs="+", default=None)
    parser.add_argument("--rate", type=float, default=12.0, help="jobs a second")
    parser.add_argument("--lease", type=float, default=10.0, help="and visibility timeouts alike")
    parser.add_argument("--no-kills", action="store_true", help="is the harness itself right?")
    parser.add_argument("--peers-venv", type=Path, default=default_folder())
    parser.add_argument("--json", type=Path, default=None, help="append a line for each run")
    parser.add_argument("--keep", type=Path, default=None, help="ledgers and logs go there")
    parser.add_argument("--table", type=Path, default=None, help="print only, from such lines")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # which ends workers and servers, too
    if given.table is not None:
        _show([json.loads(line) for line in given.table.read_text().splitlines()])
        return 0
    chosen = [contender for contender in CONTENDERS if contender.name in given.peer]
    interpreter = _interpreter(given.peers_venv, chosen)
    lines: list[dict[str, Any]] = []
    failed = 0
    for seed in given.seed or [random.randrange(10**6)]:
        for contender in chosen:
            print(f"{contender.name}, seed {seed}", flush=True)
            try:
                line = run(
                    contender, seed=seed, seconds=given.seconds, rate=given.rate,
                    lease=given.lease, interpreter=interpreter, kills=not given.no_kills,
                    keep=given.keep,
                )  # fmt: skip
            except RuntimeError as error:
                print(f"failed: {error}")
                failed += 1
                continue
            lines.append(line)
            print({key: fact for key, fact in line.items() if key != "recovery"}, flush=True)
            if given.json is not None:
                with open(given.json, "a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
    _show(lines)
    return int(failed > 0)


def _interpreter(folder: Path, chosen: list[Contender]) -> str:
    packages = {contender.package for contender in chosen} - {""}
    if not packages:
        return sys.executable
    return str(environment(folder, [peer for peer in PEERS if peer.name in packages]))


def _show(lines: list[dict[str, Any]]) -> None:
    print(table(lines))
    for contender in CONTENDERS:
        if any(line["contender"] == contender.name for line in lines):
            print(f"- {contender.title}: {contender.setup}.")


if __name__ == "__main__":
    sys.exit(main())
