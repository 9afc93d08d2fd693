"""``hammerflow schedule``: when a cron expression is due."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run


def test_it_says_when_a_cron_expression_is_due(run: Run) -> None:
    asked = ("schedule", "next", "30 2 * * *", "--tz", "Europe/Berlin", "--count", "2")
    after = ("--after", "2024-03-30 12:00")

    assert run(*asked, *after).out.splitlines() == [
        "every day at 02:30 (Europe/Berlin)",
        "2024-03-31T03:00:00.000+02:00",
        "2024-04-01T02:30:00.000+02:00",
    ]
    assert run(*asked, *after, "--json").json == {
        "cron": "30 2 * * *",
        "tz": "Europe/Berlin",
        "description": "every day at 02:30",
        "ticks": ["2024-03-31T01:00:00.000+00:00", "2024-04-01T00:30:00.000+00:00"],
    }


def test_time_has_an_end(run: Run) -> None:
    asked = run("schedule", "next", "0 0 29 2 *", "--after", "9998-12-31")
    assert asked.out == "on the 29th of February at 00:00 (UTC)\n"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("0 0 31 2 *",), "can never occur"),
        (("@daily", "--tz", "Mars/Base"), '"Europe/Berlin"'),
        (("@daily", "--after", "soon"), "a time since 1970"),
        (("@daily", "--after", "9999-12-31", "--tz", "Asia/Tokyo"), "a time since 1970"),
        (("@daily", "--count", "0"), "--count"),
    ],
)
def test_what_is_wrong_is_said(run: Run, wrong: tuple[str, ...], says: str) -> None:
    failed = run("schedule", "next", *wrong)
    assert failed.code in (1, 2)
    assert says in failed.err
