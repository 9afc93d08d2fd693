"""Every example runs as its docstring says: a worker in one process, the script in another."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import HAMMERFLOW, environment

EXAMPLES = Path(__file__).parents[1] / "examples"

#: What each prints; ``...`` stands for anything on a line.
PRINTED = {
    "hello": "enqueued ...\n2 + 3 = 5\n",
    "spawner": (
        "12 files, from geyser-128.jpg to puffin-2048.jpg\n"
        "states: {'completed': 12}\n"
        "as a tree: hammerflow -A spawner:app spawn tree ...\n"
    ),
    "fan_in": "most frequent: [('the', 5), ('hammer', 2), ('iron', 2)]\n",
    "async_tasks": "sum of squares: 40425\nat the same time: True\n",
    "transactions": (
        "order 2 was refused: this card is stolen\norder 1: charged\norders (id, paid): [(1, 1)]\n"
    ),
    "retries": (
        "download: content in attempt 3\n"
        "  attempt 1: builtins.ConnectionError: http://example.org does not answer\n"
        "  attempt 2: builtins.ConnectionError: http://example.org does not answer\n"
        "customer: imported Ada\n"
        "cancelled: a customer without a name\n"
        "failed: builtins.ValueError - invalid literal for int() with base 10: 'twelve'\n"
    ),
}


@pytest.fixture
def place(sqlite_url: str) -> dict[str, str]:
    """The environment of an example: its own database."""
    return {**environment(), "HAMMERFLOW_DATABASE_URL": sqlite_url}


@pytest.fixture
def worker(name: str, place: dict[str, str]) -> Iterator[None]:
    """A worker for the example, which ends well when it is asked to."""
    command = [*HAMMERFLOW, "-A", f"{name}:app", "worker", "-c", "2", "--grace", "5"]
    process = subprocess.Popen(command, cwd=EXAMPLES, env=place)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("name", sorted(PRINTED))
@pytest.mark.usefixtures("worker")
def test_an_example_prints_what_it_promises(name: str, place: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, f"{name}.py"],
        check=False, cwd=EXAMPLES, env=place, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert (ended.returncode, ended.stderr) == (0, "")
    pattern = re.escape(PRINTED[name]).replace(re.escape("..."), ".+")
    assert re.fullmatch(pattern, ended.stdout), ended.stdout


def test_no_example_is_left_out() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(PRINTED)
