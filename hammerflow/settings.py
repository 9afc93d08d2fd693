"""Settings of an app: keyword > environment > hammerflow.toml > default; and the database's URL."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hammerflow.errors import ConfigError
from hammerflow.options.checks import (
    FLAG,
    KEEP_LOGS,
    Unfit,
    ValueCheck,
    choice,
    duration,
    expiry,
    lifetime,
    pattern,
    text,
    whole,
)
from hammerflow.options.modules import MODULES
from hammerflow.options.option import Option, OptionTable, documented, unknown_option
from hammerflow.options.patterns import HIDDEN_NAMES, PATTERNS
from hammerflow.options.variables import SINK_PREFIX, VARIABLES, Bounds
from hammerflow.urls.database import DatabaseURL, parse_url
from hammerflow.urls.redis import checked_redis_url, shareable_redis_url

__all__ = [
    "AGING", "PRIORITIES", "SETTINGS", "DatabaseURL", "Settings", "check_file", "environ_with",
    "load_settings", "parse_url",
]  # fmt: skip

_log = logging.getLogger("hammerflow.settings")

_NAMESPACE = pattern(r"[A-Za-z0-9_.:-]{1,100}", "1 to 100 letters, digits or _ . : -")
_URL = text(10_000)
_SECONDS = duration(zero=False, most=1_000_000)


def _database(value: Any) -> str:
    """The URL; of SQLite with an absolute path, so that no ``chdir`` makes it another file."""
    given = _URL.read(value)
    url = parse_url(given)
    if url.dialect != "sqlite" or os.path.isabs(url.database):
        return given  # type: ignore[no-any-return]
    try:
        path = os.path.abspath(url.database)
    except OSError as error:
        raise ConfigError(
            "the working directory, in which the SQLite file would be, cannot be read "
            f"({error.strerror}): write an absolute path, sqlite:////..."
        ) from None
    return "sqlite:///" + path.replace("%", "%25").replace("?", "%3F")


def _redis(value: Any) -> str:
    url = _URL.read(value)
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise Unfit(value=url.partition(":")[0][:20])  # the rest may hold a password
    return checked_redis_url(url)


def _networks(value: Any) -> tuple[str, ...]:
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise Unfit
    if not parts:
        return ()
    from hammerflow.webhooks.guarded_http import networks  # imports ssl

    found = []
    for part in parts:
        try:
            found += [str(network) for network in networks([part])]
        except ConfigError:
            raise Unfit(value=part) from None
    return tuple(found)


#: Networks, as a list or separated by commas.
_NETWORKS = ValueCheck(
    "list[str]", "networks, such as 10.2.0.0/16", _networks, bounds="networks",
)  # fmt: skip
#: How priorities count.
PRIORITIES = choice("strict", "weighted")
#: Seconds that raise a job by one priority.
AGING = duration(zero=False, most=100_000_000)
_LIFETIME = lifetime()
_DAY = 86_400.0
_LIFETIMES = {
    "completed": 7 * _DAY,
    "failed": 30 * _DAY,
    "cancelled": 7 * _DAY,
    "skipped": 7 * _DAY,
}

#: Every setting: a keyword of ``Hammerflow(...)``, an environment variable, a key of the file.
SETTINGS = OptionTable((
    Option(
        "database", ValueCheck("str", _URL.wanted, _database),
        '"sqlite:///hammerflow.db"',
        "URL of the database: sqlite:///file.db, postgresql://... or mysql://...; a relative path "
        "is resolved once, when the app is created.",
    ),
    Option(
        "redis", ValueCheck("str", "a URL that begins with redis://, rediss:// or unix://", _redis),
        "None", "URL of the Redis that carries rings: redis://, rediss:// or unix://.",
    ),
    Option(
        "namespace", _NAMESPACE, "the app's name",
        "Prefix of the Redis channels; apps that share a Redis need different ones.",
    ),
    Option(
        "prefix",
        pattern("([a-z][a-z0-9_]{0,23})?", "empty or up to 24 lower-case letters, digits and _"),
        '"hammerflow_"', "Prefix of each table's name.",
    ),
    Option(
        "schema",
        pattern(
            "(?!pg_)[a-z_][a-z0-9_]{0,62}", "up to 63 lower-case letters, digits and _, not pg_..."
        ),
        "None", "PostgreSQL: schema of the tables; None uses the connection's search path.",
    ),
    Option(
        "lease", _SECONDS, "30",
        "Time without a heartbeat after which other workers take over the jobs.",
    ),
    Option("sweep", _SECONDS, "5", "Time between two searches for workers without a heartbeat."),
    Option("poll", _SECONDS, "1", "Time between two polls of the database while no ring arrives."),
    Option(
        "priorities", PRIORITIES, '"strict"',
        "Whether workers start jobs of the highest priority first (strict), or give each priority "
        "a share of the starts (weighted: 20, 10, 5, 2 and 1 of 38).",
    ),
    Option(
        "aging", AGING, "None",
        "With strict priorities: each time a ready job has waited this long, it counts as one "
        "priority higher.",
    ),
    Option(
        "serializer", choice("msgpack", "json"), '"msgpack"',
        "Encoding of arguments and results: msgpack or json.",
    ),
    Option(
        "max_payload", whole(1, 1 << 30, "bytes"), "1048576",
        "Maximum size of one job's encoded arguments, and of its encoded result.",
    ),
    Option(
        "doorbell", choice("auto", "redis", "postgres", "local", "none"), '"auto"',
        "How workers are woken: redis, postgres, local, none; auto takes redis if a redis URL is "
        "given, else local for SQLite, else none.",
    ),
    Option(
        "poison_limit", whole(1, 1000), "3",
        "A job is parked once its process has died this many times.",
    ),
    *(
        Option(
            f"retention_{state}", _LIFETIME, f"{seconds:.0f}",
            f"How long {state} jobs are kept after their end: a duration, after which they are "
            "deleted; archive after 7d; or never, which keeps them for good.",
        )
        for state, seconds in _LIFETIMES.items()
    ),
    Option(
        "archive_ttl", expiry(), "None",
        "How long the archive keeps a job after its end; with never or None, until it is purged.",
    ),
    Option(
        "statistics", FLAG, "True",
        "Whether workers count the jobs of each minute for queue stats, task stats and the web.",
    ),
    Option(
        "tracing", FLAG, "False",
        "Whether calls and runs of jobs are OpenTelemetry spans; needs the extra opentelemetry.",
    ),
    Option(
        "alerts", FLAG, "False",
        "Whether workers always evaluate the alert rules: without it they do so only if there is "
        "an alert target or a sink subscribes to events of alerts.",
    ),
    Option(
        "event_retention", _SECONDS, "259200",
        "How long the log keeps an event that all sinks have received; other events are kept for "
        "at least a week.",
    ),
    Option(
        "webhook_allow_networks", _NETWORKS, "()",
        "Non-public networks, such as 10.2.0.0/16, that webhooks may reach, and also HTTP sinks "
        "and alert targets that are not declared in code.",
    ),
    Option(
        "sink_environment", VARIABLES, "()",
        "Environment variables that sinks, webhooks and alert targets that are not declared in "
        "code may name as `${NAME}`, in addition to those that begin with `HAMMERFLOW_SINK_`.",
    ),
    Option(
        "redact", PATTERNS, "names of secrets",
        "Names of arguments, keys and fields whose values the web shows to nobody, in upper or "
        "lower case and at any depth; `type:Card` hides all objects of a class. Replaces the "
        "default list, which has `*password*`, `*secret*`, `*_token` and others.",
    ),
    Option(
        "connect_timeout", _SECONDS, "5", "Longest time to wait for a connection to the database."
    ),
    Option(
        "statement_timeout", _SECONDS, "60",
        "Longest time of one statement; migrations are exempt.",
    ),
    Option(
        "max_connections", whole(2, 10_000), "20",
        "Maximum number of database connections in one process; its threads share them.",
    ),
    Option(
        "pool_timeout", duration(most=1_000_000), "10",
        "Longest wait for a free one of these, and for a server that accepts no more.",
    ),
    Option(
        "keep_logs", KEEP_LOGS, '"never"',
        "Which attempts' log lines are kept with the job: never, on_failure (failed attempts) or "
        "always; a task may say otherwise.",
    ),
    Option(
        "keep_logs_level", choice("debug", "info", "warning", "error"), '"info"',
        "The lowest level of the lines that are kept; the worker's log level applies, too.",
    ),
    Option(
        "keep_logs_lines", whole(1, 10_000), "1000",
        "Maximum number of lines kept per attempt: its first and its last ones, 256 KiB "
        "together.",
    ),
    Option(
        "streams_per_user", whole(1, 100_000), "100",
        "Maximum number of event streams of one person or token at a time in one web process.",
    ),
    Option(
        "log_jobs", FLAG, "False",
        "Whether workers log the end of each job at level info; otherwise at debug.",
    ),
    Option(
        "configure_logging", FLAG, "True",
        "Whether a worker sets up the root logger; False leaves that to the application.",
    ),
    Option(
        "include", MODULES, "()",
        "Modules with tasks, which workers and commands import after the app; * matches any "
        "one part of a name.",
    ),
))  # fmt: skip
_OPTIONAL = frozenset({
    "redis", "schema", "aging", "archive_ttl", *(f"retention_{state}" for state in _LIFETIMES),
})  # fmt: skip


@documented(*SETTINGS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The checked settings of an app and its workers; durations in seconds.

    Each can be given as a keyword of ``Hammerflow(...)``, as the environment variable
    ``HAMMERFLOW_<NAME>`` (the two URLs: ``HAMMERFLOW_DATABASE_URL``, ``HAMMERFLOW_REDIS_URL``)
    or as a key of ``hammerflow.toml``. The keyword wins over the variable, which wins over
    the file. ``sources`` names what gave each that does not have its default.

    Raises:
        ConfigError: a value is out of range, or two settings contradict each other.
    """

    database: str = field(default="sqlite:///hammerflow.db", repr=False)  # holds a password
    redis: str | None = field(default=None, repr=False)
    namespace: str = "hammerflow"
    prefix: str = "hammerflow_"
    schema: str | None = None
    lease: float = 30.0
    sweep: float = 5.0
    poll: float = 1.0
    priorities: str = "strict"
    aging: float | None = None
    serializer: str = "msgpack"
    max_payload: int = 1 << 20
    doorbell: str = "auto"
    poison_limit: int = 3
    retention_completed: float | str | None = _LIFETIMES["completed"]
    retention_failed: float | str | None = _LIFETIMES["failed"]
    retention_cancelled: float | str | None = _LIFETIMES["cancelled"]
    retention_skipped: float | str | None = _LIFETIMES["skipped"]
    archive_ttl: float | None = None
    statistics: bool = True
    tracing: bool = False
    alerts: bool = False
    event_retention: float = 3 * _DAY
    webhook_allow_networks: tuple[str, ...] = ()
    sink_environment: tuple[str, ...] = ()
    redact: tuple[str, ...] = HIDDEN_NAMES
    connect_timeout: float = 5.0
    statement_timeout: float = 60.0
    max_connections: int = 20
    pool_timeout: float = 10.0
    keep_logs: str = "never"
    keep_logs_level: str = "info"
    keep_logs_lines: int = 1_000
    streams_per_user: int = 100
    log_jobs: bool = False
    configure_logging: bool = True
    include: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for option in SETTINGS:
            value = getattr(self, option.name)
            if value is not None or option.name not in _OPTIONAL:
                object.__setattr__(self, option.name, option.check(value, option.name))
        _check_together(self)

    @property
    def database_source(self) -> str:
        """What gave the database, such as ``$HAMMERFLOW_DATABASE_URL``."""
        return self.sources.get("database", "default")

    @property
    def url(self) -> DatabaseURL:
        """The database's URL, parsed."""
        return parse_url(self.database)

    @property
    def database_label(self) -> str:
        """The database's URL without its password, for logs."""
        return self.url.redacted

    def with_database(self, url: str, source: str) -> Settings:
        """These settings with another database; ``source`` says who gave it."""
        return dataclasses.replace(self, database=url, sources={**self.sources, "database": source})

    @property
    def bounds(self) -> Bounds:
        """What sinks, webhooks and alert targets may read and reach that no code declares."""
        return Bounds(self.sink_environment, self.webhook_allow_networks)

    @property
    def retention(self) -> dict[str, float | str | None]:
        """How long jobs are kept, by their end state."""
        return {state: getattr(self, f"retention_{state}") for state in _LIFETIMES}

    @property
    def bell(self) -> str:
        """The doorbell in force: redis, postgres, local or none."""
        if self.doorbell != "auto":
            return self.doorbell
        if self.redis is not None:
            return "redis"
        return "local" if self.url.dialect == "sqlite" else "none"

    @property
    def doorbell_address(self) -> dict[str, str | None]:
        """What others need to ring the same doorbell; a Redis URL that holds a secret is None."""
        redis = self.redis if self.bell == "redis" else None
        shown = shareable_redis_url(redis) if redis is not None else None
        return {"kind": self.bell, "namespace": self.namespace, "redis": shown}

    def to_dict(self) -> dict[str, Any]:
        """The settings as a dict that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Settings:
        """The inverse of :meth:`to_dict`."""
        return cls(**data)


def load_settings(
    name: str, keywords: Mapping[str, Any], environ: Mapping[str, str],
    toml_path: Path | None = None,
) -> Settings:  # fmt: skip
    """The settings of the app ``name``; ConfigError names a wrong or unknown one and its source.

    Args:
        keywords: the keywords of ``Hammerflow(...)``; None means not given.
        environ: the environment; empty variables are ignored, and a warning names unknown ones.
        toml_path: a file of settings, which need not exist.
    """
    in_file, given = _from_toml(toml_path), _from_keywords(keywords)
    values = in_file | _from_environ(environ) | given
    sources = dict.fromkeys(in_file, str(toml_path)) | _variables(environ)
    sources |= {setting: f"Hammerflow({setting}=...)" for setting in given}
    if "namespace" not in values:
        values["namespace"] = _NAMESPACE(name, "the app's name")
        sources["namespace"] = "the app's name"
    return Settings(**values, sources=sources)


def check_file(content: Mapping[str, Any]) -> None:
    """ConfigError if these settings cannot be the content of ``hammerflow.toml``."""
    Settings(**_checked(content, "hammerflow.toml", "hammerflow.toml"))


def environ_with(database: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with the database that the command line gives, so that settings which belong
    together are checked against that one."""
    others = {name: value for name, value in environ.items() if name != "HAMMERFLOW_DATABASE"}
    return {**others, "HAMMERFLOW_DATABASE_URL": database}


def _from_keywords(keywords: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in keywords.items() if value is not None}
    return _checked(given, "Hammerflow({}=...)", "Hammerflow(...)")


def _from_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    known = set(_OTHERS)
    for option in SETTINGS:
        variables = _variables_of(option.name)
        known.update(variables)
        given = {v: value for v in variables if (value := environ.get(v, "").strip())}
        if len(set(given.values())) > 1:
            raise ConfigError(f"${' and $'.join(given)} differ: set one of them")
        for variable, value in given.items():
            found[option.name] = option.check.from_text(value, f"{option.name} (from ${variable})")
    for variable in sorted(environ):
        if variable.startswith(_PREFIX) and variable not in known:
            _warn_of(variable, tuple(sorted(name.removeprefix(_PREFIX) for name in known)))
    return found


def _variables_of(setting: str) -> list[str]:
    """The environment variables of a setting."""
    name = f"{_PREFIX}{setting.upper()}"
    return [f"{name}_URL", name] if setting in ("database", "redis") else [name]


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variable that gives each setting which the environment has."""
    return {
        option.name: f"${variable}"
        for option in SETTINGS
        for variable in reversed(_variables_of(option.name))
        if environ.get(variable, "").strip()
    }


_PREFIX = "HAMMERFLOW_"
#: Variables that are not settings: of the command line, and of the failpoints.
_OTHERS = ("HAMMERFLOW_APP", "HAMMERFLOW_PRELOAD", "HAMMERFLOW_FAILPOINTS")
#: What Kubernetes sets for a service "hammerflow" or "hammerflow-web", and what our tests read.
_FOREIGN = re.compile(r"(.*_)?SERVICE_(HOST|PORT(_.*)?)|(.*_)?PORT(_\d+_(TCP|UDP)(_.*)?)?|TEST_.*")


@functools.cache
def _warn_of(variable: str, known: tuple[str, ...]) -> None:
    """Log a variable that nothing reads, once in a process."""
    name = variable.removeprefix(_PREFIX)
    if _FOREIGN.fullmatch(name) or variable.startswith(SINK_PREFIX):
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    hint = f"did you mean ${_PREFIX}{near[0]}?" if near else "remove it, or correct its name"
    _log.warning("$%s is not a setting of hammerflow: %s", variable, hint)


def _from_toml(path: Path | None) -> dict[str, Any]:
    if path is None or not path.exists():
        return {}
    import tomllib  # few keep their settings in a file

    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    return _checked(content, str(path), str(path))


def _checked(given: Mapping[str, Any], source: str, owner: str) -> dict[str, Any]:
    """The settings of one source; ``source`` names it for each of them."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        option = SETTINGS.by_name.get(name)
        if option is None:
            raise ConfigError(unknown_option(name, SETTINGS.by_name, owner))
        found[name] = option.check(value, f"{name} (from {source.format(name)})")
    return found


def _check_together(settings: Settings) -> None:
    dialect = settings.url.dialect
    if settings.schema is not None and dialect != "postgres":
        raise ConfigError("schema is for PostgreSQL only; use prefix to keep tables apart")
    if settings.doorbell == "redis" and settings.redis is None:
        raise ConfigError("doorbell is redis, but no redis URL is given")
    if settings.doorbell == "postgres" and dialect != "postgres":
        raise ConfigError("doorbell is postgres, but the database is not PostgreSQL")
