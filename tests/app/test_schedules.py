"""Schedules in the code of an app: decorators, definitions and what they refuse."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hammerflow import ConfigError, Hammerflow, UniqueKey, Workflow, crontab, current_job
from hammerflow.enqueue.job_factory import JobFactory
from hammerflow.enqueue.schedule_edits import edited_call
from hammerflow.schedules.definition import Ticks, read_definition
from hammerflow.testing import drain

MINUTE = timedelta(minutes=1)
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
local = datetime.fromisoformat


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Hammerflow]:
    app = Hammerflow("shop", database=f"sqlite:///{tmp_path / 'shop.db'}")
    yield app
    app.close()


def definition(app: Hammerflow, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(app.schedules.definitions()[name])
    return found


def test_decorators_go_above_and_below(app: Hammerflow) -> None:
    @app.cron("0 2 * * *", tz="Europe/Berlin", overlap="skip")
    @app.task(name="above")
    def above() -> None: ...

    @app.task(name="below")
    @app.every(MINUTE, name="often", jitter=timedelta(seconds=5), args=(1,))
    def below(x: int) -> None: ...

    assert sorted(app.schedules.definitions()) == ["above", "often"]
    found = definition(app, "above")
    assert (found["cron"], found["tz"], found["overlap"]) == ("0 2 * * *", "Europe/Berlin", "skip")
    found = definition(app, "often")
    assert (found["every"], found["jitter"], found["summary"]) == (60.0, 5.0, "below(1)")
    assert above() is None and below.name == "below"


def test_h_takes_the_name_of_the_task(app: Hammerflow) -> None:
    @app.cron("H H * * *")
    @app.task(name="spread")
    def spread() -> None: ...

    assert definition(app, "spread")["cron"] == "H H * * *"


def test_a_definition_is_the_same_in_every_process(tmp_path: Path) -> None:
    """Workers with the same code compare equal, whatever ids their canvases were given."""

    def declared() -> dict[str, str]:
        app = Hammerflow("shop", database=f"sqlite:///{tmp_path / 'shop.db'}")

        @app.task(name="add")
        def add(x: int, y: int) -> int:
            return x + y

        app.schedule("chain", MINUTE, add.s(1, 2) | add.s(3))
        flow = Workflow("flow")
        flow.add(add.s(1, 2), name="a")
        flow.add(add.s(3, 4).depends_on("a"), name="b")
        app.schedule("flow", "@daily", flow)
        app.schedule("batch", "@daily", app.batch([add.s(n, n) for n in range(3)]))
        return dict(app.schedules.definitions())

    assert declared() == declared()


def test_each_tick_enqueues_a_workflow(app: Hammerflow) -> None:
    seen: list[Any] = []

    @app.task(name="add")
    def add(x: int, y: int) -> int:
        seen.append((x, y, current_job().headers["schedule"]))
        return x + y

    app.schedule("chain", MINUTE, add.s(1, 2) | add.s(10))
    app.schedule("batch", MINUTE, app.batch([add.s(n, n) for n in range(2)], then=None))
    schedules = app.store.schedules
    schedules.declare("shop", 1, app.schedules.definitions(), lambda _: False)
    runs = [schedules.run_now("chain")[0], schedules.run_now("chain")[0]]
    runs.append(schedules.run_now("batch")[0])
    assert len(set(runs)) == 3
    drain(app)
    chained = [(1, 2, "chain"), (3, 10, "chain")]
    assert sorted(seen) == sorted([*chained, *chained, (0, 0, "batch"), (1, 1, "batch")])
    results = [app.workflow_result(uuid.UUID(bytes=run)) for run in runs]
    assert {str(result.row().state.status) for result in results} == {"completed"}


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda app, t: app.schedule("s", "61 * * * *", t.s(1)), "not a cron expression"),
        (lambda app, t: app.schedule("s", 5, t.s(1)), "a cron expression, a timedelta or"),
        (lambda app, t: app.schedule("s", timedelta(0), t.s(1)), "more than 0"),
        (lambda app, t: app.schedule("s", timedelta(seconds=0.5), t.s(1)), "1 second or more"),
        (lambda app, t: app.schedule("", "@daily", t.s(1)), "schedule's name"),
        (lambda app, t: app.schedule("s", "@daily", t.s()), "missing"),
        (lambda app, t: app.schedule("s", "@daily", 3), "a signature"),
        (lambda app, t: app.schedule("s", "@daily", t.s(1), misfire="never"), "skip, once, all"),
        (lambda app, t: app.schedule("s", "@daily", t.s(1), mifsire="once"), "you mean misfire"),
        (lambda app, t: app.schedule("s", "@daily", t.s(1), tz="Mars/Base"), "Europe/Berlin"),
        (lambda app, t: app.schedule("s", "@daily", t.s(1), after="s"), "after itself"),
        (lambda app, t: app.schedule("s", "@daily", t.s(1).set(eta=JANUARY)), "fixed time"),
        (lambda app, t: app.schedule("s", "@daily", t.s(1), start=JANUARY + MINUTE,
                                     end=JANUARY), "end must be later"),
        (lambda app, t: app.schedule("s", "@daily", t.s(1), start=JANUARY + MINUTE,
                                     end=JANUARY + 2 * MINUTE),
         "s is never due between .*:01:00.000.* and its end: change when, start or end"),
        (lambda app, t: app.cron("30 2 * * *", tz="Europe/Berlin", args=[1], name="s",
                                 start=local("2026-03-29 03:01"),
                                 end=local("2026-03-30 02:29"))(t), "never due between"),
        (lambda app, t: app.schedule("s", "0 0 29 2 *", t.s(1), start=local("2096-03-01"),
                                     end=local("2104-02-28")), "never due between"),
        (lambda app, t: app.schedule("s", "@yearly", t.s(1), start=local("9999-12-30")),
         "never due after its start"),
        (lambda app, t: app.cron(MINUTE), "takes a cron expression"),
        (lambda app, t: app.every("* * * * *"), "takes a timedelta"),
        (lambda app, t: app.cron("@daily")(3), "takes a task or a function"),
        (lambda app, t: app.cron("@daily")(t), "missing"),
        (lambda app, t: crontab(day_of_month=1, day_of_week="mon"), "give one of them"),
        (lambda app, t: crontab(minute=1.5), "minute must be text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_where_it_is_given(
    app: Hammerflow, declare: Callable[[Hammerflow, Any], None], says: str
) -> None:
    @app.task(name="t")
    def t(x: int) -> None: ...

    with pytest.raises((ConfigError, TypeError), match=says):
        declare(app, t)


@pytest.mark.parametrize(
    "options",
    [
        {"end": JANUARY},  # a deploy after the end of a schedule finds it over
        {"start": JANUARY, "end": JANUARY + MINUTE},  # its start is a tick
        {"start": JANUARY - MINUTE, "end": JANUARY},  # and so is its end
        {"tz": "Europe/Berlin", "start": local("2026-01-01"), "end": local("2026-01-01") + MINUTE},
    ],
)
def test_one_tick_between_start_and_end_is_enough(app: Hammerflow, options: dict[str, Any]) -> None:
    @app.task(name="t")
    def t() -> None: ...

    app.schedule("cron", "@daily", t.s(), **options)
    app.schedule("interval", timedelta(days=9), t.s(), start=JANUARY, end=JANUARY + MINUTE)


def test_two_schedules_cannot_have_one_name(app: Hammerflow) -> None:
    @app.task(name="t")
    def t() -> None: ...

    app.schedule("s", "@daily", t.s())
    app.schedule("s", "@daily", t.s())  # a module that is imported twice
    with pytest.raises(ConfigError, match="declared already"):
        app.schedule("s", "@hourly", t.s())


def test_schedules_of_the_code_cannot_come_after_themselves(app: Hammerflow) -> None:
    @app.task(name="t")
    def t() -> None: ...

    app.schedule("a", "@daily", t.s(), after="c")
    app.schedule("b", "@daily", t.s(), after="a")
    with pytest.raises(ConfigError, match=r"c: it cannot come after itself \(b after a after"):
        app.schedule("c", "@daily", t.s(), after="b")


def test_edited_arguments_keep_the_limit_and_the_unique_key_in_step(app: Hammerflow) -> None:
    """What follows from the arguments follows from the new ones; a rule of the call's own, which
    its row does not hold, is refused."""

    @app.task(name="t", max_concurrency=1, limit_key="{x}", fair_by="{x}", unique=UniqueKey("x"))
    def t(x: int, y: int = 0) -> None: ...

    app.schedule("s", MINUTE, t.s(1).set(priority=4))
    app.schedule("own", MINUTE, t.s(1).set(unique=UniqueKey("y")))
    app.schedule("chain", MINUTE, t.si(1) | t.si(2))
    app.schedule("map", MINUTE, app.signature("t", [[[1]]]).set(unique_key="k"))

    def edited(name: str, **given: Any) -> Any:
        held = read_definition(app.schedules.definitions()[name], None, name)
        factory = JobFactory(app.tasks, app.codec)
        edit = {"job": edited_call(name, held, factory, app.codec, **given)}
        return read_definition(app.schedules.definitions()[name], json.dumps(edit), name)

    found = edited("s", args=[2])
    job, plain = found.call.job, app.new_job(t.s(2))
    assert (job.args, job.limit_id, job.limit_key) == (plain.args, plain.limit_id, "2")
    assert job.fair_key == "2"
    assert (job.unique, job.unique_key) == (plain.unique, plain.unique_key)
    assert job.priority == 4 and found.summary == "t(2)"
    with pytest.raises(ConfigError, match="a unique rule of its own"):
        edited("own", args=[2])
    with pytest.raises(ConfigError, match="enqueues several jobs"):
        edited("chain", args=[2])
    assert edited("map", args=[2]).call.job.unique_key == "k"


def test_an_edited_call_ends_with_its_task(app: Hammerflow) -> None:
    """Once the code calls another task, that one's arguments hold."""

    @app.task(name="t")
    def t(x: int) -> None: ...

    @app.task(name="u")
    def u(y: str) -> None: ...

    app.schedule("s", MINUTE, t.s(1))
    app.schedule("changed", MINUTE, u.s("a"))
    held = read_definition(app.schedules.definitions()["s"], None, "s")
    edit = edited_call("s", held, JobFactory(app.tasks, app.codec), app.codec, args=[2])
    code = app.schedules.definitions()["changed"]
    found = read_definition(code, json.dumps({"job": edit}), "s")
    assert found.summary == "u('a')" and found.call == read_definition(code, None, "s").call


def test_a_function_with_a_schedule_must_become_a_task(app: Hammerflow) -> None:
    @app.cron("@daily")
    def forgotten() -> None: ...

    with pytest.raises(ConfigError, match="forgotten has a schedule and never became a task"):
        app.schedules.definitions()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (crontab(), "* * * * *"),
        (crontab(minute=0, hour={7, 19}), "0 19,7 * * *"),
        (crontab(minute="*/15", day_of_week="mon-fri"), "*/15 * * * mon-fri"),
        (crontab(0, 0, day_of_month="1, 15", month_of_year=[1, 7]), "0 0 1,15 1,7 *"),
    ],
)
def test_crontab_has_the_keywords_of_celery(given: crontab, text: str) -> None:
    assert str(given) == text


def ticks(start: str | None = None, end: str | None = None, **given: Any) -> Ticks:
    plain = {"call": {"jobs": [{"id": "01", "task": "t", "queue": "q"}]}, "summary": "t()", **given}
    plain |= {name: at for name, at in (("start", start), ("end", end)) if at is not None}
    anchor = JANUARY
    return Ticks("s", read_definition(json.dumps(plain), None, "s"), anchor)


def test_start_and_end_bound_the_ticks() -> None:
    found = ticks(cron="0 0 * * *", start="2026-01-10T00:00+00:00", end="2026-01-12T00:00+00:00")
    days = [tick.day for tick in found.after(JANUARY)]
    assert days == [10, 11, 12]
    assert found.next_after(datetime(2026, 1, 12, tzinfo=UTC)) is None
    assert found.last_before(datetime(2026, 1, 10, tzinfo=UTC)) is None
    assert found.last_before(datetime(2027, 1, 1, tzinfo=UTC)) == datetime(2026, 1, 12, tzinfo=UTC)
    begun = ticks(every=900.0, start="2026-01-10T00:05+00:00")
    assert begun.next_after(JANUARY) == datetime(2026, 1, 10, 0, 5, tzinfo=UTC)


def test_an_interval_counts_from_its_anchor() -> None:
    """T4, E6: strictly later, and last_before agrees."""
    found = ticks(every=90.0)
    instant = datetime(2026, 3, 29, 0, 59, 59, 999_999, tzinfo=UTC)
    for _ in range(50):
        following = found.next_after(instant)
        assert following is not None and following > instant
        assert (following - JANUARY) % timedelta(seconds=90) == timedelta()
        before = found.last_before(following)
        assert before is not None and before <= instant
        assert found.next_after(before) == following
        instant = following
