"""``hammerflow config``: where each setting comes from, and changing the file by line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Run

FILE = """# how long a worker may be silent
lease = 20  # seconds # or more
include = [
  "shop.mail",  # sends
]
redis = "redis://ann:s%23cret@host/0" # the doorbell
"""


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "hammerflow.toml"
    path.write_text(FILE)
    return path


def test_each_setting_names_its_source(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAMMERFLOW_DATABASE_URL", "postgresql://ann:secret@host/shop")
    monkeypatch.setenv("HAMMERFLOW_POLL", "3")

    shown, found = run("config", "show"), run("config", "show", "--json").json

    by_name = {one["name"]: one for one in found}
    assert by_name["lease"]["source"] == "hammerflow.toml" and by_name["lease"]["value"] == 20
    assert by_name["poll"]["source"] == "$HAMMERFLOW_POLL"
    assert by_name["database"]["source"] == "$HAMMERFLOW_DATABASE_URL"
    assert by_name["sweep"]["source"] == "default" and by_name["include"]["value"] == ["shop.mail"]
    assert "s%23cret" not in shown.out and ":secret@" not in shown.out
    assert "postgresql://ann:***@host/shop" in shown.out
    assert run("config", "get", "redis").out == "redis://ann:***@host/0\n"


def test_a_keyword_of_the_app_is_a_source(run: Run, folder: Path) -> None:
    (folder / "own.py").write_text("import hammerflow\napp = hammerflow.Hammerflow('own', lease=7)")

    found = run("-A", "own:app", "config", "get", "lease", "--json").json

    assert (found["value"], found["source"]) == (7.0, "Hammerflow(lease=...)")
    assert run("-A", "own:app", "config", "get", "namespace", "--json").json["value"] == "own"


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("lease", "60", "lease = 60  # seconds # or more"),
        ("redis", "redis://other/1", 'redis = "redis://other/1" # the doorbell'),
        ("log_jobs", "true", "log_jobs = true"),
        ("prefix", "hf_", 'prefix = "hf_"'),
    ],
)
def test_set_changes_one_line(run: Run, file: Path, name: str, value: str, line: str) -> None:
    ended = run("config", "set", name, value)

    lines = file.read_text().splitlines()
    assert ended.code == 0 and f"set {name} in {file}" in ended.out
    assert line in lines
    kept = [one for one in FILE.splitlines() if not one.startswith(name)]
    assert [one for one in lines if one != line] == kept
    assert tomllib.loads(file.read_text())[name] in (value, 60, True)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("include shop.pay", "edit the file by hand"),
        ("lease soon", "lease"),
        ("leese 3", "there is no setting 'leese': did you mean lease"),
        ("schema shop", "schema is for PostgreSQL only"),
    ],
)
def test_a_wrong_value_changes_nothing(run: Run, file: Path, args: str, words: str) -> None:
    ended = run("config", "set", *args.split())

    assert ended.code == 1 and words in ended.err
    assert file.read_text() == FILE
    assert [path.name for path in file.parent.iterdir() if "toml" in path.name] == [file.name]


def test_a_variable_that_wins_is_named(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAMMERFLOW_LEASE", "9")

    ended = run("config", "set", "lease", "60")

    assert "lease is still 9.0: $HAMMERFLOW_LEASE wins over hammerflow.toml" in ended.err
    assert (folder / "hammerflow.toml").read_text() == "lease = 60\n"
    assert run("config", "path").out.strip() == str(folder / "hammerflow.toml")
