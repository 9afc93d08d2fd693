"""The rules of the house that a machine can hold: sentences, SQL, doors, names, short trips."""

from __future__ import annotations

import ast
import gc
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import hammerflow
from hammerflow import Hammerflow

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "hammerflow"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: Third-party libraries (and sqlite3), and the only files that may import them.
DOORS = {
    "yaml": r"workflows/positions\.py",
    "psycopg": r"stores/dialects/postgres(_answers|_arrays)?\.py",
    "psycopg_c": "-",
    "psycopg_pool": "-",
    "pymysql": r"stores/dialects/mysql\.py",
    "sqlite3": r"stores/dialects/sqlite\.py",
    "redis": r"(notifiers/transports|sinks)/.*\.py",
    "click": r"cli/.*\.py",
    "rich": r"cli/.*\.py",
    "croniter": r"schedules/cron\.py",
}
SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|TRUNCATE|MERGE|REPLACE)\s")

#: Modules that may lie flat in the two rooms that every newcomer opens first.
MOST_FLAT = {".": 12, "stores": 32}

#: Python calls of a warm delay(42), and files of the package that they are in, with the doorbell of
#: the default application; Celery needs 365 calls through 33 files.
MOST_CALLS = 20
MOST_FILES = 9


def test_every_module_opens_with_one_sentence() -> None:
    wrong = [_place(path) for path in MODULES if not _is_sentence(_docstring(path))]

    assert wrong == [], "a module opens with one sentence that says what it holds"


def test_no_sql_stands_in_a_module() -> None:
    wrong = [
        f"{_place(path)}:{text.lineno}"
        for path in MODULES
        for text in _constants(_tree(path))
        if SQL.match(str(text.value))
    ]

    assert wrong == [], "SQL lives in the .sql files of hammerflow/stores/sql"


def test_libraries_come_in_by_their_doors_only() -> None:
    wrong = [
        f"{_place(path)}:{line} imports {library}"
        for path in MODULES
        for library, line in _imports(_tree(path))
        if library in DOORS and not re.fullmatch(DOORS[library], _place(path))
    ]

    assert wrong == []


def test_no_file_grows_beyond_500_lines() -> None:
    lengths = {_place(path): len(_text(path).splitlines()) for path in MODULES}

    assert {place: n for place, n in lengths.items() if n > 500} == {}


def test_functions_are_short_and_have_no_long_tail() -> None:
    lengths = {
        f"{_place(path)}:{node.name}": _length(node)
        for path in MODULES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    long = {name: n for name, n in lengths.items() if n > 30}

    assert len(long) <= 0.05 * len(lengths), long
    assert {name: n for name, n in long.items() if n > 50} == {}


def test_modules_lie_in_the_room_of_their_idea() -> None:
    flat = {room: len(list((PACKAGE / room).glob("*.py"))) for room in MOST_FLAT}

    assert {room: n for room, n in flat.items() if n > MOST_FLAT[room]} == {}


def test_the_reference_lists_the_public_names() -> None:
    text = (ROOT / "docs" / "reference" / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)

    assert sorted(listed) == sorted(hammerflow.__all__)
    assert all(hasattr(hammerflow, name) for name in listed)


def test_importing_hammerflow_loads_nothing_heavy() -> None:
    code = "import sys, hammerflow; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in run.stdout.split()}

    assert loaded & {"psycopg", "pymysql", "redis", "click", "rich", "sqlalchemy"} == set()
    assert loaded & {"asyncio", "multiprocessing", "pydantic"} == set()


def test_signals_are_held_before_anything_else_is_imported() -> None:
    first, *_ = (
        node
        for node in ast.walk(_tree(PACKAGE / "__init__.py"))
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
    )

    assert (first.module, first.names[0].name) == ("hammerflow.process", "early_signals")


def test_a_warm_delay_makes_a_short_trip(sqlite_url: str) -> None:
    app = Hammerflow("shop", database=sqlite_url)
    task = app.task(name="resize")(_resize)
    app.store.schema.migrate()
    task.delay(42)

    # the fewest of three: now and then a delay checks the file of the write-ahead log
    calls = min((_calls(task.delay, 42) for _ in range(3)), key=len)

    # "<string>": what inspect, dataclasses and typing generate (argument check, __init__, __new__)
    files = {file for file, _ in calls if file != "<string>"}
    assert app.settings.bell == "local"
    assert len(calls) <= MOST_CALLS, calls
    assert len(files) <= MOST_FILES, files
    app.close()


def test_the_installed_package_has_its_sql_and_types(tmp_path: Path) -> None:
    code = "import hammerflow; print(hammerflow.__path__[0])"
    command = [sys.executable, "-I", "-c", code]  # -I: what is installed, not what is checked out
    run = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        pytest.skip("hammerflow is not installed here, only checked out; tox installs it")
    if "site-packages" not in run.stdout:
        pytest.skip("the installed hammerflow is a checkout, perhaps another one")

    installed = Path(run.stdout.strip())
    if installed != PACKAGE and "site-packages" not in installed.parts:
        pytest.skip("another checkout is installed here")

    assert _data_files(installed) == _data_files(PACKAGE)


# -- reading modules


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _tree(path: Path) -> ast.Module:
    return ast.parse(_text(path), filename=str(path))


def _place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _docstring(path: Path) -> str:
    return ast.get_docstring(_tree(path)) or ""


def _is_sentence(docstring: str) -> bool:
    first = docstring.partition("\n\n")[0]
    return len(first) > 10 and first.rstrip().endswith((".", ":"))


def _constants(tree: ast.Module) -> Iterator[ast.Constant]:
    """The constants of a module that are no docstrings; of an f-string its beginning."""
    left_out = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            left_out.update(map(id, node.values[1:]))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in left_out:
            yield node


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Top-level packages that a module imports, anywhere in it, and the lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno
        elif isinstance(node, ast.Call) and _called(node).endswith("import_module"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value.partition(".")[0], node.lineno


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its decorators and docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def _data_files(package: Path) -> set[str]:
    static = [path for path in (package / "web" / "static").rglob("*") if path.is_file()]
    files = [*package.rglob("*.sql"), *package.rglob("py.typed"), *static]
    return {path.relative_to(package).as_posix() for path in files}


# -- following a call


def _resize(number: int) -> int:
    return number


def _calls(work: Any, *args: Any) -> list[tuple[str, str]]:
    """File and name of each Python function that runs in one call of ``work``."""
    calls: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            code = frame.f_code
            calls.append((code.co_filename.removeprefix(f"{PACKAGE}/"), code.co_qualname))

    gc.collect()
    gc.disable()  # finalizers of other tests' objects are not calls of this work
    sys.setprofile(note)
    try:
        work(*args)
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls
