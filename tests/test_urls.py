"""Database URLs: their parts, their dialect, and that no password leaves them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hammerflow.errors import ConfigError
from hammerflow.settings import parse_url
from hammerflow.urls.redis import checked_redis_url


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///hammerflow.db", "hammerflow.db"),
        ("sqlite:///./data/jobs.db", "./data/jobs.db"),
        ("sqlite:////var/lib/jobs.db", "/var/lib/jobs.db"),
        ("sqlite:////tmp/a%20b%23.db", "/tmp/a b#.db"),
        ("SQLITE:///x.db", "x.db"),
        ("sqlite+pysqlite:///x.db", "x.db"),
        ("sqlite:////tmp/ö.db", "/tmp/ö.db"),
    ],
)
def test_a_sqlite_url_names_a_file(url: str, path: str) -> None:
    parsed = parse_url(url)
    assert (parsed.dialect, parsed.database) == ("sqlite", path)


@pytest.mark.parametrize(
    "url",
    ["sqlite:///:memory:", "sqlite:///", "sqlite:///x?mode=memory", "sqlite:///file:x?mode=memory"],
)
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="workers, which are other processes: name a file"):
        parse_url(url)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("postgresql://h/d", {"host": "h", "database": "d", "port": None, "user": None}),
        ("postgres://u:p@h:5433/d", {"user": "u", "password": "p", "port": 5433}),
        ("postgresql+psycopg://u@h/d", {"user": "u", "password": None}),
        ("postgresql://u:p%40%2F%3A@h/d%20e", {"password": "p@/:", "database": "d e"}),
        ("postgresql://[::1]:5433/d", {"host": "::1", "port": 5433}),
        ("postgresql://[::1]/d", {"host": "::1", "port": None}),
        ("postgresql://a:1,b:2/d", {"host": "a:1,b:2", "port": None}),
        ("postgresql:///d?host=/run/pg", {"host": None, "socket": "/run/pg", "database": "d"}),
        ("postgresql://%2Frun%2FPG/d", {"host": "/run/PG", "socket": "/run/PG"}),
        ("postgresql:///?dbname=d&user=u", {"database": "d"}),
        ("postgresql://h/d?sslmode=require", {"options": {"sslmode": "require"}}),
        ("postgresql://", {"host": None, "database": ""}),
    ],
)
def test_a_postgresql_url_in_its_parts(url: str, parts: dict[str, Any]) -> None:
    parsed = parse_url(url)
    assert parsed.dialect == "postgres"
    assert {key: getattr(parsed, key) for key in parts} == parts


def test_libpq_gets_the_url_as_it_is() -> None:
    url = "postgresql://u:p%40@a:1,b:2/d?sslmode=require&target_session_attrs=read-write"
    assert parse_url(url).conninfo == url
    for scheme in ("postgres", "postgresql+psycopg"):
        assert parse_url(url.replace("postgresql", scheme)).conninfo == url


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        (
            "mysql://u:p%40w@h/d",
            {"host": "h", "user": "u", "password": "p@w", "database": "d"},
        ),
        (
            "mariadb://h:3307/d?charset=utf8mb4",
            {"host": "h", "port": 3307, "password": "", "database": "d"},
        ),
        (
            "mysql+pymysql://root@/d?unix_socket=/run/my.sock",
            {"user": "root", "password": "", "database": "d"} | {"unix_socket": "/run/my.sock"},
        ),
        (
            "mariadb+pymysql://[::1]/d?ssl_ca=/ca.pem&ssl_verify_cert=true&ssl_disabled=0",
            {"host": "::1", "password": "", "database": "d"}
            | {"ssl_ca": "/ca.pem", "ssl_verify_cert": True, "ssl_disabled": False},
        ),
    ],
)
def test_a_mysql_url_gives_the_drivers_arguments(url: str, arguments: dict[str, Any]) -> None:
    parsed = parse_url(url)
    assert parsed.dialect == "mysql"
    assert parsed.arguments == arguments


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "begins with sqlite:///, postgresql:// or mysql://, not with ''"),
        ("jobs.db", "not with 'jobs.db'"),
        ("oracle://u:hunter2@h/d", "not with 'oracle'"),
        ("postgresql+asyncpg://u:hunter2@h/d", "not with 'postgresql+asyncpg'"),
        ("postgresql:u:hunter2@h/d", "not with 'postgresql'"),
        ("sqlite://jobs.db", "three slashes"),
        ("sqlite:/jobs.db", "three slashes"),
        ("SQLite:jobs.db", "three slashes"),
        ("sqlite:///a%00b", "NUL"),
        ("mysql://u:hunter2@h", "names no database"),
        ("mysql://u:hunter2@h/", "names no database"),
        ("mysql://u:hunter2@h/d?nope=1", "unknown option 'nope'"),
        ("mysql://u:hunter2@h/d?charset=latin1", "charset must be utf8mb4, not 'latin1'"),
        ("mysql://u:hunter2@h:x/d", "port is not a number"),
        ("mysql://u:hunter2@h:65536/d", "port is not a number up to 65535"),
        ("mysql://u:hunter2@h:-1/d", "port is not a number"),
        ("mysql://u:hunter2@h:٣/d", "port is not a number"),
        ("mysql://u:hun/ter2@h/d", "percent-encoded"),
        ("mysql://u:hun#ter2@h/d", "percent-encoded"),
        ("mysql://u:1?hunter2@h/d", "percent-encoded"),
        ("postgresql://[::1/d", "percent-encoded"),
        ("postgresql://u:hun@ter2@h/d", "percent-encoded"),
        ("postgresql://u:hun%ter2@h/d", "% is %25"),
        ("postgresql://u:hun%00ter2@h/d", "% is %25"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "ter2" not in str(caught.value)


# No server takes a NUL: test_a_wrong_url_is_refused_without_its_password has it.
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
)


@given(scheme=st.sampled_from(["postgresql", "mysql"]), user=TEXTS, password=TEXTS, database=TEXTS)
def test_any_percent_encoded_login_comes_back_and_is_not_shown(
    scheme: str, user: str, password: str, database: str
) -> None:
    secret = quote(password, safe="") + "~~"
    parsed = parse_url(f"{scheme}://{quote(user, safe='')}:{secret}@h/{quote(database, safe='')}")
    assert (parsed.user, parsed.password, parsed.host) == (user, password + "~~", "h")
    assert parsed.database == database
    assert secret not in parsed.redacted
    assert secret not in repr(parsed)


@given(rest=st.text("ab:/@?#%[]&=1,.\0\n", max_size=30) | st.text(max_size=10))
@pytest.mark.parametrize("scheme", ["sqlite", "postgresql", "mysql"])
def test_any_text_is_a_url_or_refused(scheme: str, rest: str) -> None:
    try:
        parsed = parse_url(f"{scheme}://{rest}")
    except ConfigError:
        return
    assume(scheme == "mysql")
    assert parsed.arguments["database"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///a%3Fb.db", "sqlite:///a%3Fb.db"),
        ("postgres://u@h/d", "postgresql://u@h/d"),
        ("postgres://u:s@h/d", "postgresql://u:***@h/d"),
        ("postgresql:///d?host=/run&password=s", "postgresql:///d?host=/run&password=***"),
        ("postgresql://h/d?sslpassword=s&x=1", "postgresql://h/d?sslpassword=***&x=1"),
        ("mysql://u:@h/d", "mysql://u:***@h/d"),
        ("mysql://u:s@h/d?ssl_key_password=s", "mysql://u:***@h/d?ssl_key_password=***"),
    ],
)
def test_the_redacted_url_hides_passwords_only(url: str, shown: str) -> None:
    assert parse_url(url).redacted == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://", "redis://h", "redis://h:6379/0", "redis://[::1]:6379/15", "redis://h?db=3",
        "rediss://u:p%40@h:1/15?ssl_cert_reqs=none&socket_timeout=0.5", "unix:///run/x.sock?db=3",
    ],
)  # fmt: skip
def test_a_redis_url_is_taken_as_it_is(url: str) -> None:
    assert checked_redis_url(url) == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:s3cret@h/abc", "database must be a number, as in redis://host/0, not 'abc'"),
        ("redis://:s3cret@h/1/2", "database must be a number"),
        ("redis://:s3cret@h/-1", "database must be a number"),
        ("redis://:s3cret@h?db=x", "option db cannot be 'x'"),
        ("redis://:s3cret@:99999", "port is not a number up to 65535"),
        ("redis://:s3cret@h:port", "port is not a number up to 65535"),
        ("redis://u:s3cret", "port is not a number up to 65535"),
        ("redis://:s3/cret@h", "must be percent-encoded"),
        ("redis://:s3#cret@h", "must be percent-encoded"),
        ("redis://:s3cret@[::1", "must be percent-encoded"),
        ("redis://:s3cret@h\x1b", "must be percent-encoded"),
        ("redis://:s3cret@h?foo=1", "unknown option 'foo'"),
        ("redis://:s3cret@h?socket_timeout=soon", "option socket_timeout cannot be 'soon'"),
        ("redis://:s3cret@h?ssl_cert_reqs=maybe", "option ssl_cert_reqs cannot be 'maybe'"),
        ("unix://", "unix:///run/redis.sock"),
        ("unix://run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_a_redis_url_that_would_be_misread_is_refused(url: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_redis_url(url)

    assert words in str(caught.value)
    assert "s3" not in str(caught.value)
