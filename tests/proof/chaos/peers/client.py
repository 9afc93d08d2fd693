"""python -m tests.proof.chaos.peers.client MODULE PACKAGE: one contender's client.

It reads commands from its standard input and answers each by a line of JSON: what the worker's
commands are (at the start), `probe N`, `load SEED RATE SECONDS`, and `unfinished`. A job is
acknowledged when the contender's own enqueue returns; one that raises is not tried again.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import random
import sys
import time
from collections import Counter
from typing import Any

from tests.proof.chaos.peers.body import note

#: The longest a body sleeps.
MOST_SECONDS = 0.2


def main(module: str, package: str) -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is not an answer
    peer: Any = importlib.import_module(module)
    peer.prepare()
    version = importlib.metadata.version(package) if package else ""
    print(json.dumps({"version": version, "commands": peer.commands()}), file=answers)
    for line in sys.stdin:
        match line.split():
            case ["probe", count]:
                for n in range(int(count)):
                    peer.enqueue(f"probe-{n}", 0.05)
                answer: Any = "probing"
            case ["load", seed, rate, seconds]:
                answer = _load(peer, random.Random(int(seed)), float(rate), float(seconds))
            case ["unfinished"]:
                answer = sorted(peer.unfinished())
            case _:
                raise ValueError(line)
        print(json.dumps(answer), file=answers)
    os._exit(0)  # clients with threads and loops of their own need no farewell


def _load(peer: Any, choices: random.Random, rate: float, seconds: float) -> dict[str, int]:
    """A job every 1/rate seconds, later ones sooner where one took long; the errors, counted."""
    errors: Counter[str] = Counter()
    began = time.monotonic()
    for n in range(int(rate * seconds)):
        time.sleep(max(0.0, began + n / rate - time.monotonic()))
        key = f"job-{n:06}"
        try:
            peer.enqueue(key, choices.uniform(0.0, MOST_SECONDS))
        except Exception as error:  # noqa: BLE001 - each has its own
            errors[type(error).__name__] += 1
            note("refused", key)
        else:
            note("acknowledged", key)
    return dict(errors)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
