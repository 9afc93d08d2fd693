"""CI's share of the streams: a few seconds of faults between a SQLite file and four endpoints."""

from __future__ import annotations

import random

import pytest

from tests.proof.streams.__main__ import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_every_endpoint_gets_every_event() -> None:
    """The output tells the seed, and what was broken."""
    seed = random.SystemRandom().randrange(10**6)
    assert run("sqlite", seconds=3, seed=seed, pause=0.2, rate=2, workers=1, has_clouds=False) == 0
