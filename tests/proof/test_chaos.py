"""CI's share of chaos: a few seconds of it on each database, every invariant checked."""

from __future__ import annotations

import random

import pytest

from tests.proof.chaos.__main__ import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_chaos(database_kind: str) -> None:
    """The output tells the seed, and what was broken."""
    redis = "off" if database_kind == "sqlite" else "proxy"
    seed = random.SystemRandom().randrange(10**6)
    assert run(database_kind, redis=redis, seconds=15, seed=seed, workers=3, rate=4) == 0
