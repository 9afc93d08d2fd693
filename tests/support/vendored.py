"""Vendored: the JavaScript of others that the dashboard ships, each file pinned to a release.

``python -m tests.support.vendored`` fetches the releases with npm and writes the files anew.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

__all__ = ["FOLDER", "RELEASES", "Release", "main"]

FOLDER = Path(__file__).parents[2] / "hammerflow" / "web" / "static" / "vendor"


class Release(NamedTuple):
    """A file of a release, and what it is called here."""

    package: str
    version: str
    licence: str
    source: str
    name: str


RELEASES = (
    Release("preact", "11.2.0", "MIT", "dist/preact.mjs", "preact.js"),
    Release("preact", "11.2.0", "MIT", "hooks/dist/hooks.mjs", "hooks.js"),
    Release("htm", "3.1.1", "Apache-2.0", "dist/htm.module.js", "htm.js"),
    Release("uplot", "1.6.32", "MIT", "dist/uPlot.iife.min.js", "uplot.js"),
    Release("uplot", "1.6.32", "MIT", "dist/uPlot.min.css", "uplot.css"),
    Release("@dagrejs/dagre", "3.1.3", "MIT", "dist/dagre.esm.js", "dagre.js"),
)


def main() -> None:
    """Write each file, the licences, and a list of what is there."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for release in RELEASES:
            files = _fetched(release, Path(scratch))
            text = _adapted(release, files[release.source].decode())
            (FOLDER / release.name).write_text(text)
            licence = next(name for name in files if name.upper().startswith("LICENSE"))
            short = release.package.rpartition("/")[2]
            (FOLDER / f"LICENSE.{short}").write_bytes(files[licence])
            digest = hashlib.sha256(text.encode()).hexdigest()
            rows.append({**release._asdict(), "sha256": digest})
    (FOLDER / "vendor.json").write_text(json.dumps(rows, indent=2) + "\n")


def _fetched(release: Release, scratch: Path) -> dict[str, bytes]:
    spec = f"{release.package}@{release.version}"
    done = subprocess.run(
        ["npm", "pack", "--silent", spec], cwd=scratch, check=True, capture_output=True, text=True
    )
    with tarfile.open(scratch / done.stdout.split()[-1]) as archive:
        return {
            member.name.removeprefix("package/"): file.read()
            for member in archive.getmembers()
            if (file := archive.extractfile(member)) is not None
        }


def _adapted(release: Release, text: str) -> str:
    """Import by a path instead of a package's name, export, and name no map that is not here."""
    text = re.sub(r"\n?//# sourceMappingURL=\S+\s*$", "\n", text)
    text = re.sub(r"""from\s*(["'])preact\1""", 'from"./preact.js"', text)
    if release.name == "uplot.js":
        text = text.rstrip() + "\nexport default uPlot;\n"
    return text


if __name__ == "__main__":
    main()
