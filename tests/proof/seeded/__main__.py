"""python -m tests.proof.seeded [NAME ...]

Applies each patch to a copy of the checkout and runs the tests that its head names: on SQLite, or
with servers those that the head selects by pytest's -k. Prints a table with the test that caught
each bug: one that fails in the copy and passes in the checkout. Exits with 1 if none caught a bug.

The hunks have as little context as finds their place, so that the patches survive other changes.
Their line numbers are not read.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Head", "apply", "bugs", "head", "row"]

ROOT = Path(__file__).parents[3]
_THOROUGH = {"HAMMERFLOW_TEST_POINTS": "all", "HAMMERFLOW_TEST_INTERLEAVINGS": "50"}


def bugs() -> list[Path]:
    """All patches."""
    return sorted(Path(__file__).parent.glob("*.patch"))


class Head(NamedTuple):
    """The first lines of a patch."""

    what: str  # the bug, in one sentence without its full stop
    tests: list[str]  # files or folders below tests/ that must catch it
    chosen: str | None  # the -k expression of the tests that run with servers; None: SQLite only


def head(patch: Path) -> Head:
    """Read the head of a patch."""
    what, tests, servers, *_ = patch.read_text().splitlines()
    chosen = servers.removeprefix("With servers: ") or None
    return Head(what.rstrip("."), tests.removeprefix("Caught by: ").split(), chosen)


def row(head: Head) -> str:
    """The beginning of the bug's line in the table."""
    tests = ", ".join(f"`{test}`" for test in head.tests)
    return f"| {head.what} | {tests}{f' ({head.chosen})' if head.chosen else ''} |"


def apply(patch: Path, folder: Path, *, only_check: bool = False) -> None:
    """Break the copy in this folder.

    Raises:
        ValueError: the lines of a hunk are not in the file, or more than once.
    """
    file, hunks = _parse(patch.read_text())
    text = (folder / file).read_text()
    for old, new in hunks:
        if text.count(old) != 1:
            raise ValueError(f"{patch.name} does not apply to {file} any more:\n{old}")
        text = text.replace(old, new)
    if not only_check:
        (folder / file).write_text(text)


def _parse(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The file of a unified diff, and of each hunk the lines before and after."""
    file = next(line[6:] for line in text.splitlines() if line.startswith("+++ b/"))
    hunks = []
    for hunk in re.split(r"^@@ .*\n", text, flags=re.MULTILINE)[1:]:
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        hunks.append((old, new))
    return file, hunks


def main() -> int:
    """Run the patches that are named, all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.seeded", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names
    patches = [patch for patch in bugs() if not names or patch.stem in names]
    missed = 0
    print("| seeded bug | tests | caught by |\n|---|---|---|")
    for patch in patches:
        test = _catching_test(patch)
        missed += test is None
        name = f"`{test.split('::')[1].split('[')[0]}`" if test else "**nothing**"
        print(row(head(patch)), name, "|", flush=True)
    return int(missed > 0)


def _catching_test(patch: Path) -> str | None:
    """The first test that fails with the bug, if it passes without."""
    _, tests, chosen = head(patch)
    with tempfile.TemporaryDirectory(prefix="hammerflow-seeded-") as folder:
        copy = Path(folder)
        shutil.copytree(
            ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"), dirs_exist_ok=True
        )
        apply(patch, copy)
        ran = _pytest(copy, [f"tests/{test}" for test in tests], chosen)
        # An ERROR does not count: it may be a server that did not start.
        failed = re.search(r"^FAILED (.+?)(?: - .*)?$", ran.stdout, re.MULTILINE)
        if failed is not None:
            ran = _pytest(ROOT, [failed[1]], chosen)
    if failed is not None and ran.returncode == 0:
        return failed[1]
    print(ran.stdout[-2000:] + ran.stderr[-2000:], file=sys.stderr)
    return None


def _pytest(folder: Path, tests: list[str], chosen: str | None) -> subprocess.CompletedProcess[str]:
    """Run tests of a checkout until one fails."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist"),
            *(["-k", chosen] if chosen else ["--sqlite-only"]),
            *tests,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **_THOROUGH},
        capture_output=True,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
