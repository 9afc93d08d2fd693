"""Names of tasks: one for each function, however the file that defines it was started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hammerflow import ConfigError
from hammerflow.introspection.origin import import_path

ROOT = Path(__file__).parents[2]
TASKS = """
from functools import wraps
from hammerflow import ConfigError, Hammerflow
app = Hammerflow("shop", database="sqlite:///:none:/x.db")

def plain(fn):
    @wraps(fn)
    def wrapper(*args):
        return fn(*args)
    return wrapper

@app.task
@plain
def add(x, y):
    return x + y

def say():
    try:
        add.check(1, 2)
        print(add.name)
    except ConfigError as error:
        print("refused:", error)

if __name__ != "tasks":
    say()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Folders with the same file: alone, in a package, in a folder without __init__.py."""
    for folder in ("flat", "pkg/sub", "space", "a-b", "packed"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "tasks.py").write_text(TASKS)
    for package in ("pkg", "pkg/sub"):
        (tmp_path / package / "__init__.py").touch()
    for file in ("pkg/__main__.py", "packed/__main__.py", "flat/my-script.py", "flat/script"):
        (tmp_path / file).write_text(TASKS)
    spawn = "import multiprocessing as m, tasks\nif __name__ == '__main__': tasks.say()"
    (tmp_path / "flat" / "client.py").write_text(spawn)
    core = 'from hammerflow import Hammerflow\napp = Hammerflow("shop")\n'
    (tmp_path / "flat" / "core.py").write_text(core)
    (tmp_path / "flat" / "other.py").write_text("from twice import add\n")
    twice = "from core import app\n@app.task\ndef add(x): return x\n"
    twice += "if __name__ == '__main__':\n    import other\n    print(add.name)\n"
    (tmp_path / "flat" / "twice.py").write_text(twice)
    spawned = "if __name__ == '__main__': from multiprocessing import get_context\n"
    spawned += "if __name__ == '__main__': print(get_context('spawn').Pool(1).apply(name))\n"
    (tmp_path / "flat" / "spawns.py").write_text(
        TASKS.replace("__name__ != 'tasks'", "False") + "def name(): return add.name\n" + spawned
    )
    (tmp_path / "link.py").symlink_to("flat/tasks.py")
    return tmp_path


#: Working directory, arguments of python, further sys.path; the name by which a worker knows add.
NAMED = [
    ("flat", "tasks.py", "", "tasks.add"),
    ("flat", "-m tasks", "", "tasks.add"),
    ("flat", "client.py", "", "tasks.add"),
    ("flat", "-c 'import client, tasks; tasks.say()'", "", "tasks.add"),
    ("flat", "-m cProfile -o /dev/null tasks.py", "", "tasks.add"),
    ("flat", "-m pdb -c continue -c quit tasks.py", "", "tasks.add"),
    ("flat", "spawns.py", "", "spawns.add"),
    ("flat", "-m spawns", "", "spawns.add"),
    ("pkg", "../flat/tasks.py", "", "tasks.add"),
    ("pkg", "../link.py", "", "tasks.add"),
    (".", "a-b/tasks.py", "", "tasks.add"),
    (".", "pkg/sub/tasks.py", "", "pkg.sub.tasks.add"),
    (".", "-m pkg.sub.tasks", "", "pkg.sub.tasks.add"),
    ("space", "../pkg/sub/tasks.py", "", "pkg.sub.tasks.add"),
    (".", "-m pkg", "", "pkg.__main__.add"),
    (".", "pkg", "", "pkg.__main__.add"),
    (".", "packed", "", "packed.__main__.add"),
    (".", "-m space.tasks", "", "space.tasks.add"),
    (".", "space/tasks.py", ".", "space.tasks.add"),
    (".", "space/tasks.py", "space", "tasks.add"),
    ("flat", "tasks.py", ".", "tasks.add"),
    ("flat", "twice.py", "", "twice.add"),
    (
        "flat",
        '-c \'import runpy; runpy.run_path("tasks.py", run_name="uwsgi_file_tasks")\'',
        "",
        "tasks.add",
    ),
    (".", "-c 'import runpy; runpy.run_path(\"pkg/sub/tasks.py\")'", "", "pkg.sub.tasks.add"),
]
#: The same, with what the refusal says.
REFUSED = [
    (".", "space/tasks.py", "", "start it in {} as python -m space.tasks, or give the task"),
    ("pkg/sub", "tasks.py", "", "start it in {} as python -m pkg.sub.tasks, or give the task"),
    ("flat", "my-script.py", "", "give the file a name that Python can import, or give the task"),
    ("flat", "script", "", "give the file a name that Python can import, or give the task"),
    ("packed", ".", "", "give the file a name that Python can import, or give the task"),
    ("flat", "-c 'exec(open(\"tasks.py\").read())'", "", "move it to a module, or give the task"),
    ("flat", "-i -c 'exec(open(\"tasks.py\").read())'", "", "move it to a module"),
    ("flat", "-", "", "move it to a module, or give the task the name that its worker knows"),
]


def _said(place: Path, folder: str, command: str, path: str) -> str:
    entries = [str(place / path)] if path else []
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run(
        f"{sys.executable} {command}", shell=True, cwd=place / folder, text=True,
        env={**bare, "PYTHONPATH": os.pathsep.join([*entries, str(ROOT)])},
        input=TASKS, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    return run.stdout or run.stderr


@pytest.mark.parametrize(("folder", "command", "path", "name"), NAMED)
def test_a_task_has_the_name_by_which_a_worker_imports_it(
    place: Path, folder: str, command: str, path: str, name: str
) -> None:
    assert _said(place, folder, command, path).splitlines()[0] == name


@pytest.mark.parametrize(("folder", "command", "path", "remedy"), REFUSED)
def test_a_call_is_refused_where_no_worker_could_know_the_task(
    place: Path, folder: str, command: str, path: str, remedy: str
) -> None:
    said = _said(place, folder, command, path)

    assert said.startswith("refused: task add: ")
    assert remedy.format(place) in said


def test_a_service_that_starts_in_the_root_folder_gives_its_file_no_longer_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {"__name__": "__main__", "__file__": "/srv/app/tasks.py"}
    exec(compile("def add(): ...", "/srv/app/tasks.py", "exec"), names)
    monkeypatch.chdir("/")
    assert import_path(names["add"]) == "tasks"
    monkeypatch.chdir("/srv")
    with pytest.raises(ConfigError, match="is app.tasks to a worker started in /srv, but tasks to"):
        import_path(names["add"])


def test_at_a_prompt_a_task_may_be_defined_again(place: Path) -> None:
    typed = """
from hammerflow import Hammerflow
app = Hammerflow("shop", database="sqlite:///x.db")
@app.task(name="shop.add")
def add(x): return x

@app.task(name="shop.add")
def add(x): return 2 * x

print(add(2), add.check(1))
@app.task(name="shop.add")
def sub(x): return 0

"""
    command = [sys.executable, "-i", "-q", "-c", ""]
    run = subprocess.run(
        command, cwd=place, input=typed, capture_output=True, text=True, check=False, timeout=60,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert run.stdout == "4 None\n"
    assert run.stderr.count("Traceback") == 1
    assert "ConfigError: the task name 'shop.add' is taken by add (<stdin>" in run.stderr
