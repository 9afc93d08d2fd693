"""The seeded bugs still apply to the code: ``python -m tests.proof.seeded`` means something."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proof.seeded.__main__ import ROOT, apply, bugs, head


@pytest.mark.parametrize("patch", bugs(), ids=lambda patch: patch.stem)
def test_a_seeded_bug_still_applies(patch: Path) -> None:
    apply(patch, ROOT, only_check=True)
    what, tests, _ = head(patch)
    assert what
    assert all((ROOT / "tests" / test).exists() for test in tests)
