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
    "fan_out": (
        "readings: 10\n"
        "chunk 0: mean 12.75\nchunk 1: mean 19.75\nchunk 2: mean 8.75\n"
        "children without a handler: 0\n"
    ),
    "decomposition": (
        "etl_pipeline: extract orders, then transform rules, then load warehouse\n"
        "  in that order: True\n"
        "ml_training: preprocess features, then train forest, then validate test split\n"
        "  in that order: True\n"
        "refused: unknown workflow type: cooking\n"
    ),
    "etl": (
        "extracted: 3 rows\n"
        "loaded: 2 rows into dim_customers: +442079460001, 2165550199\n"
        "completed, 100.0 %\n"
    ),
    "regions": (
        "today: 10 orders, 750 in all, most in us-east\n"
        "parallel_processing\n"
        "us-east  completed\nus-west  completed\neu-west  completed\nap-south  completed\n"
        "└─ create_summary  completed  <- us-east, us-west, eu-west, ap-south\n"
    ),
    "fan_out_fan_in": "sum of squares: 333833500\npublished at the end of 7 jobs\n",
    "conditions": (
        "process_valid_data -> 6\n  skipped: 1 - workflow: completed\n"
        "handle_invalid_data -> quarantine: [-2]\n  skipped: 1 - workflow: completed\n"
    ),
    "failure_policies": (
        "fail_fast: failed\n"
        "  risky failed, dependent cancelled, slow cancelled, independent cancelled\n"
        "continue_on_failure: failed\n"
        "  risky failed, dependent skipped, slow completed, independent completed\n"
        "manual: paused; builtins.OSError: the disk is full\n"
        "after skip(): completed\n"
        "  risky skipped, dependent completed, slow completed, independent completed\n"
    ),
    "batch": (
        "['Dear ada,', 'Dear Grace,', None, 'Dear annie,']\n"
        "Dear ada, Dear Grace, (missing) Dear annie,\n"
        "completed, 80% well; ['builtins.ValueError: an empty letter']\n"
        "3 letters, 31 characters\n"
    ),
    "canvas": (
        "chain: 640\ngroup: [0, 2, 4, 6, 8]\nchord: 9900\nchunks: [[0, 2], [4, 6], [8, 10]]\n"
        "with |: 42\nerrback: division by zero\nreplaced: 3628800\n"
    ),
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
