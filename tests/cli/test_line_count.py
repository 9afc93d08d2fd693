"""The demo's line count: what it counts, and that parts add up to the whole."""

from __future__ import annotations

from pathlib import Path

from hammerflow.cli.demo.line_count import batches, count, merge, source_files

SOURCE = """
import os, sys
import os.path
from json import loads
from . import own

class A:
    def f(self):
        return lambda: 0

async def g(): ...
"""


def library(root: Path) -> Path:
    for name, text in {
        "one.py": SOURCE,
        "many/__init__.py": "",
        "many/deep/two.py": SOURCE,
        "many/broken.py": "def (:",
        "many/tests/test_two.py": SOURCE,
        "site-packages/theirs.py": SOURCE,
        "data.txt": "",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_its_own_source_files_are_found(tmp_path: Path) -> None:
    found = source_files(library(tmp_path))

    assert found == ["many/__init__.py", "many/broken.py", "many/deep/two.py", "one.py"]


def test_a_package_is_what_lies_in_its_folder(tmp_path: Path) -> None:
    root = library(tmp_path)

    counted = count(root, source_files(root))

    assert counted == {
        "packages": {"one": [1, 11, 2, 1, 4], "many": [3, 12, 2, 1, 4]},
        "imported": {"os": 4, "sys": 2, "json": 2},
    }


def test_batches_add_up_to_the_whole(tmp_path: Path) -> None:
    root = library(tmp_path)
    files = source_files(root)

    parts = [count(root, batch) for batch in batches(files, 3)]

    assert len(parts) == 2
    assert merge(parts) == count(root, files)
