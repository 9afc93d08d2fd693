"""The modules that hold an app's tasks: named once, imported by workers and commands."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hammerflow.errors import ConfigError
from hammerflow.worker.loading import load_app
from tests.acceptance.kit import Shop

_NUMBERS = itertools.count()
_TASK = "from {package}.queue import app\n@app.task\ndef run(): return __name__\n"
_TREE = {
    "__init__.py": "",
    "__main__.py": "raise SystemExit('run by accident')",
    "broken.py": "raise OSError('no disk')",
    "mail/__init__.py": "",
    "mail/tasks.py": _TASK,
    "orders/__init__.py": _TASK,
    "orders/jobs.py": _TASK,
    "plain/tasks.py": _TASK,  # a folder without __init__.py
    "empty/__init__.py": "",
    "deep/__init__.py": "",
    "deep/er/__init__.py": "",
    "deep/er/tasks.py": _TASK,
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes a package whose app is made with these arguments; returns the package's name."""

    def make(arguments: str, after: str = "") -> str:
        package = f"project_{next(_NUMBERS)}"
        tree = {
            **_TREE,
            "queue.py": f"from hammerflow import Hammerflow\napp = Hammerflow('shop'{arguments})\n"
            + after,
        }
        write(
            tmp_path / package, {path: text.format(package=package) for path, text in tree.items()}
        )
        return package

    monkeypatch.chdir(tmp_path)
    return make


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("arguments", "after", "found"),
    [
        (", include=['{package}.mail.tasks']", "", ["mail.tasks"]),
        (", include='{package}.mail, {package}.orders'", "", ["mail.tasks", "orders"]),
        (", include=('{package}.*.tasks',)", "", ["mail.tasks", "plain.tasks"]),
        ("", "app.autodiscover('{package}.*.tasks')", ["mail.tasks", "plain.tasks"]),
        ("", "app.autodiscover(['{package}.mail', '{package}.orders'])", ["mail.tasks", "orders"]),
        ("", "app.autodiscover('{package}.o*.j?bs', '{package}.mail')",
         ["mail.tasks", "orders.jobs", "orders"]),
        ("", "app.autodiscover('{package}.d*.*.tasks')", ["deep.er.tasks"]),
        (", include=['{package}.mail']", "app.autodiscover('{package}.deep.er')",
         ["deep.er.tasks", "mail.tasks"]),
    ],
)  # fmt: skip
def test_included_modules_are_imported_with_the_app(
    project: Callable[..., str], arguments: str, after: str, found: list[str]
) -> None:
    package = project(arguments, after)

    app = load_app(f"{package}.queue:app")

    own = sorted(name for name in app.tasks if name.startswith(package))
    assert own == [f"{package}.{name}.run" for name in found]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (", include=['{package}.male']", "include {package}.male: there is no module {package}"),
        (", include=['{package}.*.nothing']", "include {package}.*.nothing: no module has such a"),
        (", include=['nowhere.*']", "include nowhere.*: no module has such a name"),
        (", include=['{package}.broken']", "importing {package}.broken failed with OSError"),
        (", include=['{package}.b*']", "importing {package}.broken failed with OSError: no disk"),
        (", include=['shop tasks']", "must be names of modules, such as shop.mail"),
        (", include=3", "include=...)) must be names of modules, such"),
        (", include=['*.tasks']", r"must be names of modules"),
    ],
)  # fmt: skip
def test_a_module_that_cannot_be_included_is_named(
    project: Callable[..., str], arguments: str, said: str
) -> None:
    package = project(arguments)

    with pytest.raises(ConfigError) as caught:
        load_app(f"{package}.queue:app")

    assert said.format(package=package) in str(caught.value)
    assert f"{package}.queue" in str(caught.value)


def test_discovery_refuses_what_is_no_module_at_once(project: Callable[..., str]) -> None:
    app = load_app(f"{project('')}.queue:app")

    for wrong in ("shop/tasks.py", "", 3, ["a", None]):
        with pytest.raises(ConfigError, match="a module to discover must be names of modules"):
            app.autodiscover(wrong)  # type: ignore[arg-type]


def test_a_worker_and_a_command_find_the_tasks_or_say_what_is_missing(
    sqlite_shop: Shop, project: Callable[..., str], tmp_path: Path
) -> None:
    shop, package = sqlite_shop, project(", include=['{package}.*.tasks']")
    result = shop.client.enqueue(shop.client.signature(f"{package}.mail.tasks.run"))
    with shop.worker(app=f"{package}.queue:app", folder=tmp_path, children=1) as worker:
        assert result.get(timeout=10) == f"{package}.mail.tasks"
        modules = f"{package}.mail.tasks,{package}.plain.tasks"
        assert f"imported the app tasks=2 modules={modules}" in worker.log
        assert "has no tasks" not in worker.log
    command = [
        "-A",
        f"{package}.queue:app",
        "--json",
        "job",
        "enqueue",
        f"{package}.mail.tasks.run",
    ]
    run = subprocess.run(
        [sys.executable, "-m", "hammerflow", *command],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]),
             "HAMMERFLOW_DATABASE_URL": shop.url},
    )  # fmt: skip
    assert json.loads(run.stdout)

    bare = project("")
    with shop.worker(app=f"{bare}.queue:app", folder=tmp_path, children=1) as worker:
        worker.wait_for_log(f"{bare}.queue:app has no tasks, so this worker runs no jobs")
        assert "include=['shop.mail']" in worker.log
        assert "tasks=0" in worker.log


_FORMS = """
import argparse, sys
from types import SimpleNamespace
from hammerflow import Hammerflow

parser = argparse.ArgumentParser()
parser.add_argument("--port")
options = parser.parse_args()
MADE = []

def create_app():
    MADE.append(Hammerflow("made"))
    return MADE[-1]

async def async_app():
    return create_app()

def needs(config):
    return create_app()

def broken():
    raise OSError("no configuration")

def nothing():
    return None

class Settings:
    app = Hammerflow("nested")

box = SimpleNamespace(inner=SimpleNamespace(app=Settings.app, make=create_app))
number = 5

class Late:
    @property
    def app(self):
        raise LookupError("too early")

late = Late()

@Settings.app.task(name="erase")
def erase():
    raise AssertionError("a task is no factory")
"""


@pytest.fixture
def forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that parses the command line and has apps in many places; started with options."""
    name = f"forms_{next(_NUMBERS)}"
    celery = "from hammerflow import Hammerflow\napp = Hammerflow('celery')"
    package = {"__init__.py": f"from {name}_pkg import core", "core.py": celery}
    write(tmp_path / f"{name}_pkg", package)
    write(tmp_path, {f"{name}.py": _FORMS})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["hammerflow", "worker", "-c", "8"])
    return name


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("create_app", "made"), ("create_app()", "made"), ("box.inner.app", "nested"),
        ("Settings.app", "nested"), ("box.inner.make", "made"), ("box.inner.make()", "made"),
    ],
)  # fmt: skip
def test_the_app_may_be_nested_or_made(forms: str, place: str, name: str) -> None:
    assert load_app(f"{forms}:{place}").name == name
    assert sys.argv == ["hammerflow", "worker", "-c", "8"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("{}_pkg.core.app", "write {}_pkg.core:app"),
        ("{}.py", "write {}:app"),
        ("{}.py:create_app", "write {}:create_app"),
        ("./{}_pkg/core.py", "write {}_pkg.core:app"),
        ("{}_pkg/core.py:app", "write {}_pkg.core:app"),
        ("{}_pkg/core", "write {}_pkg.core:app"),
        ("{}:create_app(1)", "write package.module:app"),
        ("{}:broken", "broken() failed with OSError: no configuration"),
        ("{}:needs", "it must make the app without arguments"),
        ("{}:nothing", "nothing() returned None, not an app"),
        ("{}:async_app", "not an app"),
        ("{}:number", "cannot find an app: number is 5; "),
        ("{}:erase", "erase is <Task erase>; "),
        ("{}_pkg:core", "is a module, not an app: write {}_pkg.core:app"),
        ("{}:late.app", "reading late.app failed with LookupError: too early"),
        ("{}:box.none", "cannot find box.none in {}"),
        ("{}", "be a function that makes the app (module:create_app)"),
        ("{}_pkg.core:ap", "write {}_pkg.core:app"),
    ],
)
def test_the_right_form_is_named(forms: str, spec: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_app(spec.format(forms))

    assert words.format(forms) in str(raised.value)


def test_a_program_that_ends_at_its_import_is_named(tmp_path: Path, forms: str) -> None:
    (tmp_path / f"{forms}_main.py").write_text("import sys\nsys.exit(main := 2)")

    with pytest.raises(ConfigError, match="put what only a program does under"):
        load_app(f"{forms}_main:app")
