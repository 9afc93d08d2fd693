"""Settings of an app: keyword > environment > hammerflow.toml > default; and the database's URL."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from hammerflow.errors import ConfigError
from hammerflow.option import Option, documented

__all__ = ["SETTINGS", "DatabaseURL", "Settings", "load_settings", "parse_url"]

Dialect = Literal["sqlite", "postgres", "mysql"]


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{what} must be a string, not {value!r}")
    return value


def _database(value: Any, what: str) -> str:
    url = _text(value, what)
    try:
        parse_url(url)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from error
    return url


def _redis(value: Any, what: str) -> str:
    if not _text(value, what).startswith(("redis://", "rediss://", "unix://")):
        raise ConfigError(
            f"{what} must begin with redis://, rediss:// or unix://, not with {_scheme(value)!r}"
        )
    return str(value)


def _seconds(value: Any, what: str) -> float:
    try:
        number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if isinstance(value, bool) or not 0 < number <= 1e6:  # NaN is refused, too
        raise ConfigError(f"{what} must be more than 0 and at most 1000000 seconds, not {value!r}")
    return number


def _count(value: Any, what: str, *, most: int) -> int:
    is_number = not isinstance(value, bool) and re.fullmatch("[0-9]{1,18}", str(value), re.ASCII)
    if not is_number or not 1 <= int(value) <= most:
        raise ConfigError(f"{what} must be a whole number from 1 to {most}, not {value!r}")
    return int(value)


def _flag(value: Any, what: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True}
    known |= {"0": False, "false": False, "no": False, "off": False}
    found = known.get(str(value).lower())
    if found is None:
        raise ConfigError(f"{what} must be true or false, not {value!r}")
    return found


def _one_of(value: Any, what: str, *, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ConfigError(f"{what} must be one of {', '.join(choices)}, not {value!r}")
    return str(value)


def _matching(value: Any, what: str, *, pattern: str, rule: str) -> str:
    if not re.fullmatch(pattern, _text(value, what), re.ASCII):
        raise ConfigError(f"{what} must be {rule}, not {value!r}")
    return str(value)


_namespace = partial(
    _matching,
    pattern=r"[A-Za-z0-9_.:-]{1,100}",
    rule="1 to 100 letters, digits or _ . : -",
)

_duration = partial(Option.duration, check=_seconds)

#: Every setting: a keyword of ``Hammerflow(...)``, an environment variable, a key of the file.
SETTINGS = (
    Option(
        "database", "str", '"sqlite:///hammerflow.db"',
        "URL of the database: sqlite:///file.db, postgresql://... or mysql://...", check=_database,
    ),
    Option(
        "redis", "str", "None",
        "URL of the Redis that carries rings: redis://, rediss:// or unix://.", check=_redis,
    ),
    Option(
        "namespace", "str", "the app's name",
        "Prefix of the Redis channels; apps that share a Redis need different ones.",
        check=_namespace,
    ),
    Option(
        "prefix", "str", '"hammerflow_"', "Prefix of each table's name.",
        check=partial(
            _matching, pattern="([a-z][a-z0-9_]{0,23})?",
            rule="empty or up to 24 lower-case letters, digits and _",
        ),
    ),
    Option(
        "schema", "str", "None",
        "PostgreSQL: schema of the tables; None uses the connection's search path.",
        check=partial(
            _matching, pattern="(?!pg_)[a-z_][a-z0-9_]{0,62}",
            rule="up to 63 lower-case letters, digits and _, not pg_...",
        ),
    ),
    _duration("lease", "30", "Time without a heartbeat until other workers take over the jobs."),
    _duration("sweep", "5", "Time between two searches for workers without a heartbeat."),
    _duration("poll", "1", "Time between two polls of the database while no ring arrives."),
    Option(
        "serializer", "str", '"msgpack"', 'Encoding of arguments and results: msgpack or json.',
        check=partial(_one_of, choices=("msgpack", "json")),
    ),
    Option(
        "max_payload", "int", "1048576",
        "Maximum size of one job's encoded arguments, and of its encoded result.", "bytes",
        partial(_count, most=1 << 30),
    ),
    Option(
        "doorbell", "str", '"auto"',
        "How workers are woken: redis, postgres, local, none; auto takes redis if a redis URL is "
        "given, else local for SQLite, else none.",
        check=partial(_one_of, choices=("auto", "redis", "postgres", "local", "none")),
    ),
    Option(
        "poison_limit", "int", "3", "A job is parked once its process has died this many times.",
        check=partial(_count, most=1000),
    ),
    _duration("connect_timeout", "5", "Longest time to wait for a connection to the database."),
    _duration("statement_timeout", "60", "Longest time of one statement on a database server."),
    Option(
        "log_jobs", "bool", "False",
        "Whether workers log the end of each job at level info; otherwise at debug.", check=_flag,
    ),
    Option(
        "configure_logging", "bool", "True",
        "Whether a worker sets up the root logger; False leaves that to the application.",
        check=_flag,
    ),
)  # fmt: skip
_CHECKS = {option.name: option.check for option in SETTINGS if option.check is not None}
_OPTIONAL = frozenset({"redis", "schema"})


@documented(*SETTINGS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The checked settings of an app and its workers; durations in seconds.

    Each can be given as a keyword of ``Hammerflow(...)``, as the environment variable
    ``HAMMERFLOW_<NAME>`` (the two URLs: ``HAMMERFLOW_DATABASE_URL``, ``HAMMERFLOW_REDIS_URL``)
    or as a key of ``hammerflow.toml``. The keyword wins over the variable, which wins over
    the file.

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
    serializer: str = "msgpack"
    max_payload: int = 1 << 20
    doorbell: str = "auto"
    poison_limit: int = 3
    connect_timeout: float = 5.0
    statement_timeout: float = 60.0
    log_jobs: bool = False
    configure_logging: bool = True

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                check(value, name)
        _check_together(self)

    @property
    def url(self) -> DatabaseURL:
        """The database's URL, parsed."""
        return parse_url(self.database)

    @property
    def database_label(self) -> str:
        """The database's URL without its password, for logs."""
        return self.url.redacted

    @property
    def bell(self) -> str:
        """The doorbell in force: redis, postgres, local or none."""
        if self.doorbell != "auto":
            return self.doorbell
        if self.redis is not None:
            return "redis"
        return "local" if self.url.dialect == "sqlite" else "none"

    def to_dict(self) -> dict[str, Any]:
        """The settings as a dict that JSON can hold."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Settings:
        """The inverse of :meth:`to_dict`."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class DatabaseURL:
    """The parts of a database's URL.

    Attributes:
        database: the database's name (SQLite: the file's path, relative or absolute).
        redacted: the URL without its password, for logs.
        host: None for a Unix socket or the driver's default; PostgreSQL may name several.
        socket: directory (PostgreSQL) or file (MySQL) of a Unix socket.
        options: the other parameters of the URL's query.
        conninfo: the URL as it was given, with its password, for libpq.
    """

    dialect: Dialect
    database: str
    redacted: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    socket: str | None = None
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    conninfo: str = field(default="", repr=False)

    @property
    def arguments(self) -> dict[str, Any]:
        """MySQL: the keywords of ``pymysql.connect``."""
        given: dict[str, Any] = {
            "host": self.host or "localhost", "port": self.port or 3306,
            "user": self.user, "password": self.password or "",
            "database": self.database, "unix_socket": self.socket,
        }  # fmt: skip
        options = {key: _plain(value) for key, value in self.options.items() if key != "charset"}
        return {key: value for key, value in given.items() if value is not None} | options


def load_settings(
    name: str, keywords: Mapping[str, Any], environ: Mapping[str, str],
    toml_path: Path | None = None,
) -> Settings:  # fmt: skip
    """The settings of the app ``name``; ConfigError names a wrong or unknown one and its source.

    Args:
        keywords: the keywords of ``Hammerflow(...)``; None means not given.
        environ: the environment; empty and unknown variables are ignored.
        toml_path: a file of settings, which need not exist.
    """
    found = _from_toml(toml_path) | _from_environ(environ) | _from_keywords(keywords)
    values = {
        key: _CHECKS[key](value, f"{key} (from {source})") for key, (value, source) in found.items()
    }
    values.setdefault("namespace", _namespace(name, "the app's name"))
    return Settings(**values)


def parse_url(url: str) -> DatabaseURL:
    """Parse the URL of a database.

    ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``postgresql://user:password@host/db``,
    ``mysql://...``, ``mariadb://...``; user, password and name are percent-decoded. A Unix socket
    is ``postgresql:///db?host=/run/postgresql`` or ``mysql:///db?unix_socket=/run/mysqld.sock``.

    Raises:
        ConfigError: the URL is malformed; the message never contains the password.
    """
    scheme, separator, rest = url.partition("://")
    dialect = _DIALECTS.get(scheme.lower())
    if not separator or dialect is None:
        raise ConfigError(
            "a database URL begins with sqlite:///, postgresql:// or mysql://, "
            f"not with {_scheme(url)!r}"
        )
    return _sqlite_url(rest) if dialect == "sqlite" else _server_url(dialect, rest)


Found = dict[str, tuple[Any, str]]


def _from_keywords(keywords: Mapping[str, Any]) -> Found:
    for key in keywords:
        if key not in _CHECKS:
            raise ConfigError(f"{key} is not a setting of Hammerflow(...); {_settings_are()}")
    return {key: (v, f"Hammerflow({key}=...)") for key, v in keywords.items() if v is not None}


def _from_environ(environ: Mapping[str, str]) -> Found:
    found: Found = {}
    for key in _CHECKS:
        variable = f"HAMMERFLOW_{key.upper()}" + ("_URL" if key in ("database", "redis") else "")
        text = environ.get(variable, "").strip()
        if text:
            found[key] = (text, f"${variable}")
    return found


def _from_toml(path: Path | None) -> Found:
    if path is None or not path.exists():
        return {}
    import tomllib  # few keep their settings in a file

    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    for key in content:
        if key not in _CHECKS:
            raise ConfigError(f"{key} in {path} is not a setting; {_settings_are()}")
    return {key: (value, str(path)) for key, value in content.items()}


def _settings_are() -> str:
    return f"the settings are {', '.join(_CHECKS)}"


def _check_together(settings: Settings) -> None:
    dialect = settings.url.dialect
    if settings.schema is not None and dialect != "postgres":
        raise ConfigError("schema is for PostgreSQL only; use prefix to keep tables apart")
    if settings.doorbell == "redis" and settings.redis is None:
        raise ConfigError("doorbell is redis, but no redis URL is given")
    if settings.doorbell == "postgres" and dialect != "postgres":
        raise ConfigError("doorbell is postgres, but the database is not PostgreSQL")


_DIALECTS: Mapping[str, Dialect] = {
    "sqlite": "sqlite", "sqlite+pysqlite": "sqlite",
    "postgresql": "postgres", "postgres": "postgres", "postgresql+psycopg": "postgres",
    "mysql": "mysql", "mysql+pymysql": "mysql", "mariadb": "mysql", "mariadb+pymysql": "mysql",
}  # fmt: skip
_ENCODE = "a special character in user or password must be percent-encoded (@ is %40, / is %2F)"


def _sqlite_url(rest: str) -> DatabaseURL:
    place, _, query = rest.partition("?")
    path = unquote(place[1:])
    options = _options(query)
    if not place.startswith("/"):
        raise ConfigError("a SQLite URL has three slashes and a path: sqlite:///hammerflow.db")
    if path in ("", ":memory:") or options.get("mode") == "memory" or path.startswith("file:"):
        raise ConfigError(
            "SQLite in memory cannot be shared with workers, which are other processes: "
            "name a file, such as sqlite:///hammerflow.db"
        )
    if "\0" in path:
        raise ConfigError("the path of a SQLite URL holds a NUL character")
    return DatabaseURL("sqlite", path, f"sqlite://{rest}", options=options)


def _server_url(dialect: Dialect, rest: str) -> DatabaseURL:
    scheme = "postgresql" if dialect == "postgres" else "mysql"
    url = f"{scheme}://{rest}"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"the {scheme} URL cannot be read: {_ENCODE}") from error
    if parts.fragment or "@" in parts.path + parts.query:
        raise ConfigError(f"the {scheme} URL cannot be read: {_ENCODE}")
    login, _, place = parts.netloc.rpartition("@")
    user, has_password, password = login.partition(":")
    host, port = _host(place, scheme)
    options = _options(parts.query)
    database = unquote(parts.path[1:]) or options.pop("dbname", "")
    socket = options.pop("unix_socket", None) if dialect == "mysql" else _directory(host, options)
    if dialect == "mysql":
        _check_mysql(database, options)
    return DatabaseURL(
        dialect=dialect,
        database=database,
        redacted=_redacted(url, login, f"{user}:***" if has_password else user),
        user=unquote(user) or None,
        password=unquote(password) if has_password else None,
        host=unquote(host) or None,
        port=port,
        socket=socket,
        options=options,
        conninfo=url,
    )


def _host(place: str, scheme: str) -> tuple[str, int | None]:
    """``host:port``, ``[::1]:port``; of PostgreSQL's ``a:1,b:2`` the whole, without a port."""
    if "," in place:
        return place, None
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]{0,5}))?", place, re.ASCII)
    if found is None or int(found[2] or 0) > 65535:
        raise ConfigError(f"the {scheme} URL's port is not a number up to 65535; {_ENCODE}")
    return found[1].strip("[]"), int(found[2]) if found[2] else None


def _directory(host: str, options: Mapping[str, str]) -> str | None:
    place = unquote(host) or options.get("host", "")
    return place if place.startswith(("/", "@")) else None


def _check_mysql(database: str, options: Mapping[str, str]) -> None:
    if not database:
        raise ConfigError("the mysql URL names no database: mysql://user:password@host/database")
    for key in options:
        if key not in _MYSQL_OPTIONS:
            raise ConfigError(
                f"the mysql URL has an unknown option {key!r}; "
                f"it may have {', '.join(sorted(_MYSQL_OPTIONS))}, unix_socket"
            )


_MYSQL_OPTIONS = frozenset(
    {"bind_address", "charset", "read_default_file", "read_default_group", "server_public_key"}
    | {"ssl_ca", "ssl_cert", "ssl_disabled", "ssl_key", "ssl_key_password"}
    | {"ssl_verify_cert", "ssl_verify_identity"}
)


def _options(query: str) -> dict[str, str]:
    return dict(parse_qsl(query, keep_blank_values=True))


def _plain(value: str) -> Any:
    """A URL option as the value that pymysql takes."""
    return {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), value)


def _redacted(url: str, login: str, shown: str) -> str:
    plain = url.replace(f"//{login}@", f"//{shown}@", 1) if login else url
    return re.sub(r"(?<=[?&])((?:ssl)?(?:_key_)?password)=[^&]*", r"\1=***", plain)


def _scheme(url: str) -> str:
    return url.partition(":")[0][:20]
