"""Private PostgreSQL, MariaDB and Redis servers on free ports in temporary folders.

Each is started as an unprivileged user where we are root and ends with us (also when we are
killed: parent-death signal). It can be killed, stopped, paused, and started again on the same port
and data.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.programs import KINDS

if TYPE_CHECKING:
    import redis

__all__ = [
    "PROCESSES",
    "MariaDB",
    "Postgres",
    "Redis",
    "Server",
    "create_database",
    "drop_database",
    "ends_idle_sessions",
    "open_admin",
    "open_redis",
    "temporary_folder",
]

#: A server that does not answer this many seconds after its start has failed.
START_SECONDS = 60.0

#: MariaDB's and MySQL's table of sessions. In information_schema, MySQL fails at a crab in a text.
PROCESSES = "/*M! information_schema.processlist */ /*!80022 performance_schema.processlist */"

_PREFIX = "hammerflow-tests-"
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Server:
    """A private server: a data folder, a port, and at most one process."""

    kind = ""  # its key in KINDS

    def __init__(self, *, durable: bool = False, tls: bool = False) -> None:
        self.durable = durable  # syncs to disk as in production; off: fast, survives kill -9 only
        self.tls = tls  # offers TLS, whatever its version does by itself
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.kind}-", dir=temporary_folder()))
        self.process: subprocess.Popen[bytes] | None = None
        self._paused = False
        _own(self.folder)
        self._prepare()
        if tls:
            self._certify()

    @classmethod
    def programs(cls) -> None:
        """Raise LookupError, saying what to do, where a program is missing."""
        if not KINDS[cls.kind].is_there():
            raise LookupError(KINDS[cls.kind].advice())

    def url(self, database: str | None = None) -> str:
        """The URL under which hammerflow finds the server (or one database of it)."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self.process is None:
            raise RuntimeError(f"this {self.kind} server is not running")
        return self.process.pid

    @property
    def log(self) -> str:
        """What the server has written so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start on the same port and data, and return when it answers."""
        if self.process is not None:
            raise RuntimeError(f"this {self.kind} server runs already")
        self.process = _spawn(self._command(), self.folder, KINDS[self.kind].root)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.kind} did not start:\n{self.log[-3000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Shut down in the server's own orderly, but impatient, way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9 of the server and its children, as a power cut of the process would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the server in its tracks: connections stay open, nothing answers."""
        self._paused = True
        for pid in self._family():
            _signal(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        for pid in self._family():
            _signal(pid, signal.SIGCONT)
        self._paused = False

    def close(self) -> None:
        """Kill the server and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create_database(self, name: str, template: str | None = None) -> str:
        """A new, empty database (or a copy of ``template``, where the server can); its URL."""
        raise NotImplementedError

    def drop_database(self, name: str) -> None:
        """Remove a database together with whoever is connected to it."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """Make the data folder."""

    def _certify(self) -> None:
        """Make a certificate that nobody has signed, and its key."""
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        command += ["-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True)
        for path in key, certificate:
            path.chmod(0o600)
            _own(path)

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        family = _descendants(process.pid)
        if number == signal.SIGKILL:
            for pid in family:
                _signal(pid, number)
        _signal(process.pid, number)
        if self._paused:
            for pid in (process.pid, *family):
                _signal(pid, signal.SIGCONT)
            self._paused = False
        try:
            process.wait(START_SECONDS / 2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _family(self) -> list[int]:
        return [self.pid, *_descendants(self.pid)]


class Postgres(Server):
    """A private PostgreSQL; user ``postgres``, no password."""

    kind = "postgres"

    def url(self, database: str | None = None) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database or 'postgres'}"

    def stop(self) -> None:
        """Fast shutdown: transactions are rolled back, connections closed."""
        self._end(signal.SIGINT)

    def stop_at_once(self) -> None:
        """Immediate shutdown: no checkpoint, recovery at the next start."""
        self._end(signal.SIGQUIT)

    def create_database(self, name: str, template: str | None = None) -> str:
        return _postgres_create(self.url(), name, template)

    def drop_database(self, name: str) -> None:
        _postgres_drop(self.url(), name)

    def _prepare(self) -> None:
        _copy_template(self.kind, self.folder / "data", _init_postgres)

    def _command(self) -> list[str]:
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "max_connections": 200,
            "shared_buffers": "64MB",
            "logging_collector": "off",
            "log_min_messages": "warning",
        }
        if not self.durable:
            options |= {"fsync": "off", "full_page_writes": "off"}
        if self.tls:
            options |= {
                "ssl": "on",
                "ssl_key_file": self.folder / "key.pem",
                "ssl_cert_file": self.folder / "certificate.pem",
            }
        command = [_program(self.kind, "postgres"), "-D", str(self.folder / "data")]
        return command + [f"--{name}={value}" for name, value in options.items()]

    def _answers(self) -> bool:
        import psycopg

        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url(), connect_timeout=5).close()
            return True
        return False


class MariaDB(Server):
    """A private MariaDB; user ``hammerflow`` with password ``hammerflow``, all rights."""

    kind = "mariadb"

    def url(self, database: str | None = None) -> str:
        return f"mysql://hammerflow:hammerflow@127.0.0.1:{self.port}/{database or 'test'}"

    def create_database(self, name: str, template: str | None = None) -> str:
        return _mysql_create(self.url(), name)

    def drop_database(self, name: str) -> None:
        _mysql_drop(self.url(), name)

    def _prepare(self) -> None:
        _copy_template(self.kind, self.folder / "data", _init_mariadb)
        (self.folder / "users.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS test;\n"
            "CREATE USER IF NOT EXISTS hammerflow@'%' IDENTIFIED BY 'hammerflow';\n"
            "GRANT ALL ON *.* TO hammerflow@'%' WITH GRANT OPTION;\n"
        )
        _own(self.folder / "users.sql")

    def _command(self) -> list[str]:
        options = {
            "datadir": self.folder / "data",
            "port": self.port,
            "bind-address": "127.0.0.1",
            "socket": self.folder / "sock",
            "pid-file": self.folder / "pid",
            "init-file": self.folder / "users.sql",
            "max-connections": 200,
            "innodb-buffer-pool-size": "64M",
            "loose-innodb-log-file-size": "16M",
            "innodb-flush-log-at-trx-commit": 1 if self.durable else 2,
            "innodb-doublewrite": int(self.durable),
            "innodb-fast-shutdown": 1,
        }
        if self.tls:
            options |= {
                "ssl-key": self.folder / "key.pem",
                "ssl-cert": self.folder / "certificate.pem",
            }
        flags = ["--no-defaults", "--skip-name-resolve", "--skip-log-bin"]
        pairs = [f"--{name}={value}" for name, value in options.items()]
        program = "mysqld" if _is_mysql() else "mariadbd"
        return [_program(self.kind, program), *flags, *pairs]

    def _answers(self) -> bool:
        import pymysql

        with contextlib.suppress(pymysql.err.OperationalError):
            open_admin(self.url()).close()
            return True
        return False


class Redis(Server):
    """A private Redis without persistence and password."""

    kind = "redis"

    def url(self, database: str | None = None) -> str:
        return f"redis://127.0.0.1:{self.port}/{database or 0}"

    def flush(self) -> None:
        """Forget all keys."""
        with open_redis(self.url()) as client:
            client.flushall()

    def _command(self) -> list[str]:
        return [
            *(_program(self.kind, "redis-server"), "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--save", "", "--appendonly", "no", "--dir", str(self.folder)),
        ]

    def _answers(self) -> bool:
        import redis

        with contextlib.suppress(redis.ConnectionError), open_redis(self.url()) as client:
            return bool(client.ping())
        return False


# -- databases of a server, private or given


def open_admin(url: str) -> Any:
    """An autocommit connection to the database that a ``postgresql:`` or ``mysql:`` URL names."""
    if url.startswith("postgres"):
        import psycopg

        return psycopg.connect(url, autocommit=True, connect_timeout=10)
    from urllib.parse import unquote, urlsplit

    import pymysql

    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        database=parts.path.lstrip("/") or None,
        autocommit=True,
        connect_timeout=10,
    )


def ends_idle_sessions(url: str) -> bool:
    """Whether the PostgreSQL has ``idle_session_timeout``, as it has since version 14."""
    with open_admin(url) as admin:
        return bool(admin.info.server_version >= 140000)


def open_redis(url: str, **options: Any) -> redis.Redis:
    """A client of the Redis that the URL names. It speaks RESP2: Redis 5 knows no other."""
    import redis

    return redis.Redis.from_url(url, protocol=2, **options)


def create_database(url: str, name: str, template: str | None = None) -> str:
    """A new database on the server that the URL names; its URL."""
    if url.startswith("postgres"):
        return _postgres_create(url, name, template)
    return _mysql_create(url, name)


def drop_database(url: str, name: str) -> None:
    """Remove a database of the server that the URL names, whoever is connected to it."""
    if url.startswith("postgres"):
        _postgres_drop(url, name)
    else:
        _mysql_drop(url, name)


def _postgres_create(url: str, name: str, template: str | None) -> str:
    with open_admin(url) as admin:
        admin.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' * bool(template)))
    return _with_database(url, name)


def _postgres_drop(url: str, name: str) -> None:
    with open_admin(url) as admin:
        if admin.info.server_version >= 130000:
            admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            return
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        admin.execute(f'DROP DATABASE IF EXISTS "{name}"')  # waits for sessions for 5 s


def _mysql_create(url: str, name: str) -> str:
    with contextlib.closing(open_admin(url)) as admin, admin.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE `{name}`")
    return _with_database(url, name)


def _mysql_drop(url: str, name: str) -> None:
    with contextlib.closing(open_admin(url)) as admin, admin.cursor() as cursor:
        # A forgotten transaction would hold up the DROP by its metadata locks.
        cursor.execute(f"SELECT id FROM {PROCESSES} WHERE db = %s", (name,))
        for (connection_id,) in cursor.fetchall():
            with contextlib.suppress(Exception):
                cursor.execute(f"KILL {int(connection_id)}")
        cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")


def _with_database(url: str, name: str) -> str:
    base, _, _options = url.partition("?")
    return f"{base.rsplit('/', 1)[0]}/{name}" + (f"?{_options}" if _options else "")


# -- data folders: made once a session, then copied


def _copy_template(kind: str, data: Path, make: Callable[[Path], None]) -> None:
    template = temporary_folder() / f"template-{kind}"
    if not template.exists():
        make(template)
    shutil.copytree(template, data, symlinks=True)
    for folder, _, files in os.walk(data):
        _own(Path(folder))
        for file in files:
            _own(Path(folder, file))
    data.chmod(0o700)


def _init_postgres(data: Path) -> None:
    command = [_program("postgres", "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust"]
    options = ["--encoding=UTF8", "--locale=C", "--no-sync"]
    _run([*command, *options], KINDS["postgres"].root)


def _init_mariadb(data: Path) -> None:
    if _is_mysql():
        command = [_program("mariadb", "mysqld"), "--no-defaults", "--initialize-insecure"]
        options = [f"--datadir={data}"]
    else:
        command = [_program("mariadb", "mariadb-install-db"), "--no-defaults"]
        options = [
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            *("--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=16M"),
            "--force",  # also where the root's /etc/hosts does not know the host's name
        ]
    fast = ["--innodb-doublewrite=0", "--innodb-flush-log-at-trx-commit=0"]
    _run([*command, *options, *fast], KINDS["mariadb"].root)


def _is_mysql() -> bool:
    """Whether MySQL stands in for MariaDB."""
    return KINDS["mariadb"].program("mariadbd") is None


def _run(command: list[str], root: str) -> None:
    process = _spawn(command, temporary_folder(), root)
    if process.wait() != 0:
        log = (temporary_folder() / "log").read_text(errors="replace")
        raise RuntimeError(f"{command[0]} failed:\n{log[-3000:]}")


def _program(kind: str, name: str) -> str:
    path = KINDS[kind].program(name)
    if path is None:
        raise LookupError(KINDS[kind].advice())
    return path


# -- processes


def _spawn(command: list[str], folder: Path, root: str) -> subprocess.Popen[bytes]:
    account = _account()

    def prepare() -> None:
        if root != "/":
            os.chroot(root)
            os.chdir(folder)
        if account is not None:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
        _die_with_parent()  # after the change of user, which would clear it

    # The environment's PGxxx and LC_xxx variables must not reach the server. Its temporary tables
    # must lie in a folder of its own: a MariaDB that starts removes those of any other one there.
    environment = {
        "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(folder),
        "TMPDIR": str(folder),
    }  # fmt: skip
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal is for pytest
            preexec_fn=prepare,
        )


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@functools.cache
def _account() -> pwd.struct_passwd | None:
    """The unprivileged user for servers when we are root (who is refused by them)."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _own(path: Path) -> None:
    account = _account()
    if account is not None:
        os.chown(path, account.pw_uid, account.pw_gid)


def _descendants(pid: int) -> list[int]:
    """Child processes of a process, and theirs; empty where the system cannot say."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# -- folders


@functools.cache
def temporary_folder() -> Path:
    """This process's folder for servers and SQLite files; removed at exit, or by the next run."""
    ground = _ground()
    _sweep(ground)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=ground))
    _own(folder)
    folder.chmod(0o711)
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a child that was forked by a test
        shutil.rmtree(folder, ignore_errors=True)


def _ground() -> str:
    """A temporary folder that the servers' user can reach."""
    usual = tempfile.gettempdir()
    if _account() is None:
        return usual
    path = Path(usual).resolve()
    reachable = all(parent.stat().st_mode & 0o001 for parent in (path, *path.parents))
    return usual if reachable else "/tmp"


def _sweep(ground: str) -> None:
    """Remove what processes that were killed have left."""
    for folder in Path(ground).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
