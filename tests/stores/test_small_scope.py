"""Small scope, exhaustive: a spawner with two children, a join, and two workers in every order.

The two units of each pair run on a connection each. Whose statement is next is a choice: all of
them are made in turn (HAMMERFLOW_TEST_INTERLEAVINGS=all), or so many at random. A statement that
waits for a lock lets the other worker go on. After each order the counters are recounted, what is
left is worked off, and all must have come out as if one unit had run after the other.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.stores.kit import Desk
from tests.stores.pairs import PAIRS, Pair
from tests.stores.stepper import Path, Race, every_path, some_paths

pytestmark = [pytest.mark.slow, pytest.mark.timeout(6 * 3600)]

#: "all", or so many at random for each pair.
ORDERS = os.environ.get("HAMMERFLOW_TEST_INTERLEAVINGS", "4")


@pytest.fixture
def race(desk: Desk) -> Iterator[Race]:
    race = Race(desk)
    yield race
    race.close()


def test_every_order_of_two_units_ends_well(desk: Desk, race: Race) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown with a failure
    total = 0
    for name, pair in PAIRS.items():
        run = _runner(desk, race, pair)
        try:
            run(Path())  # each store looks up the names that it does not know yet
            if ORDERS == "all":
                count = every_path(run)
            else:
                count = some_paths(run, int(ORDERS), f"{seed} {name}")
        except Exception as error:
            error.add_note(f"the pair: {name}")
            raise
        total += count
        sys.stdout.write(f"\n{desk.kind}: {name}: {count} orders, {race.retries} deadlocks")
        if desk.kind == "postgres":  # MariaDB locks what it reads on its way, too
            assert race.retries == 0, f"{name}: locks are taken in different orders"
        race.retries = 0
    sys.stdout.write(f"\n{desk.kind}: {total} orders in all\n")


def _runner(desk: Desk, race: Race, pair: Pair) -> Callable[[Path], None]:
    repeats = desk.kind == "sqlite"  # few orders of whole units: each settle comes twice

    def run(path: Path) -> None:
        world = pair.prepare(desk)
        units = [world.twice(unit) if repeats else unit for unit in pair.units(world)]
        with race.told():
            first, second = race.run(units, path)
            world.recount()
            world.run_on()
            world.check_end()
            pair.end(world, first, second)

    return run
