"""What mypy and pyright say of right and wrong calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WRONG = HERE / "wrong.py"
MARKED = {
    number
    for number, line in enumerate(WRONG.read_text(encoding="utf-8").splitlines(), start=1)
    if "# wrong:" in line
}

pytestmark = pytest.mark.slow


def test_mypy_refuses_exactly_the_wrong_lines() -> None:
    found = _mypy()

    assert [line for line in found if line[0] == "ok.py"] == []
    assert _numbers(found) == MARKED, found


def test_pyright_refuses_exactly_the_wrong_lines() -> None:
    found = _pyright()

    assert [line for line in found if line[0] == "ok.py"] == []
    assert _numbers(found) == MARKED, found


def _numbers(found: list[tuple[str, int, str]]) -> set[int]:
    return {number for file, number, _ in found if file == "wrong.py"}


def _mypy() -> list[tuple[str, int, str]]:
    """File, line and message of each error in the examples."""
    text = _output(
        "mypy", "--strict", "--output=json", "--config-file=", "--ignore-missing-imports"
    )
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [
        (Path(entry["file"]).name, entry["line"], entry["message"])
        for entry in lines
        if entry["severity"] == "error" and Path(entry["file"]).parent.name == "typing"
    ]


def _pyright() -> list[tuple[str, int, str]]:
    """File, line and message of each error in the examples."""
    report = json.loads(_output("pyright", "--outputjson", "--pythonpath", sys.executable))
    return [
        (Path(entry["file"]).name, entry["range"]["start"]["line"] + 1, entry["message"])
        for entry in report["generalDiagnostics"]
        if entry["severity"] == "error"
    ]


def _output(checker: str, *options: str) -> str:
    files = [str(HERE / "ok.py"), str(WRONG)]
    command = [sys.executable, "-m", checker, *options, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, f"{checker} said nothing but:\n{done.stderr}"
    return done.stdout
