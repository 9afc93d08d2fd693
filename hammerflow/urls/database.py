"""Database URLs: the parts of one, checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from hammerflow.errors import ConfigError
from hammerflow.text import safe_repr

__all__ = ["DatabaseURL", "parse_url"]

Dialect = Literal["sqlite", "postgres", "mysql"]


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
        """MySQL: the keywords of ``pymysql.connect``; what is left out, an option file may give."""
        given: dict[str, Any] = {
            "host": self.host, "port": self.port,
            "user": self.user, "password": self.password or "",
            "database": self.database, "unix_socket": self.socket,
        }  # fmt: skip
        options = {key: _plain(value) for key, value in self.options.items() if key != "charset"}
        return {key: value for key, value in given.items() if value is not None} | options


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
    if not separator and _scheme(url).lower() == "sqlite":
        raise ConfigError(_SLASHES)
    if not separator or dialect is None:
        raise ConfigError(
            "a database URL begins with sqlite:///, postgresql:// or mysql://, "
            f"not with {_scheme(url)!r}"
        )
    return _sqlite_url(rest) if dialect == "sqlite" else _server_url(dialect, rest)


_DIALECTS: Mapping[str, Dialect] = {
    "sqlite": "sqlite", "sqlite+pysqlite": "sqlite",
    "postgresql": "postgres", "postgres": "postgres", "postgresql+psycopg": "postgres",
    "mysql": "mysql", "mysql+pymysql": "mysql", "mariadb": "mysql", "mariadb+pymysql": "mysql",
}  # fmt: skip
_SLASHES = "a SQLite URL has three slashes and a path: sqlite:///hammerflow.db"
_ENCODE = (
    "a special character in user or password must be percent-encoded (@ is %40, / is %2F, % is %25)"
)


def _sqlite_url(rest: str) -> DatabaseURL:
    place, _, query = rest.partition("?")
    path = unquote(place[1:])
    options = _options(query)
    if not place.startswith("/"):
        raise ConfigError(_SLASHES)
    if path in ("", ":memory:") or options.get("mode") == "memory" or path.startswith("file:"):
        raise ConfigError(
            "SQLite in memory cannot be shared with workers, which are other processes: "
            "name a file, such as sqlite:///hammerflow.db"
        )
    if "\0" in path:
        raise ConfigError("the path of a SQLite URL holds a NUL character")
    if path.startswith("~"):
        home = os.path.expanduser(path)
        raise ConfigError(f"~ is not expanded in a SQLite URL: write sqlite:///{home}")
    if options:
        raise ConfigError(f"a SQLite URL takes no options, not {safe_repr(min(options), 80)}")
    return DatabaseURL("sqlite", path, f"sqlite://{rest}")


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
    # libpq would take the rest of the login for the host, and refuses a % that encodes nothing
    if dialect == "postgres" and ("@" in login or re.search("%(?![0-9A-Fa-f]{2})|%00", url)):
        raise ConfigError(f"the {scheme} URL cannot be read: {_ENCODE}")
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
    charset = options.get("charset", "utf8mb4")
    if charset.lower() != "utf8mb4":
        raise ConfigError(
            f"the mysql URL's charset must be utf8mb4, not {safe_repr(charset, 40)}: "
            "other charsets cannot store all text"
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
