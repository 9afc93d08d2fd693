"""The documents do what they say: a reader's modules, workers, sessions and commands are run."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import hammerflow
from hammerflow.results.workflow import BatchResult
from tests.docs.desk import Desk
from tests.docs.pages import DRAWN, FILES, PAGES, ROOT, blocks_of, needs_of

DOCS = ROOT / "docs"
CHECKED = {"console", "pycon", "json"} | FILES | DRAWN


def _id(page: Path) -> str:
    return page.relative_to(ROOT).with_suffix("").as_posix()


#: Typed in the minute between two thoughts, too; the other pages take a second or more each.
FAST = {ROOT / "README.md", DOCS / "tutorial" / "quickstart.md"}
TYPED = [page if page in FAST else pytest.param(page, marks=pytest.mark.slow) for page in PAGES]


@pytest.mark.parametrize("page", TYPED, ids=_id)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    for package in needs_of(page):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; tox installs it")
    folder = tmp_path / "desk"
    folder.mkdir()

    with Desk(folder) as desk:
        desk.type_page(page)


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_block_of_a_page_is_run_or_checked(page: Path) -> None:
    unknown = [block.place for block in blocks_of(page) if block.language not in CHECKED]

    assert unknown == [], f"a block's language is one of {sorted(CHECKED)}"


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_a_page_whose_module_grows_says_that_processes_keep_their_code(page: Path) -> None:
    has_started, known, grows = False, set[str | None](), False
    last: str | None = None
    for block in blocks_of(page):
        has_started |= block.language == "console" and " worker" in block.text
        if block.language == "python" and block.directive != "not run":
            last = block.file_name or last
            grows |= has_started and last in known
            known.add(last)

    assert not grows or "restart the worker" in page.read_text("utf-8").lower()


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_page_that_a_page_names_is_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)(?:#[\w-]*)?\)", page.read_text("utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_proof_that_is_named_is_there() -> None:
    tests = ROOT / "tests"
    text = (DOCS / "internals" / "guides-covered.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)::(\w+)(?:\[\w+\])?`", text)
    missing = [
        f"{file}::{test}"
        for file, test in named
        if f"def {test}(" not in (tests / file).read_text(encoding="utf-8")
    ]

    assert missing == []
    assert len(named) > 50


def test_every_table_is_documented_by_its_name() -> None:
    sql = ROOT / "hammerflow" / "stores" / "sql"
    created = {
        table
        for path in [*(sql / "migrations" / "sqlite").glob("*.sql"), sql / "sqlite" / "schema.sql"]
        for table in re.findall(r"CREATE TABLE IF NOT EXISTS \{(\w+)\}", path.read_text("utf-8"))
    }
    text = (DOCS / "internals" / "states.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:(?:`?\w+`?) \| )?(`\w+`(?:, `\w+`)*) \|", text, re.MULTILINE)

    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == created


def test_the_reference_describes_every_public_name() -> None:
    pages = [page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md")]
    described = re.findall(
        r"^\.\. auto(?:class|function|exception):: hammerflow\.(\w+)$",
        "\n".join(pages),
        re.MULTILINE,
    )

    assert sorted(described) == sorted(hammerflow.__all__)


#: What a user holds, and whose methods the first page of the reference names.
HANDLES = {
    "Hammerflow": (hammerflow.Hammerflow,),
    "Task": (hammerflow.Task,),
    "Spawner": (hammerflow.Spawner,),
    "Signature": (hammerflow.Signature,),
    "Workflow": (hammerflow.Workflow,),
    "Result": (hammerflow.Result,),
    "GroupResult": (hammerflow.GroupResult,),
    "WorkflowResult": (hammerflow.WorkflowResult, BatchResult),
}


@pytest.mark.parametrize("handle", HANDLES)
def test_the_reference_names_every_method_of_a_handle(handle: str) -> None:
    """In the row of its class; what the pages leave out is not for users."""
    index = (DOCS / "reference" / "index.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| `{handle}` \|(.*)$", index, re.MULTILINE)
    pages = "".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))
    hidden = ", ".join(re.findall(r":exclude-members: (.*)", pages)).split(", ")
    classes = {base for class_ in HANDLES[handle] for base in class_.__mro__}
    methods = {
        name
        for class_ in classes
        if class_.__module__.startswith("hammerflow")
        for name, member in vars(class_).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, property))
    }

    missing = methods - {*re.findall(r"`(\w+)`", row)} - {*hidden}

    assert sorted(missing) == []


#: Phrases that a reader has to read twice; CONTRIBUTING asks for plain English.
TELLTALES = re.compile(
    r"\bstands (?:for|in|at|beside)\b|\b(?:is|are) no\b(?! longer)|\bby itself\b|\banew\b"
    r"|\bso many\b|\ba look\b|\bbeside\b|\bof its own accord\b|\bas far as\b|\blet go\b"
    r"|\bis wanted\b|\bseen from\b|\bsee to it\b|\bfor ever\b"
)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=_id)
def test_a_page_is_plain_english(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    there_is = re.compile(r"\bthere (?:is|are) no\b", re.IGNORECASE)

    assert [line for line in lines if TELLTALES.search(there_is.sub("", line))] == []
