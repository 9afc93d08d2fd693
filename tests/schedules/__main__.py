"""``python -m tests.schedules [ZONE ...]``: compare cron with a slow oracle.

It looks around each change of these zones, or of all, from 1970 to 2037. All zones take hours.
"""

from __future__ import annotations

import sys
from zoneinfo import ZoneInfo

from tests.schedules.oracle import (
    EXPRESSIONS,
    differences,
    is_of_whole_minutes,
    transitions,
    zones,
)


def main(names: list[str]) -> int:
    """Print the differences, and how much was compared."""
    walks = wrong = 0
    for name in names or zones():
        for change in transitions(ZoneInfo(name)):
            if not is_of_whole_minutes(change, name):
                continue
            for expression in EXPRESSIONS:
                walks += 1
                if found := differences(name, change, expression):
                    wrong += 1
                    print(name, expression, *map(str, found))
    print(f"{walks:,} walks, {wrong} with differences")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
