"""Small scope, exhaustive: a spawner with two children, a join, and two workers in every order.

Each unit of a pair has a connection of its own. At each step the test chooses whose statement runs
next: every order in turn (HAMMERFLOW_TEST_INTERLEAVINGS=all), or that number of orders at random. A
statement that waits for a lock lets the other worker go on; a worker's settle may also give up on
it, once in each order, while the other holds the lock. After each order the test recounts the
counters and runs what is left; the outcome must be that of one unit after the other.
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

#: "all", or the number of random orders for each pair.
ORDERS = os.environ.get("HAMMERFLOW_TEST_INTERLEAVINGS", "4")


@pytest.fixture
def race(desk: Desk) -> Iterator[Race]:
    race = Race(desk)
    yield race
    race.close()


@pytest.mark.parametrize("name", PAIRS)
def test_every_order_of_two_units_ends_well(desk: Desk, race: Race, name: str) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown with a failure
    run = _runner(desk, race, PAIRS[name])
    all_orders = ORDERS == "all"
    if all_orders:
        run(Path())  # each store looks up the names that it does not know yet
    count = every_path(run) if all_orders else some_paths(run, int(ORDERS), f"{seed} {name}")

    counts = f"{count} orders, {race.retries} deadlocks, {race.lockouts} given up"
    sys.stdout.write(f"\n{desk.kind}: {name}: {counts}\n")
    if desk.kind == "postgres":  # MariaDB also locks the rows that it reads on its way
        assert race.retries == 0, "the two units take their locks in different orders"


def _runner(desk: Desk, race: Race, pair: Pair) -> Callable[[Path], None]:
    repeats = desk.kind == "sqlite"  # few orders of whole units: each settle comes twice

    def run(path: Path) -> None:
        world = pair.prepare(desk)
        units = [world.twice(unit) if repeats else unit for unit in pair.units(world)]
        with race.told():
            first, second = race.run(units, path)
            if path.is_redundant:
                return
            world.recount()
            world.run_on()
            world.check_end()
            pair.end(world, first, second)

    return run
