"""python -m tests.proof.faults [SCENARIO ...] [--cuts N]

Each scenario breaks something for real and says what it saw; needs root. Ends with 1 if an
observation is not what it must be. What this machine cannot do is said, and is no failure.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.proof.faults.ground import Impossible
from tests.proof.faults.scenarios import SCENARIOS
from tests.support.servers import temporary_folder


def main() -> int:
    """Run what was asked for, all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.faults", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--cuts", type=int, default=10, help="power cuts on each database")
    given = parser.parse_args()
    if unknown := set(given.scenarios) - set(SCENARIOS):
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}: {', '.join(SCENARIOS)}")
    broken = 0
    for name in given.scenarios or SCENARIOS:
        folder = Path(tempfile.mkdtemp(prefix="faults-", dir=temporary_folder()))
        folder.chmod(0o755)
        began = time.monotonic()
        try:
            said = "ok: " + SCENARIOS[name](folder, given.cuts)
        except Impossible as error:
            said = f"impossible here: {error}"
        except Exception as error:  # noqa: BLE001 - a border: the others are to be seen, too
            where = traceback.extract_tb(error.__traceback__)[-1].line
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            said, broken = f"BROKEN: {kind}{str(error) or where}", broken + 1
        print(f"{name:22} {time.monotonic() - began:5.1f} s  {said}", flush=True)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
