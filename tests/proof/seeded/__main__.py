"""python -m tests.proof.seeded [NAME ...]

Applies each patch to a copy of the checkout, runs the tests that its head names (on SQLite, or with
servers those that the head chooses by pytest's -k), and prints the matrix. Ends with 1 if a bug is
not caught: a test that cannot fail is none.
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

__all__ = ["ROOT", "Head", "apply", "bugs", "head"]

ROOT = Path(__file__).parents[3]
_THOROUGH = {"HAMMERFLOW_TEST_POINTS": "all", "HAMMERFLOW_TEST_INTERLEAVINGS": "50"}


def bugs() -> list[Path]:
    """All patches."""
    return sorted(Path(__file__).parent.glob("*.patch"))


class Head(NamedTuple):
    """What the bug is, the files of tests that must catch it, and which of these with servers."""

    what: str
    tests: list[str]
    chosen: str | None


def head(patch: Path) -> Head:
    """The first lines of a patch."""
    what, tests, servers, *_ = patch.read_text().splitlines()
    chosen = servers.removeprefix("With servers: ") or None
    return Head(what.rstrip("."), tests.removeprefix("Caught by: ").split(), chosen)


def apply(patch: Path, folder: Path, *, only_check: bool = False) -> None:
    """Break the copy; ValueError where the patch does not apply any more."""
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
    """Run what was asked for, all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.seeded", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names
    patches = [patch for patch in bugs() if not names or patch.stem in names]
    missed = 0
    print("| seeded bug | tests | |\n|---|---|---|")
    for patch in patches:
        what, tests, chosen = head(patch)
        caught = _is_caught(patch, tests, chosen)
        missed += not caught
        shown = ", ".join(f"`{test}`" for test in tests) + (f" ({chosen})" if chosen else "")
        print(f"| {what} | {shown} | {'caught' if caught else '**missed**'} |", flush=True)
    return int(missed > 0)


def _is_caught(patch: Path, tests: list[str], chosen: str | None) -> bool:
    with tempfile.TemporaryDirectory(prefix="hammerflow-seeded-") as folder:
        copy = Path(folder)
        for part in ("hammerflow", "tests", "examples", "benchmarks"):
            shutil.copytree(ROOT / part, copy / part)
        for part in ("setup.cfg", "pyproject.toml", "README.md"):
            shutil.copy(ROOT / part, copy / part)
        apply(patch, copy)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist"]
        command += ["-k", chosen] if chosen else ["--sqlite-only"]
        paths = [f"tests/{test}" for test in tests]
        ran = subprocess.run(
            [*command, *paths],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": folder, **_THOROUGH},
            capture_output=True,
            text=True,
            check=False,
        )
        is_caught = "\nFAILED " in ran.stdout  # an ERROR may be a server that did not start
        if not is_caught:
            print(ran.stdout[-2000:] + ran.stderr[-2000:], file=sys.stderr)
        return is_caught


if __name__ == "__main__":
    sys.exit(main())
