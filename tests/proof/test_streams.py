"""CI's share of the streams: a few seconds of faults between a SQLite file and four endpoints."""

from __future__ import annotations

import random

import pytest

from tests.proof.streams.__main__ import ENDPOINTS, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_every_endpoint_gets_every_event() -> None:
    """The output tells the seed, and what was broken."""
    seed = random.SystemRandom().randrange(10**6)
    small = {*ENDPOINTS} - {"kinesis", "pubsub"}  # the drivers of the others are large
    assert run("sqlite", seconds=3, seed=seed, pause=0.2, rate=2, workers=1, only=small) == 0
