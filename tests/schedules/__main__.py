"""``python -m tests.schedules [--every N] [ZONE ...]``: compare cron with a slow oracle.

It tries the minutes around each change of these zones, or of all, from 1970 to 2037, in as many
processes as there are processors. All zones take hours; ``--every 100`` takes one change of 100.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from zoneinfo import ZoneInfo

from tests.schedules.oracle import (
    EXPRESSIONS,
    differences,
    is_of_whole_minutes,
    transitions,
    zones,
)


def compare(name: str, first: int, every: int) -> tuple[int, list[str]]:
    """How many walks around the changes of a zone there were, and those with differences."""
    walks, wrong = 0, []
    for change in islice(transitions(ZoneInfo(name)), first, None, every):
        if not is_of_whole_minutes(change, name):
            continue
        for expression in EXPRESSIONS:
            walks += 1
            if found := differences(name, change, expression):
                wrong.append(" ".join((name, expression, *map(str, found))))
    return walks, wrong


def main(arguments: list[str]) -> int:
    """Print the differences, and how much was compared."""
    parser = argparse.ArgumentParser(prog="python -m tests.schedules")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("zones", nargs="*", metavar="ZONE")
    given = parser.parse_args(arguments)
    names = given.zones or zones()
    firsts = [number % given.every for number in range(len(names))]
    walks = wrong = 0
    with ProcessPoolExecutor() as pool:
        for count, lines in pool.map(compare, names, firsts, [given.every] * len(names)):
            walks += count
            wrong += len(lines)
            for line in lines:
                print(line)
    print(f"{walks:,} walks, {wrong} with differences")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
