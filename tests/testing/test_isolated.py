"""isolated(): an app that tests cannot run on the database that it was made with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hammerflow import ConfigError, Hammerflow
from hammerflow.testing import drain, isolated


@pytest.fixture
def production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which an app of default settings has its file."""
    folder = tmp_path / "production"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_an_app_with_default_settings_leaves_its_own_file_alone(
    production: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAMMERFLOW_REDIS_URL", "redis://production")
    app = Hammerflow("shop")  # as a module that is imported makes it

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    for name in ("one", "100% of two?"):
        folder = tmp_path / name
        folder.mkdir()
        with isolated(app, folder) as same:
            assert same is app
            assert os.environ["HAMMERFLOW_DATABASE_URL"].startswith(f"sqlite:///{tmp_path}/")
            assert "HAMMERFLOW_REDIS_URL" not in os.environ
            assert app.jobs() == []
            result = add.delay(2, 3)
            assert drain(app) == 1
            assert result.get(timeout=0) == 5
            inner = Hammerflow("another")  # made inside the block: in the same database
            assert [job.id for job in inner.jobs()] == [result.id]
            inner.close()
        assert (folder / "jobs.db").exists()
    assert not list(production.iterdir())
    assert "HAMMERFLOW_DATABASE_URL" not in os.environ
    assert os.environ["HAMMERFLOW_REDIS_URL"] == "redis://production"
    assert (app.settings.redis, app.settings.database_label) == (
        "redis://production", f"sqlite:///{production}/hammerflow.db",
    )  # fmt: skip


def test_jobs_that_wait_in_the_apps_own_database_are_not_run(
    production: Path, tmp_path: Path
) -> None:
    app = Hammerflow("shop")
    ran: list[str] = []

    @app.task
    def mail(to: str) -> None:
        ran.append(to)

    real = mail.delay("a customer")
    with pytest.raises(ZeroDivisionError), isolated(app, tmp_path):
        mail.delay("a test")
        drain(app)
        raise ZeroDivisionError
    assert ran == ["a test"]
    assert str(real.state) == "ready"
    assert [job.id for job in app.jobs()] == [real.id]
    app.close()


def test_any_database_may_be_given_but_the_apps_own(
    migrated_url: str, fresh_database: object, database_kind: str, tmp_path: Path
) -> None:
    app = Hammerflow("shop", database=migrated_url)

    @app.task
    def add(x: int) -> int:
        return x

    for _ in range(2):
        with (
            pytest.raises(ConfigError, match=r"the app's own database"),
            isolated(app, migrated_url),
        ):
            pass
    fresh = fresh_database(database_kind)  # type: ignore[operator]
    with isolated(app, fresh):
        result = add.delay(1)
        drain(app)
        assert result.get(timeout=0) == 1
    assert app.jobs() == []
    with pytest.raises(ConfigError), isolated(app, "nonsense"):
        pass
    app.close()
