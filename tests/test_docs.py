"""The how-tos do what they say: their code runs, and each ``# ->`` shows what is there."""

from __future__ import annotations

import ast
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Hammerflow
from hammerflow.testing import drain

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHOWN = "# -> "


class Worker:
    """Runs jobs beside the code of a page."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def settle(self, app: Hammerflow) -> None:
        """Run what is ready now; go on beside."""
        with self._lock:
            drain(app)
        if self._thread is None:
            self._thread = threading.Thread(target=self._go_on, args=(app,))
            self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _go_on(self, app: Hammerflow) -> None:
        while not self._stop.wait(0.01):
            with self._lock:
                drain(app)


@pytest.mark.parametrize("page", ["canvas", "spawning", "workflows"])
def test_the_code_of_a_page_does_what_it_says(
    page: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAMMERFLOW_DATABASE_URL", sqlite_url)
    text = (DOCS / "how-to" / f"{page}.md").read_text()
    scope: dict[str, Any] = {"__name__": "shop"}
    worker = Worker()
    shown = 0
    try:
        for block in BLOCK.findall(text):
            for statement, expected in statements(block):
                if expected is None:
                    exec(compile(ast.Module([statement], []), page, "exec"), scope)
                    continue
                assert isinstance(statement, ast.Expr)
                worker.settle(scope["app"])
                value = eval(compile(ast.Expression(statement.value), page, "eval"), scope)
                assert repr(value) == expected, ast.unparse(statement)
                shown += 1
    finally:
        worker.stop()
        scope["app"].close()
    assert shown == sum(block.count(SHOWN) for block in BLOCK.findall(text)) > 5


def statements(block: str) -> list[tuple[ast.stmt, str | None]]:
    """Each statement of a block, with what its last line shows."""
    lines = block.splitlines()
    found: list[tuple[ast.stmt, str | None]] = []
    for statement in ast.parse(block).body:
        _, mark, value = lines[(statement.end_lineno or 1) - 1].partition(SHOWN)
        found.append((statement, value.strip() if mark else None))
    return found


def test_every_page_that_is_named_is_there() -> None:
    for page in DOCS.rglob("*.md"):
        for name in re.findall(r"\]\(([\w/.-]+\.(?:md|json))[)#]", page.read_text()):
            assert (page.parent / name).exists(), f"{page.name} names {name}"


def test_every_proof_that_is_named_is_there() -> None:
    tests = DOCS.parent / "tests"
    named = re.findall(
        r"`([\w/]+\.py)::(\w+)(?:\[\w+\])?`", (DOCS / "internals" / "guides-covered.md").read_text()
    )
    missing = [
        f"{file}::{test}"
        for file, test in named
        if f"def {test}(" not in (tests / file).read_text()
    ]
    assert missing == []
    assert len(named) > 50
