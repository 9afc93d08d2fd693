"""Each seeded bug still applies to the code, its tests exist, and the documents list it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proof.seeded.__main__ import ROOT, apply, bugs, head, row

_PAGE = (ROOT / "docs/internals/reliability.md").read_text()


@pytest.mark.parametrize("patch", bugs(), ids=lambda patch: patch.stem)
def test_a_seeded_bug_still_applies(patch: Path) -> None:
    apply(patch, ROOT, only_check=True)
    assert head(patch).what
    assert all((ROOT / "tests" / test).exists() for test in head(patch).tests)


@pytest.mark.parametrize("patch", bugs(), ids=lambda patch: patch.stem)
def test_the_page_on_reliability_lists_the_bug(patch: Path) -> None:
    assert row(head(patch)) in _PAGE
