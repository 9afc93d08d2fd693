"""The demo's work: count the lines, functions, classes and imports of source files by package."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

__all__ = ["COLUMNS", "LineCount", "batches", "count", "merge", "source_files"]

COLUMNS = ("files", "lines", "functions", "classes", "imports")

#: Folders of other people's packages and of the library's tests (Debian leaves those out).
_IGNORED = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


class LineCount(TypedDict):
    """Counts by package, in the order of COLUMNS, and how often each package is imported."""

    packages: dict[str, list[int]]
    imported: dict[str, int]


def source_files(root: Path) -> list[str]:
    """The Python files below a folder, relative to it, in order."""
    found = (path.relative_to(root) for path in root.rglob("*.py"))
    return sorted(str(path) for path in found if not _IGNORED.intersection(path.parts))


def batches(paths: Sequence[str], size: int) -> Iterator[list[str]]:
    """The paths, ``size`` at a time."""
    for start in range(0, len(paths), size):
        yield list(paths[start : start + size])


def count(root: Path, paths: Iterable[str]) -> LineCount:
    """Count some files."""
    return merge(_count_file(root, path) for path in paths)


def merge(parts: Iterable[LineCount]) -> LineCount:
    """Add counts up."""
    packages: dict[str, list[int]] = {}
    imported: Counter[str] = Counter()
    for part in parts:
        imported.update(part["imported"])
        for name, numbers in part["packages"].items():
            known = packages.setdefault(name, [0] * len(COLUMNS))
            packages[name] = [a + b for a, b in zip(known, numbers, strict=True)]
    return {"packages": packages, "imported": dict(imported)}


def _count_file(root: Path, path: str) -> LineCount:
    source = (root / path).read_bytes()
    functions = classes = imports = 0
    imported: Counter[str] = Counter()
    for node in ast.walk(_parsed(source)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                functions += 1
            case ast.ClassDef():
                classes += 1
            case ast.Import(names=names):
                imports += 1
                imported.update(alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=module, level=level):
                imports += 1
                if module and not level:
                    imported[module.partition(".")[0]] += 1
    package = path.partition("/")[0].removesuffix(".py")
    numbers = [1, len(source.splitlines()), functions, classes, imports]
    return {"packages": {package: numbers}, "imported": dict(imported)}


def _parsed(source: bytes) -> ast.AST:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in old files
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError):
            return ast.Module([], [])  # some files of the library are templates
