"""``hammerflow limit``: list, set and remove on each database."""

from __future__ import annotations

import pytest

from hammerflow import Hammerflow
from tests.cli.conftest import Run, claim


def test_a_limit_is_set_listed_and_removed(run: Run, shop: Hammerflow) -> None:
    add = shop.tasks["shop.add"]
    for _ in range(3):
        add.delay(1, 2)
    empty = run("limit", "list")

    given = run("limit", "set", "task:shop.add", "--max", "2", "--rate", "6/m burst 2")
    claimed = claim(shop)
    (listed,) = run("limit", "list", "--json").json
    table = run("limit", "list").out.splitlines()
    removed = run("limit", "remove", "task:shop.add", "--json")

    assert empty.out == "there are no limits\n"
    assert given.out == "task:shop.add: 6/m burst 2, 2 at a time\n"
    assert len(claimed) == 2
    assert (listed["running"], listed["waiting"], listed["max"]) == (2, 1, 2)
    assert 9 < listed["next_start"] <= 10
    assert table[1].split()[:2] == ["task:shop.add", "6/m"] and "set by" in table[1]
    assert "when one ends" in table[1]
    assert removed.json == {"target": "task:shop.add", "rate": None, "max": None}
    assert len(claim(shop)) == 1


def test_a_limit_of_none_never_starts_a_job(run: Run, shop: Hammerflow) -> None:
    shop.tasks["shop.add"].delay(1, 2)
    run("limit", "set", "task:shop.add", "--max", "0")
    assert "never" in run("limit", "list").out


def test_limits_of_one_target_are_listed(run: Run, shop: Hammerflow) -> None:
    for target in ("task:shop.add", "queue:default"):
        assert run("limit", "set", target, "--max", "2").code == 0

    def listed(*chosen: str) -> list[str]:
        return [limit["target"] for limit in run("limit", "list", *chosen, "--json").json]

    assert listed("--task", "shop.add") == ["task:shop.add"]
    assert listed("--queue", "default") == ["queue:default"] and listed("--queue", "q") == []
    assert sorted(listed("--queue", "default", "--task", "shop.add")) == sorted(listed())


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("limit set task:shop.ad --max 2", "there is no task 'shop.ad': did you mean shop.add"),
        ("limit set queue:defalt --max 2", "there is no queue 'defalt': did you mean default?"),
        ("limit set shop.add --max 2", "task:NAME, queue:NAME or batch:ID"),
        ("limit set task:shop.add", "give --rate, --max or both"),
        ("limit set task:shop.add --rate often", 'a rate such as "100/m"'),
        ("limit remove task:shop.add", "no limit was set for task:shop.add"),
    ],
)
def test_what_limits_nothing_is_refused(
    run: Run, embedded_shop: Hammerflow, command: str, advice: str
) -> None:
    embedded_shop.tasks["shop.add"].delay(1, 2)

    ended = run(*command.split())

    assert ended.code != 0
    assert advice in ended.err
    assert embedded_shop.store.limits.list() == []
