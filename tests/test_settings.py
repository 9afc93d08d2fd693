"""Settings: keyword > environment > hammerflow.toml > default, each checked and named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hammerflow.errors import ConfigError
from hammerflow.settings import Settings, load_settings


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "hammerflow.toml"


def load(
    keywords: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    toml_path: Path | None = None,
) -> Settings:
    return load_settings("shop", keywords or {}, environ or {}, toml_path)


def test_the_defaults_are_those_of_the_product() -> None:
    settings = load()
    assert settings.database == f"sqlite:///{Path.cwd()}/hammerflow.db"
    assert settings.redis is None
    assert settings.namespace == "shop"
    assert (settings.lease, settings.sweep, settings.poll) == (30, 5, 1)
    assert (settings.max_payload, settings.poison_limit) == (1 << 20, 3)
    assert (settings.prefix, settings.schema) == ("hammerflow_", None)


@given(sources=st.sets(st.sampled_from(["keyword", "environment", "toml"])))
def test_the_nearest_source_wins(
    tmp_path_factory: pytest.TempPathFactory, sources: set[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "precedence.toml"
    path.write_text("lease = 3\n" if "toml" in sources else "", "utf-8")
    settings = load(
        {"lease": 1 if "keyword" in sources else None},
        {"HAMMERFLOW_LEASE": "2" if "environment" in sources else ""},
        path,
    )
    values = {"keyword": 1.0, "environment": 2.0, "toml": 3.0}
    assert settings.lease == min((values[source] for source in sources), default=30.0)


def test_each_setting_can_be_given_everywhere(toml: Path) -> None:
    values: dict[str, Any] = {
        "database": "postgresql://u@h/db",
        "redis": "rediss://h:6379/1",
        "namespace": "a.b:c-d_1",
        "prefix": "q_",
        "schema": "jobs",
        "lease": 2.5,
        "sweep": 1.0,
        "poll": 0.25,
        "priorities": "weighted",
        "aging": 600.0,
        "serializer": "json",
        "max_payload": 4096,
        "doorbell": "postgres",
        "poison_limit": 7,
        "retention_completed": 3600.0,
        "retention_failed": 7200.0,
        "retention_cancelled": 1.5,
        "retention_skipped": 0.0,
        "archive_ttl": 86_400.0,
        "event_retention": 60.0,
        "keep_logs": "on_failure",
        "keep_logs_level": "debug",
        "keep_logs_lines": 50,
        "streams_per_user": 7,
        "statistics": False,
        "alerts": True,
        "tracing": True,
        "webhook_allow_networks": ("10.2.0.0/16", "fd00:1::/32"),
        "sink_environment": ("OPS_TOKEN", "CHAT_HOOK"),
        "redact": ("*pin*", "type:Card"),
        "connect_timeout": 2.0,
        "statement_timeout": 9.0,
        "max_connections": 7,
        "pool_timeout": 3.0,
        "log_jobs": True,
        "configure_logging": False,
        "include": ("shop.mail", "shop.*.tasks"),
    }
    known = [field for field in fields(Settings) if field.name != "sources"]
    assert values.keys() == {field.name for field in known}
    assert all(values[field.name] != field.default for field in known)
    urls = {"database": "DATABASE_URL", "redis": "REDIS_URL"}
    environ = {
        f"HAMMERFLOW_{urls.get(key, key.upper())}": (
            ", ".join(value) if isinstance(value, tuple) else str(value)
        )
        for key, value in values.items()
    }
    toml.write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()), "utf-8"
    )
    assert load(values) == load({}, environ) == load({}, {}, toml) == Settings(**values)


def test_durations_may_be_timedeltas() -> None:
    assert load({"lease": timedelta(minutes=1)}).lease == 60


def test_a_retention_may_be_never(toml: Path) -> None:
    toml.write_text('retention_failed = "never"\n', "utf-8")
    settings = load({}, {"HAMMERFLOW_RETENTION_SKIPPED": "never"}, toml)
    week = 7 * 86_400.0
    assert settings.retention == {
        "completed": week, "failed": None, "cancelled": week, "skipped": None,
    }  # fmt: skip
    assert load({}, {"HAMMERFLOW_RETENTION_FAILED": "12h"}).retention["failed"] == 12 * 3600
    with pytest.raises(ConfigError, match='"never" or "archive after 7d"'):
        load({"retention_failed": "for ever"})


def test_a_name_from_elsewhere_may_be_in_the_environment(caplog: pytest.LogCaptureFixture) -> None:
    environ = {
        "HAMMERFLOW_APP": "shop:app",
        "HAMMERFLOW_SERVICE_HOST": "10.0.0.1",  # Kubernetes sets such for a service "hammerflow"
        "HAMMERFLOW_REDIS_PORT": "tcp://10.0.0.1:6379",
        "HAMMERFLOW_REDIS_PORT_6379_TCP_ADDR": "10.0.0.1",
        "HAMMERFLOW_WEB_SERVICE_PORT_HTTP": "8787",
        "HAMMERFLOW_PORT": "tcp://10.0.0.1:80",
        "HAMMERFLOW_POLL": "  ",
        "hammerflow_poll": "7",
    }
    assert load({}, environ) == load()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("HAMMERFLOW_LEESE", "did you mean $HAMMERFLOW_LEASE?"),
        ("HAMMERFLOW_DATABSE_URL", "did you mean $HAMMERFLOW_DATABASE_URL?"),
        ("HAMMERFLOW_COLOUR", "remove it, or correct its name"),
    ],
)
def test_a_variable_that_nothing_reads_is_named_once(
    variable: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        load({}, {variable: "1"})

    assert caplog.messages == [f"${variable} is not a setting of hammerflow: {said}"]


@pytest.mark.parametrize(("name", "value"), [("DATABASE", "mysql://h/d"), ("REDIS", "redis://h/1")])
def test_a_url_has_two_variables_that_must_agree(name: str, value: str) -> None:
    short, long = f"HAMMERFLOW_{name}", f"HAMMERFLOW_{name}_URL"

    assert load({}, {short: value}) == load({}, {long: value})
    assert load({}, {short: value, long: value}) == load({}, {short: value})
    with pytest.raises(ConfigError) as caught:
        load({}, {short: value, long: value + "2"})
    assert str(caught.value) == f"${long} and ${short} differ: set one of them"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///jobs.db", "jobs.db"),
        ("sqlite:///./a/../jobs.db", "jobs.db"),
        ("sqlite:///a%20%25%3Fb.db", "a %?b.db"),
    ],
)
def test_a_relative_path_is_resolved_once(
    url: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sources = [
        load({"database": url}),
        load({}, {"HAMMERFLOW_DATABASE_URL": url}),
        Settings(database=url),
    ]
    monkeypatch.chdir("/")

    assert {settings.url.database for settings in sources} == {str(tmp_path / path)}
    assert Settings.from_dict(sources[0].to_dict()).url.database == str(tmp_path / path)
    assert sources[0].database_label == sources[0].database


def test_a_relative_path_needs_a_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    with pytest.raises(ConfigError, match="write an absolute path, sqlite:////"):
        load()
    assert load({"database": "sqlite:////tmp/x.db"}).url.database == "/tmp/x.db"


def test_a_file_that_does_not_exist_is_no_file(toml: Path) -> None:
    assert load({}, {}, toml) == load()


@pytest.mark.parametrize(
    ("keywords", "environ", "said"),
    [
        ({"leese": 1}, {}, "Hammerflow(...) has no option 'leese': did you mean lease?"),
        (
            {"lease": "soon"},
            {},
            "lease (from Hammerflow(lease=...)) must be a duration of",
        ),
        ({"lease": 0}, {}, "not 0"),
        ({"lease": True}, {}, "not True"),
        ({"lease": float("nan")}, {}, "not nan"),
        ({"lease": timedelta(0)}, {}, "must be a duration of more than 0"),
        ({"lease": 10**400}, {}, "must be a duration of more than 0"),
        (
            {},
            {"HAMMERFLOW_LEASE": "-1"},
            "lease (from $HAMMERFLOW_LEASE) must be a dura",
        ),
        ({}, {"HAMMERFLOW_POLL": "inf"}, "poll (from $HAMMERFLOW_POLL)"),
        (
            {"max_payload": 1.5},
            {},
            "max_payload (from Hammerflow(max_payload=...)) must be a whole",
        ),
        ({"max_payload": 0}, {}, "from 1 to 1073741824, not 0"),
        ({"poison_limit": "-3"}, {}, "poison_limit"),
        ({}, {"HAMMERFLOW_POISON_LIMIT": "\uff19"}, "poison_limit (from $HAMMERFLOW_POISON_LIMIT)"),
        ({"log_jobs": "perhaps"}, {}, "log_jobs (from Hammerflow(log_jobs=...)) must be true or"),
        ({"serializer": "pickle"}, {}, "must be one of msgpack, json, not 'pickle'"),
        ({"doorbell": ["redis"]}, {}, "must be one of auto, redis, postgres, local, none"),
        ({"doorbell": "redis"}, {}, "doorbell is redis, but no redis URL is given"),
        ({"doorbell": "postgres"}, {}, "the database is not PostgreSQL"),
        ({"schema": "jobs"}, {}, "schema is for PostgreSQL only"),
        ({"prefix": 'a"; drop'}, {}, "prefix (from Hammerflow(prefix=...)) must be empty or"),
        ({"prefix": "Caps_"}, {}, "lower-case"),
        ({"prefix": "a\n"}, {}, "lower-case"),
        ({"prefix": "x" * 25}, {}, "up to 24"),
        ({"namespace": "a b"}, {}, "letters, digits or _ . : -"),
        ({"namespace": 7}, {}, "letters, digits or _ . : -, not 7"),
        (
            {"redis": "http://h"},
            {},
            "begins with redis://, rediss:// or unix://, not 'http'",
        ),
        ({}, {"HAMMERFLOW_REDIS_URL": "localhost"}, "redis (from $HAMMERFLOW_REDIS_URL) must"),
        ({}, {"HAMMERFLOW_DATABASE_URL": "oracle://h"}, "database (from $HAMMERFLOW_DATABASE_URL)"),
        (
            {"database": Path("x.db")},
            {},
            "must be a text of up to 10000 characters, not Po",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_source(
    keywords: dict[str, Any], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(keywords, environ)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"lease = ", "cannot be read as TOML"),
        (b"\xff\xfe", "cannot be read as TOML"),
        (b"leese = 1", "hammerflow.toml has no option 'leese': did you mean lease?"),
        (b"lease = '30'", "hammerflow.toml) must be a duration of more than 0"),
        (b"lease = true", "not True"),
        (b"redis = 5", "redis (from"),
        (b"[lease]\nx = 1", "must be a duration of more than 0"),
        (b"[worker]\nx = 1", "has no option 'worker'"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name(toml: Path, content: bytes, said: str) -> None:
    toml.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load({}, {}, toml)
    assert said in str(caught.value)
    assert "hammerflow.toml" in str(caught.value)


def test_a_folder_in_place_of_the_file_is_refused(toml: Path) -> None:
    toml.mkdir()
    with pytest.raises(ConfigError, match=r"hammerflow\.toml cannot be read"):
        load({}, {}, toml)


@pytest.mark.parametrize("name", ["", "my shop", "a\0", "x" * 101, "größe", "a\n"])
def test_an_app_needs_a_plain_name_or_a_namespace(name: str) -> None:
    with pytest.raises(ConfigError, match="the app's name must be"):
        load_settings(name, {}, {})


@pytest.mark.parametrize(
    ("given", "bell"),
    [
        ({}, "local"),
        ({"redis": "redis://h"}, "redis"),
        ({"database": "postgresql://h/d"}, "none"),
        ({"database": "mysql://h/d"}, "none"),
        ({"database": "mysql://h/d", "redis": "unix:///run/redis.sock"}, "redis"),
        ({"database": "postgresql://h/d", "doorbell": "postgres"}, "postgres"),
        ({"redis": "redis://h", "doorbell": "none"}, "none"),
        ({"database": "mysql://h/d", "doorbell": "local"}, "local"),
    ],
)
def test_the_doorbell_follows_from_what_there_is(given: dict[str, Any], bell: str) -> None:
    assert load(given).bell == bell


def test_settings_go_round_through_plain_data() -> None:
    settings = load({"database": "mysql://u:p@h/d", "lease": 3, "redis": "redis://h"})
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_settings_made_by_hand_are_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"^poll must be a duration of more than 0"):
        Settings(poll=-1)
    with pytest.raises(ConfigError, match=r"^prefix must be"):
        Settings(prefix="a-b")
    with pytest.raises(ConfigError, match=r"^database must be a text"):
        Settings(database=None)  # type: ignore[arg-type]


def test_no_password_is_shown() -> None:
    settings = load(
        {"database": "postgresql://u:hunter2@h/d", "redis": "redis://:hunter2@h", "poll": 2}
    )
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in repr(settings.url)
    assert settings.database_label == "postgresql://u:***@h/d"
