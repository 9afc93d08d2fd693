"""Cron: what expressions are taken, and when they are due."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hammerflow.errors import ConfigError
from hammerflow.schedules.cron import Cron
from hammerflow.schedules.crontab import crontab
from hammerflow.schedules.description import description
from tests.schedules.oracle import (
    EXPRESSIONS,
    differences,
    is_of_whole_minutes,
    transitions,
    zones,
)

MINUTE = timedelta(minutes=1)


def ticks(expression: str, tz: str, after: str, count: int) -> list[str]:
    """The next ticks in local time; ``after`` is local, too, and in the first pass."""
    cron, found = Cron.parse(expression, tz), []
    instant = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(tz))
    for _ in range(count):
        following = cron.next_after(instant)
        assert following is not None
        instant = following
        found.append(instant.astimezone(ZoneInfo(tz)).isoformat(timespec="minutes"))
    return found


@pytest.mark.parametrize(
    ("expression", "tz", "after", "expected"),
    [
        ("4 16 * * *", "America/New_York", "2025-03-08T12:00",
         ["2025-03-08T16:04-05:00", "2025-03-09T16:04-04:00", "2025-03-10T16:04-04:00"]),
        ("4 16 * * *", "America/New_York", "2025-11-01T12:00",
         ["2025-11-01T16:04-04:00", "2025-11-02T16:04-05:00", "2025-11-03T16:04-05:00"]),
        ("0 * * * *", "US/Pacific", "2026-11-01T00:30",
         ["2026-11-01T01:00-07:00", "2026-11-01T01:00-08:00", "2026-11-01T02:00-08:00"]),
        ("30 2 * * *", "Europe/Berlin", "2024-03-30T12:00",
         ["2024-03-31T03:00+02:00", "2024-04-01T02:30+02:00"]),
        ("30 2 * * *", "Europe/Berlin", "2024-03-31T03:00", ["2024-04-01T02:30+02:00"]),
        ("*/15 2 * * *", "Europe/Berlin", "2024-03-30T12:00",
         ["2024-03-31T03:00+02:00", "2024-04-01T02:00+02:00"]),
        ("0 2,3 * * *", "Europe/Berlin", "2024-03-30T12:00",
         ["2024-03-31T03:00+02:00", "2024-04-01T02:00+02:00"]),
        ("30 1-3 * * *", "Europe/Berlin", "2024-03-31T00:00",
         ["2024-03-31T01:30+01:00", "2024-03-31T03:00+02:00", "2024-03-31T03:30+02:00"]),
        ("30 0-23 * * *", "Europe/Berlin", "2024-03-31T01:00",
         ["2024-03-31T01:30+01:00", "2024-03-31T03:30+02:00"]),
        ("30 2 * * *", "Europe/Berlin", "2024-10-27T00:00",
         ["2024-10-27T02:30+02:00", "2024-10-28T02:30+01:00"]),
        ("0 */2 * * *", "Europe/Berlin", "2024-10-27T01:00",
         ["2024-10-27T02:00+02:00", "2024-10-27T04:00+01:00"]),
        ("30 * * * *", "Europe/Berlin", "2024-10-27T02:00",
         ["2024-10-27T02:30+02:00", "2024-10-27T02:30+01:00", "2024-10-27T03:30+01:00"]),
        ("0 7,9 * * *", "America/Los_Angeles", "2020-03-08T00:00",
         ["2020-03-08T07:00-07:00", "2020-03-08T09:00-07:00"]),
        ("20 */4 * * *", "America/Los_Angeles", "2023-03-12T00:00",
         ["2023-03-12T00:20-08:00", "2023-03-12T04:20-07:00", "2023-03-12T08:20-07:00"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2024-10-05T12:00",
         ["2024-10-06T02:30+11:00", "2024-10-07T02:15+11:00"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2024-04-06T12:00",
         ["2024-04-07T01:45+11:00", "2024-04-08T01:45+10:30"]),
        ("0 0 * * *", "America/Santiago", "2024-09-07T12:00",
         ["2024-09-08T01:00-03:00", "2024-09-09T00:00-03:00"]),
        ("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00",
         ["2011-12-29T12:00-10:00", "2011-12-31T00:00+14:00", "2011-12-31T12:00+14:00"]),
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00", ["2104-02-29T00:00+00:00"]),
        ("0 0 * 2 1#5", "UTC", "2026-01-01T00:00",
         ["2044-02-29T00:00+00:00", "2072-02-29T00:00+00:00"]),
        ("0 0 13 * 5", "UTC", "2024-01-01T00:00",
         ["2024-01-05T00:00+00:00", "2024-01-12T00:00+00:00", "2024-01-13T00:00+00:00"]),
        ("0 9-9 * * *", "UTC", "2024-01-01T00:00",
         ["2024-01-01T09:00+00:00", "2024-01-02T09:00+00:00"]),
        ("0 0 * * mon-MON", "UTC", "2024-01-01T00:00", ["2024-01-08T00:00+00:00"]),
        ("0 22-2 * * *", "UTC", "2024-01-01T01:30",
         ["2024-01-01T02:00+00:00", "2024-01-01T22:00+00:00"]),
        ("0 0 31W * *", "UTC", "2024-02-01T00:00",
         ["2024-02-29T00:00+00:00", "2024-03-29T00:00+00:00"]),
        (" 0\t2 * *\n* ", "UTC", "2024-01-01T00:00", ["2024-01-01T02:00+00:00"]),
    ],
)  # fmt: skip
def test_when_it_is_due(expression: str, tz: str, after: str, expected: list[str]) -> None:
    assert ticks(expression, tz, after, len(expected)) == expected


def test_the_first_of_six_fields_are_the_seconds() -> None:
    cron = Cron.parse("*/15 0 2 * * *", "UTC")
    tick = cron.next_after(datetime(2024, 1, 1, 2, 0, 15, tzinfo=UTC))
    assert tick == datetime(2024, 1, 1, 2, 0, 30, tzinfo=UTC)
    assert description(cron) == "every 15 seconds in minute 0 from 02:00 to 02:59"


def test_a_day_of_change_has_the_ticks_of_its_hours() -> None:
    cron = Cron.parse("*/5 * * * *", "Europe/Berlin")
    for month, day, hours in ((10, 27, 25), (3, 31, 23)):
        begin = datetime(2024, month, day, tzinfo=cron.zone)
        tick: datetime | None = begin - MINUTE
        end, count = begin + timedelta(days=1), 0
        while tick is not None and (tick := cron.next_after(tick)) is not None and tick < end:
            count += 1
        assert count == hours * 12


def test_the_next_tick_is_always_later() -> None:
    """In the second pass of a repeated half hour, where others found the tick itself."""
    instant = datetime(2017, 10, 29, 1, 45, tzinfo=UTC)
    cron = Cron.parse("30 * * * *", "Europe/Helsinki")
    assert cron.next_after(instant) == datetime(2017, 10, 29, 2, 30, tzinfo=UTC)


def test_the_zone_of_the_start_counts_for_nothing() -> None:
    cron, start = Cron.parse("30 2 * * *", "Europe/Berlin"), datetime(2024, 3, 30, 12, tzinfo=UTC)
    found = {
        cron.next_after(start.astimezone(ZoneInfo(tz)))
        for tz in ("UTC", "Asia/Tokyo", "US/Pacific")
    }
    assert found == {datetime(2024, 3, 31, 1, tzinfo=UTC)}


@pytest.fixture(scope="module")
def changes() -> list[tuple[str, datetime]]:
    """Some changes of some zones, others in each run."""
    found: list[tuple[str, datetime]] = []
    while len(found) < 6:
        name = random.choice(zones())
        year = random.randint(1975, 2035)
        known = [
            each
            for each in transitions(ZoneInfo(name), year, year)
            if is_of_whole_minutes(each, name)
        ]
        found += [(name, change) for change in known[:1]]
    return found


def test_it_equals_a_slow_oracle_around_changes(changes: list[tuple[str, datetime]]) -> None:
    for name, change in changes:
        for expression in EXPRESSIONS:
            assert differences(name, change, expression) == [], (name, change, expression)


@pytest.mark.parametrize("expression", ["30 2 * * *", "*/7 * * * *", "0 0 29 2 *", "5 */3 * * 1"])
def test_previous_and_next_agree(expression: str, changes: list[tuple[str, datetime]]) -> None:
    for name, change in changes:
        cron = Cron.parse(expression, name)
        instant = change - timedelta(hours=5, seconds=random.randrange(7200), microseconds=1)
        for _ in range(3):
            tick = cron.next_after(instant)
            assert tick is not None and tick > instant and cron.is_tick(tick), (name, instant)
            assert not cron.is_tick(tick + timedelta(seconds=1))
            before = cron.previous_before(tick)
            assert before is not None and before <= instant and cron.is_tick(before), (
                name,
                instant,
            )
            assert cron.next_after(before) == tick
            instant = tick


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        (None, "must be text such as"), (5, "must be text"), (b"* * * * *", "must be text"),
        (["*"] * 5, "must be text"),
        ("", "has 0 fields"), ("* * * *", "has 4 fields, not five"), ("* * * * * * *", "7 fields"),
        ("60 * * * *", "the minute '60' is out of range"),
        ("0 a * * *", "not a cron expression: the hour 'a' cannot be read"),
        ("0 0 31 2 *", "can never occur"), ("0 0 31 4,6,9,11 *", "can never occur"),
        ("*/90 * * * *", "use a timedelta"), ("0 */25 * * *", "use a timedelta"),
        ("0-59/999 * * * *", "use a timedelta"), ("*/0 * * * *", "use a timedelta"),
        ("0 0 13 * L5", "two schedules"), ("0 0 1 * 5#1", "two schedules"),
        ("0 0 * * 5L", "write L5"), ("R R * * *", "use H"), ("H H * * *", "schedule with a name"),
        ("0 0 LW * *", "not a cron expression"), ("0 0 * * SUNDAY", "not a cron expression"),
        ("0 0 * * 5#6", "not a cron expression"), ("@reboot", "@daily"), ("@every 5m", "timedelta"),
        ("1" * 5000, "too long"), ("0 0 1 1 99999", "too long"),
        ("0," * 10_000 + "0 * * * *", "too long"),
        ("\0 * * * *", "not a cron expression"), ("\ud800 * * * *", "not a cron expression"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused_in_a_sentence(expression: object, says: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ConfigError) as error:
        Cron.parse(expression)
    assert says in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "tz",
    ["Mars/Base", "", None, 3, "../etc/passwd", "\0", "Europe/" * 99, "localtime", "right/UTC"],
)
def test_a_zone_must_exist(tz: object) -> None:
    with pytest.raises(ConfigError, match='"Europe/Berlin"'):
        Cron.parse("@daily", tz)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"day_of_week": "Sunday"}, "* * * * Sun"),
        ({"day_of_week": "monday-friday,sun"}, "* * * * mon-fri,sun"),
        ({"day_of_week": ["saturday", 0], "hour": 3}, "* 3 * * 0,sat"),
        ({"month_of_year": "january-march/2,may"}, "* * * jan-mar/2,may *"),
        ({"minute": range(0, 60, 20)}, "0,20,40 * * * *"),
    ],
)
def test_names_and_numbers_of_celery_are_taken(fields: Any, text: str) -> None:
    assert str(crontab(**fields)) == text
    assert Cron.parse(text)


def test_h_follows_from_the_name_of_the_schedule() -> None:
    first, again, other = (Cron.parse("H H * * *", name=name) for name in ("a", "a", "b"))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert first.next_after(now) == again.next_after(now) != other.next_after(now)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 8 * * 1-5", "weekdays at 08:00"),
        ("0 2 * * *", "every day at 02:00"),
        ("*/5 * * * *", "every 5 minutes"),
        ("*/7 * * * *", "in minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56"),
        ("@hourly", "every hour"),
        ("30 */2 * * *", "every 2 hours, 30 min past"),
        ("@monthly", "on the 1st of the month at 00:00"),
        ("0 0 1,22 * *", "on the 1st and 22nd of the month at 00:00"),
        ("0 0 13 * 5", "on the 13th of the month or Fridays at 00:00"),
        ("0 9 * * fri#2", "on the second Friday of the month at 09:00"),
        ("0 9 * * L5", "on the last Friday of the month at 09:00"),
        ("0 9 L * *", "on the last day of the month at 09:00"),
        ("0 9 15W * *", "on the weekday nearest the 15th at 09:00"),
        ("*/15 9-17 * * 1-5", "every 15 minutes from 09:00 to 17:59, weekdays"),
        ("@yearly", "on the 1st of January at 00:00"),
        ("0,30 8 * * 0,6", "weekends at 08:00 and 08:30"),
        ("* * * * * *", "every second"),
        ("5 4 * 1-2 sun", "Sundays in January and February at 04:05"),
        ("15 30 9 * * *", "every day at 09:30:15"),
    ],
)
def test_it_is_said_in_words(expression: str, expected: str) -> None:
    assert description(Cron.parse(expression)) == expected
