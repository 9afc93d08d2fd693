"""The command that runs the suite on other versions: which tests it selects, and what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.proof.versions.__main__ import selections
from tests.proof.versions.roots import NEWEST


@pytest.mark.parametrize(
    ("given", "second"),
    [
        ("", "not sqlite and not postgres"),
        ("claim or settle", "(claim or settle) and not sqlite and not postgres"),
    ],
)
def test_the_second_root_keeps_the_selection_that_was_given(given: str, second: str) -> None:
    assert selections(given) == (given, second)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gets as far as this")
@pytest.mark.parametrize(("tool", "made"), [("apt-get", False), ("unshare", True)])
def test_a_missing_tool_is_named_in_one_sentence(tool: str, made: bool, tmp_path: Path) -> None:
    for root in [NEWEST.first, NEWEST.second] * made:
        (tmp_path / root.name).mkdir()
    command = [sys.executable, "-m", "tests.proof.versions", "newest", "--folder", str(tmp_path)]
    environ = {name: value for name, value in os.environ.items() if "HAMMERFLOW" not in name}
    environ["PATH"] = str(tmp_path)
    done = subprocess.run(
        command, capture_output=True, text=True, env=environ, timeout=60, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{tool} not found: ")
