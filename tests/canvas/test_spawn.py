"""SpawnConfig: what it takes and what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hammerflow.canvas.spawn import SpawnConfig
from hammerflow.errors import ConfigError


def test_its_names_are_its_fields() -> None:
    assert SpawnConfig.names() == {field.name for field in dataclasses.fields(SpawnConfig)}
    assert {"handler", "max_spawn_count", "inherit_priority", "inherit_queue"} < SpawnConfig.names()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_spawn_count": -1}, "max_spawn_count must be a whole number from 0"),
        ({"max_spawn_count": "many"}, "max_spawn_count must be a whole number"),
        ({"max_spawn_count": 1.5}, "not 1.5"),
        ({"max_depth": 0}, "max_depth must be a whole number from 1"),
        ({"max_depth": True}, "not True"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1"),
    ],
)
def test_impossible_limits_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SpawnConfig(**wrong)


def test_no_children_is_a_limit_too() -> None:
    assert SpawnConfig(max_spawn_count=0, batch_size=None).max_spawn_count == 0
