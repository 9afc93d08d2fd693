"""What mypy and pyright say of right and wrong calls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WRONG = HERE / "wrong.py"
MARKED = {
    number
    for number, line in enumerate(WRONG.read_text(encoding="utf-8").splitlines(), start=1)
    if "# wrong:" in line
}

#: A module of somebody who uses hammerflow.
USER = """from hammerflow import Hammerflow
app = Hammerflow("shop")
reveal_type(app)
"""

pytestmark = pytest.mark.slow


def test_mypy_refuses_exactly_the_wrong_lines() -> None:
    found = _mypy()

    assert [line for line in found if line[0] != WRONG.name] == []
    assert _numbers(found) == MARKED, found


def test_pyright_refuses_exactly_the_wrong_lines() -> None:
    found = _pyright()

    assert [line for line in found if line[0] != WRONG.name] == []
    assert _numbers(found) == MARKED, found


def test_an_editable_install_has_its_types(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    left_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "hammerflow", checkout / "hammerflow", ignore=left_out)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    venv.create(tmp_path / "venv")
    python = str(tmp_path / "venv" / "bin" / "python")
    (tmp_path / "user.py").write_text(USER)
    place: Any = {"cwd": tmp_path, "capture_output": True, "text": True}
    place["env"] = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps"]
    done = subprocess.run([*pip, "-e", str(checkout)], check=False, **place)
    if "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("the build needs setuptools from the package index")
    assert done.returncode == 0, done.stderr
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file="]
    run = subprocess.run([*mypy, "--python-executable", python, "user.py"], check=False, **place)
    assert 'user.py:3: note: Revealed type is "hammerflow.app.Hammerflow"' in run.stdout
    assert "Success" in run.stdout


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
    files = [str(HERE / "ok.py"), str(HERE / "matrix.py"), str(WRONG)]
    command = [sys.executable, "-m", checker, *options, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, f"{checker} said nothing but:\n{done.stderr}"
    return done.stdout
