"""Redis URLs: checked here, because redis-py ignores what it cannot read."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from hammerflow.errors import ConfigError
from hammerflow.text import safe_repr

__all__ = ["checked_redis_url", "redacted_redis_url", "shareable_redis_url"]

_ENCODE: Final = (
    "a special character in user or password must be percent-encoded (@ is %40, / is %2F, % is %25)"
)
#: The options of https://redis.readthedocs.io/en/stable/connections.html that matter to rings.
_OPTIONS: Final = frozenset(
    {"client_name", "db", "health_check_interval", "password", "protocol", "retry_on_timeout"}
    | {"socket_connect_timeout", "socket_keepalive", "socket_timeout", "username"}
    | {"ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname"}
    | {"ssl_ciphers", "ssl_keyfile", "ssl_min_version", "ssl_password"}
)
#: What the values of some options look like; redis-py fails with less to say about the others.
_VALUES: Final = {
    "db": "[0-9]{1,9}", "protocol": "[23]", "ssl_cert_reqs": "none|optional|required",
    **dict.fromkeys(
        ("health_check_interval", "socket_connect_timeout", "socket_timeout"),
        r"[0-9]{1,9}(\.[0-9]{1,9})?",
    ),
}  # fmt: skip


def checked_redis_url(url: str) -> str:
    """The URL itself: ``redis://user:password@host:6379/0``, rediss (TLS) or ``unix:///path?db=0``.

    Raises:
        ConfigError: redis-py would refuse a part of it or silently ignore it; the message never
            contains the password.
    """
    scheme = url.partition("://")[0]
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"the redis URL cannot be read: {_ENCODE}") from error
    if parts.fragment or "@" in parts.path + parts.query or not url.isprintable():
        raise ConfigError(f"the redis URL cannot be read: {_ENCODE}")
    options = parse_qsl(parts.query, keep_blank_values=True)
    for name, _ in options:
        if name not in _OPTIONS:
            known = ", ".join(sorted(_OPTIONS))
            raise ConfigError(
                f"the redis URL has an unknown option {safe_repr(name, 40)}; it may have {known}"
            )
    if scheme == "unix":
        if not parts.path.startswith("/") or parts.netloc.rpartition("@")[2]:
            raise ConfigError("a unix:// URL names a socket: unix:///run/redis.sock")
    else:
        _check_place(parts.netloc.rpartition("@")[2])
        _check_database(parts.path[1:])
    for name, value in options:
        if not re.fullmatch(_VALUES.get(name, ".*"), value, re.ASCII | re.DOTALL):
            raise ConfigError(
                f"the redis URL's option {name} cannot be {safe_repr(value)}: see redis-py's manual"
            )
    return url


def shareable_redis_url(url: str) -> str | None:
    """The URL if it holds no secret and no path of this host alone; None if it does."""
    parts = urlsplit(url)
    is_plain = "@" not in parts.netloc and {name for name, _ in parse_qsl(parts.query)} <= {"db"}
    return url if is_plain else None


def redacted_redis_url(url: str) -> str:
    """The URL without its password, for people."""
    login, at, place = urlsplit(url).netloc.rpartition("@")
    user = login.partition(":")[0]
    shown = url.replace(f"//{login}@{place}", f"//{user}:***@{place}", 1) if at else url
    return re.sub(r"(?<=[?&])(\w*password)=[^&]*", r"\1=***", shown)


def _check_place(place: str) -> None:
    found = re.fullmatch(r"(?:\[[^\]]*\]|[^:]*)(?::([0-9]{0,5}))?", place, re.ASCII)
    if found is None or int(found[1] or 0) > 65535:
        raise ConfigError(f"the redis URL's port is not a number up to 65535; {_ENCODE}")


def _check_database(text: str) -> None:
    if text and not re.fullmatch("[0-9]{1,9}", unquote(text), re.ASCII):
        raise ConfigError(
            "the redis URL's database must be a number, as in redis://host/0, "
            f"not {safe_repr(text)}"
        )
