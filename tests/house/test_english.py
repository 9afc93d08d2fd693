"""Plain English: no telltale of a sentence that must be read twice; docstrings are there."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "hammerflow"
MODULES = sorted(PACKAGE.rglob("*.py"))
TEXTS = [
    *MODULES,
    *PACKAGE.rglob("*.sql"),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
]

#: What a native speaker would not write, and what to write instead.
TELLTALES = {
    r"\bstands? (for|in|at|beside|on|there|under|behind)\b": "is, holds, means",
    r"(?<!there )\b(is|are|was|were) no (?!(longer|more|less|other|one)\b)\w+": "is not a ...",
    r"\banew\b": "again",
    r"\bso(-| )many(eth)?\b": "the number itself: N, every Nth",
    r"\b(a|one|two|each|every|no) looks?\b|\blook once more\b": "a query, a scan, a poll",
    r"\bof (its|their|his|our) own accord\b": "",
    r"\bas far as\b": "",
    r"\b(let|lets|letting) go\b": "release, unblock",
    r"\bis wanted\b|\bare wanted\b": "expected",
    r"\bnonsense\b": "an invalid message",
    r"\bsee to it\b|\bsees to it\b": "make sure, ensure",
    r"\bfor ever\b": "forever, without limit",
    r"\bbeside\b": "next to, while, compared with",
    r"\bwhat is (there|to be|not|asked)\b": "the noun: the rest, the jobs that ...",
    r"\bseen from\b": "",
    r"\bwherefrom\b|\bwhereto\b|\bthereby\b|\bhereby\b|\bso-called\b": "",
}


@pytest.mark.parametrize("telltale", TELLTALES)
def test_nothing_has_to_be_read_twice(telltale: str) -> None:
    pattern = re.compile(telltale, re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]

    assert found == [], f"write instead: {TELLTALES[telltale]}"


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path.relative_to(PACKAGE).as_posix())

    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_everything_public_has_a_docstring() -> None:
    missing = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}"
        for path in MODULES
        for node in _public(ast.parse(path.read_text(encoding="utf-8")))
        if not ast.get_docstring(node)
    ]

    assert missing == []


Defined = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public(tree: ast.Module | ast.ClassDef) -> Iterator[Defined]:
    """Public classes, functions and methods; of overloads and overriding methods none."""
    for node in tree.body:
        if not isinstance(node, Defined) or node.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
        if any("overload" in name or ".setter" in name for name in decorators):
            continue
        if isinstance(node, ast.ClassDef):
            yield node
            yield from _public(node)
        elif not (isinstance(tree, ast.ClassDef) and tree.bases):
            yield node
