"""A page of the documents as its fenced blocks, in order, with what each one is for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Pages whose blocks are the reader's to type.
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
]

#: Languages of blocks that are shown and never typed; those in braces are the site's directives.
DRAWN = {"text", "mermaid", "{toctree}", "{eval-rst}", "{option-table}", "{error-codes}"}

#: Languages of blocks that are files; the first line names the file, as a comment.
FILES = {"python", "toml", "ini", "yaml", "dockerfile", "sql"}

_FENCE = re.compile(
    r"^(?P<above>[^\n]*)\n(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_FILE_NAME = re.compile(r"#\s+(?P<name>[\w./-]+\.\w+|Dockerfile)(?:\s|$|,)")
_DIRECTIVE = re.compile(r"<!-- (?P<what>not run|fails|needs): (?P<value>.+?) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block.

    Attributes:
        page: the file it is in.
        line: where it begins.
        language: what follows the three backticks.
        text: what is inside, without the page's indentation.
        directive: of a comment in the line above: "not run", "fails" or "".
        reason: what that comment says.
    """

    page: Path
    line: int
    language: str
    text: str
    directive: str = ""
    reason: str = ""

    @property
    def place(self) -> str:
        """Page and line, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file_name(self) -> str | None:
        """The file that the first line names: ``# shop.py``."""
        found = _FILE_NAME.match(self.text)
        return found["name"] if found and self.language in FILES else None


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        indent = len(found["indent"])
        lines = [line[indent:] for line in found["text"].splitlines()]
        directive = _DIRECTIVE.search(found["above"])
        yield Block(
            page=page,
            line=text.count("\n", 0, found.start("language")) + 1,
            language=found["language"].partition(" ")[0],
            text="\n".join(lines) + "\n",
            directive=directive["what"] if directive else "",
            reason=directive["value"] if directive else "",
        )


def needs_of(page: Path) -> list[str]:
    """Packages that a page needs besides hammerflow: ``<!-- needs: fastapi, uvicorn -->``."""
    found = _DIRECTIVE.finditer(page.read_text(encoding="utf-8"))
    values = [each["value"] for each in found if each["what"] == "needs"]
    return [name.strip() for value in values for name in value.split(",")]


def files_of(blocks: list[Block]) -> dict[str, str]:
    """The files that a page writes, name to content.

    A block that names no file continues the one that the page named last, and a block that names
    a file again adds to it.
    """
    files: dict[str, str] = {}
    last: dict[str, str] = {}
    for block in blocks:
        if block.language not in FILES or block.directive == "not run":
            continue
        name = block.file_name or last.get(block.language)
        assert name, f"{block.place}: the first block of a page names its file: # shop.py"
        last[block.language] = name
        files[name] = f"{files[name]}\n{block.text}" if name in files else block.text
    return files
