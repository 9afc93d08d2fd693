"""python -m tests.proof.versions newest|oldest [--folder FOLDER] [--chaos SECONDS] [PYTEST ...]

Runs the suite, then a short chaos on each database, on the newest or the oldest versions of
PostgreSQL, MySQL, MariaDB, Redis or Valkey, SQLite and Python that can be had from the mirrors of
Debian and Ubuntu. Needs Linux, root and 3 GB for the root file systems, which it keeps in FOLDER.
Everything after the options goes to pytest. Prints a table of versions and results; ends with 1
if something failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.proof.versions.roots import NEWEST, OLDEST, SHARED, Release, make, share, tool

_HERE = Path(__file__).resolve().parents[3]
_INSIDE = "HAMMERFLOW_TEST_NAMESPACE"  # says that the mounts are ours alone
_SECOND = "not sqlite and not postgres"  # what the second root's servers are run for
_PACKAGES = (
    *("aiosqlite", "attrs", "fastapi", "greenlet", "hypothesis", "pydantic", "mypy"),
    *("pytest", "pytest-timeout", "pytest-xdist", "sqlalchemy", "types-PyYAML", "uvicorn"),
)


def main() -> int:
    """Make the roots, then run everything in a mount namespace of its own."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proof.versions", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("release", choices=("newest", "oldest"))
    usual = Path(os.environ.get("XDG_CACHE_HOME", "/var/cache"), "hammerflow-roots")
    parser.add_argument("--folder", type=Path, default=usual)
    parser.add_argument("--chaos", type=float, default=60.0, help="seconds on each database")
    parser.add_argument("-k", default="", metavar="EXPRESSION", help="which tests, as for pytest")
    given, pytest = parser.parse_known_args()
    if os.geteuid():
        parser.error("root is needed to make and to enter the root file systems")
    given.folder.mkdir(parents=True, exist_ok=True)
    release = NEWEST if given.release == "newest" else OLDEST
    for root in release.first, release.second:
        make(root, given.folder)
    if _INSIDE not in os.environ:
        os.environ[_INSIDE] = "1"
        again = [sys.executable, "-m", "tests.proof.versions", *sys.argv[1:]]
        private = ["unshare", "--mount", "--propagation", "private"]
        os.execv(tool("unshare", "util-linux"), [*private, *again])
    return Trial(release, given.folder).run(pytest, given.k, given.chaos)


def selections(given: str) -> tuple[str, str]:
    """pytest's -k on the first root, and on the second, which serves MariaDB alone."""
    return given, f"({given}) and {_SECOND}" if given else _SECOND


class Trial:
    """One release, its roots mounted, and what came out."""

    def __init__(self, release: Release, folder: Path) -> None:
        self._release = release
        self._first, self._second = (folder / r.name for r in (release.first, release.second))
        self._ground = tempfile.gettempdir()
        self._results: list[tuple[str, str, int]] = []
        for root in self._first, self._second:
            share(root, [*SHARED, self._ground])
        self._enter: list[str] = []
        self._python = sys.executable
        if release.python is not None:
            self._move_in(release.python)

    def run(self, pytest: list[str], given: str, chaos: float) -> int:
        """Run the selected tests and the chaos on each database; 1 if one of them failed."""
        options = [*(pytest or ["-n", "2"]), "-k"]
        first, second = selections(given)
        self._call("suite", self._servers(second=False), "pytest", *options, first)
        runs = [(False, "sqlite"), (False, "postgres"), (False, "mariadb")]
        if self._release.second.serves:
            self._call("suite", self._servers(second=True), "pytest", *options, second)
            runs.append((True, "mariadb"))
        for other, database in runs if chaos else ():
            minutes = f"--minutes={chaos / 60}"
            servers = self._servers(second=other)
            self._call("chaos", servers, "tests.proof.chaos", "--database", database, minutes)
        print(f"\n{datetime.now(UTC):%Y-%m-%d}")
        for what, versions, code in self._results:
            print(f"{'FAILED' if code else 'passed'}  {what:28} {versions}")
        return int(any(code for _, _, code in self._results))

    def _move_in(self, python: str) -> None:
        """Let the first root's Python run the tests; it sees the code and the second root."""
        share(self._first, [str(_HERE), str(self._second)])
        for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", os.environ.get("PIP_CERT")):
            if path and Path(path).exists():
                target = self._first / path.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        for links in os.environ.get("PIP_FIND_LINKS", "").split():
            if Path(links).is_dir():
                share(self._first, [links])
        self._enter = ["chroot", str(self._first), "env", "-C", str(_HERE)]
        venv = "/opt/hammerflow"
        self._python = f"{venv}/bin/python"
        if not (self._first / venv.lstrip("/")).exists():
            subprocess.run([*self._enter, python, "-m", "venv", venv], check=True)
        install = [self._python, "-m", "pip", "install", "-q", *_PACKAGES, ".[all]"]
        subprocess.run([*self._enter, *install], check=True)

    def _servers(self, *, second: bool) -> dict[str, Path]:
        """Which root serves which kind."""
        servers = dict.fromkeys(self._release.first.serves, self._first)
        if second:
            servers |= dict.fromkeys(self._release.second.serves, self._second)
        return servers

    def _call(self, what: str, servers: dict[str, Path], module: str, *args: str) -> None:
        """Run a module of Python on these servers."""
        inside = self._release.python is not None
        roots = {k: "/" if inside and root == self._first else root for k, root in servers.items()}
        environ = dict(os.environ)
        environ["HAMMERFLOW_TEST_ROOTS"] = ",".join(f"{k}={root}" for k, root in roots.items())
        if inside:
            environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        if self._release.sqlite:
            environ["LD_LIBRARY_PATH"] = str(self._library())
        done = subprocess.run(
            [*self._enter, self._python, "-m", module, *args], cwd=_HERE, env=environ, check=False
        )
        title = f"{what} {' '.join(args[:2]) if what == 'chaos' else ''}".strip()
        self._results.append((title, self._versions(servers, environ), done.returncode))

    def _versions(self, servers: dict[str, Path], environ: dict[str, str]) -> str:
        """What the servers, Python and SQLite say that they are."""
        code = "import platform, sqlite3; print(platform.python_version(), sqlite3.sqlite_version)"
        asked = [[*self._enter, self._python, "-c", f"print('Python, SQLite', end=' '); {code}"]]
        environs = [environ]
        for kind, root in servers.items():
            names = {
                "postgres": "sh -c '/usr/lib/postgresql/*/bin/postgres --version'",
                "mariadb": "sh -c 'mariadbd --version 2>/dev/null || mysqld --version'",
                "redis": "redis-server --version",
            }
            asked.append(["sh", "-c", f"chroot {root} {names[kind]}"])
            environs.append(dict(os.environ))  # without the library, which is none of the server's
        answers = (
            subprocess.run(each, env=env, capture_output=True, text=True, check=False).stdout
            for each, env in zip(asked, environs, strict=True)
        )
        return "; ".join(answer.strip()[:60] for answer in answers)

    def _library(self) -> Path:
        """A folder that holds the second root's SQLite alone."""
        folder = Path(self._ground, "hammerflow-sqlite")
        folder.mkdir(exist_ok=True)
        for library in self._second.glob("usr/lib/*/libsqlite3.so.0"):
            shutil.copy(library, folder / "libsqlite3.so.0")
        return folder


if __name__ == "__main__":
    sys.exit(main())
