"""Options are described once: for help(), for the reference, for every key that is taken."""

from __future__ import annotations

import dataclasses
import inspect
import pydoc
from collections.abc import Iterable
from typing import Any

import pytest

from hammerflow import ConfigError, Hammerflow, SpawnConfig, Task, Workflow
from hammerflow.canvas.options import CALL_OPTIONS, CallOptions
from hammerflow.canvas.spawn import SPAWN_OPTIONS
from hammerflow.jobs.filters import JOB_FILTERS, WORKFLOW_FILTERS
from hammerflow.options.checks import duration
from hammerflow.options.option import Option, option_table
from hammerflow.results.pauses import (
    PAUSE_OPTIONS,
    RESUME_OPTIONS,
    PauseOptions,
    ResumeOptions,
)
from hammerflow.schedules.options import (
    DECORATOR_OPTIONS,
    SCHEDULE_OPTIONS,
    ScheduleOptions,
    TaskSchedule,
)
from hammerflow.settings import SETTINGS, Settings
from hammerflow.tasks.options import (
    OPTIONS,
    SPAWNER_OPTIONS,
    DeclaredOptions,
    SpawnerOptions,
    TaskOptions,
)
from hammerflow.workflows.options import BATCH_OPTIONS, NODE_OPTIONS, WORKFLOW_OPTIONS


def _parameters(function: Any, *others: str) -> list[str]:
    """The parameters of a function that are options; ``others`` are not."""
    left_out = {"self", *others}
    return [name for name in inspect.signature(function).parameters if name not in left_out]


@pytest.mark.parametrize(
    ("described", "taken"),
    [
        (OPTIONS, DeclaredOptions.__annotations__),
        ((*OPTIONS, *SPAWNER_OPTIONS), SpawnerOptions.__annotations__),
        (CALL_OPTIONS, CallOptions.__annotations__),
        (SCHEDULE_OPTIONS, ScheduleOptions.__annotations__),
        (DECORATOR_OPTIONS, {**ScheduleOptions.__annotations__, **TaskSchedule.__annotations__}),
        (SPAWN_OPTIONS, [field.name for field in dataclasses.fields(SpawnConfig)]),
        (SETTINGS, [f.name for f in dataclasses.fields(Settings) if f.name != "sources"]),
        (WORKFLOW_OPTIONS, _parameters(Workflow.__init__, "name", "submit")),
        (NODE_OPTIONS, _parameters(Workflow.add, "job")),
        (BATCH_OPTIONS, _parameters(Hammerflow.batch, "signatures")),
        (JOB_FILTERS, _parameters(Hammerflow.jobs)),
        (WORKFLOW_FILTERS, _parameters(Hammerflow.workflows)),
        (PAUSE_OPTIONS, {**ResumeOptions.__annotations__, **PauseOptions.__annotations__}),
        (RESUME_OPTIONS, ResumeOptions.__annotations__),
    ],
)
def test_every_option_that_is_taken_is_described_and_checked(
    described: tuple[Option, ...], taken: Iterable[str]
) -> None:
    assert sorted(option.name for option in described) == sorted(taken)
    for option in described:
        assert option.meaning.endswith(".") and option.type and option.default
        assert option.check.wanted in str(refused(option))


def refused(option: Option) -> ConfigError:
    """What an option says to a value that none of them takes."""
    with pytest.raises(ConfigError, match=f"^{option.name} must be ") as caught:
        option.check(object(), option.name)
    return caught.value


@pytest.mark.parametrize(
    ("subject", "options"),
    [
        (Hammerflow.task, OPTIONS),
        (Hammerflow.spawner, (*OPTIONS, *SPAWNER_OPTIONS)),
        (Hammerflow.signature, CALL_OPTIONS),
        (Task.options, CALL_OPTIONS),
        (Task.apply_async, CALL_OPTIONS),
        (SpawnConfig, SPAWN_OPTIONS),
        (Workflow, WORKFLOW_OPTIONS),
        (Hammerflow.batch, BATCH_OPTIONS),
        (Hammerflow.jobs, JOB_FILTERS),
        (Hammerflow.workflows, WORKFLOW_FILTERS),
        (Hammerflow.pause, PAUSE_OPTIONS),
        (Hammerflow.resume, RESUME_OPTIONS),
        (Hammerflow, SETTINGS),
        (Settings, SETTINGS),
    ],
)
def test_help_shows_every_option(subject: Any, options: tuple[Option, ...]) -> None:
    text = pydoc.render_doc(subject, renderer=pydoc.plaintext)

    for option in options:
        assert f"{option.name} ({option.type}" in text
        assert f"default {option.default})" in text
        assert option.meaning in text


@pytest.mark.parametrize(
    ("described", "holder"), [(OPTIONS, TaskOptions()), (SPAWN_OPTIONS, SpawnConfig())]
)
def test_described_defaults_are_those_that_hold(described: tuple[Option, ...], holder: Any) -> None:
    in_words = {"name", "backoff", "retry_on", "serializer", "retention", "keep_logs"}
    for option in described:
        if option.name not in in_words:
            held = getattr(holder, option.name)
            shown = f"{held:g}" if isinstance(held, float) else str(held)
            assert option.default.strip('"') == shown


def test_described_settings_have_the_defaults_of_the_fields() -> None:
    for option in SETTINGS:
        held = getattr(Settings(), option.name)
        shown = f"{held:.10g}" if isinstance(held, float) else str(held)
        if option.name != "database":  # its path is absolute
            assert option.default.strip('"') in (shown, "the app's name", "names of secrets")


def test_the_table_for_the_reference_has_a_row_for_each_option() -> None:
    option = Option("timeout", duration(most=60), "None", "Running time.")

    assert option_table([option]).splitlines() == [
        "| Option | Type | Accepted | Default | Meaning |",
        "|---|---|---|---|---|",
        "| `timeout` | float \\| timedelta (seconds) | 0 to 60 | `None` | Running time. |",
    ]
