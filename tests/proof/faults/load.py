"""Load: a process of its own that enqueues and notes what was acknowledged.

python -m tests.proof.faults.load URL FILE: after each enqueue the ids, as one line of the file;
where StoreUnavailable refused it the number of jobs, as one line of FILE.refused (its suffix).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from hammerflow import Hammerflow, StoreUnavailable

_MODULE = "tests.acceptance.shop"


def main(url: str, path: str) -> None:
    """Until it is killed."""
    app = Hammerflow("shop", database=url)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    refused = Path(path).with_suffix(".refused")
    for n in range(sys.maxsize):
        calls = [app.signature(f"{_MODULE}.leaf", (i,)) for i in range(1 + n % 20)]
        if n % 7 == 0:
            calls = [app.signature(f"{_MODULE}.fan_out", (8,))]
        try:
            results = app.enqueue_many(calls)
        except StoreUnavailable:
            with open(refused, "a") as file:
                file.write(f"{len(calls)}\n")
            time.sleep(0.1)
            continue
        os.write(fd, (" ".join(r.id.hex for r in results) + "\n").encode())
        time.sleep(0.002)


if __name__ == "__main__":
    main(*sys.argv[1:])
