"""Where the programs of the database servers are, and how to get those that are missing."""

from __future__ import annotations

import glob
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KINDS", "Kind", "find_program", "missing"]


@dataclass(frozen=True)
class Kind:
    """A kind of server: the programs it needs, where they hide, and what replaces them."""

    name: str
    programs: tuple[str, ...]
    package: str  # of Debian and Ubuntu
    variable: str  # names a running server to use instead of a private one

    def given(self) -> str | None:
        """The URL of the server that the environment names, if it does."""
        return os.environ.get(self.variable) or None

    def advice(self) -> str:
        """One sentence: what is missing and what to do."""
        lacking = ", ".join(p for p in self.programs if find_program(p) is None)
        return (
            f"{self.name}: {lacking} not found; install it (Debian and Ubuntu: "
            f"apt-get install {self.package}) or let {self.variable} name a server to use"
        )


KINDS = {
    "postgres": Kind(
        "PostgreSQL", ("initdb", "postgres"), "postgresql", "HAMMERFLOW_TEST_POSTGRES_URL"
    ),
    "mariadb": Kind(
        "MariaDB",
        ("mariadbd", "mariadb-install-db"),
        "mariadb-server",
        "HAMMERFLOW_TEST_MYSQL_URL",
    ),
    "redis": Kind("Redis", ("redis-server",), "redis-server", "HAMMERFLOW_TEST_REDIS_URL"),
}


def find_program(name: str) -> str | None:
    """The path of a server's program: on PATH, or where Debian and Homebrew keep it."""
    hidden = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=_version, reverse=True)
    hidden += sorted(glob.glob("/opt/homebrew/opt/postgresql@*/bin"), reverse=True)
    if name in ("initdb", "postgres"):  # both from one version: the newest that has both
        for folder in hidden:
            if all(os.access(f"{folder}/{p}", os.X_OK) for p in ("initdb", "postgres")):
                return f"{folder}/{name}"
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin:/usr/local/bin"
    return shutil.which(name, path=path)


def missing() -> list[Kind]:
    """The kinds of server for which there is neither a program nor a URL."""
    return [
        kind
        for kind in KINDS.values()
        if kind.given() is None and any(find_program(p) is None for p in kind.programs)
    ]


def _version(folder: str) -> float:
    try:
        return float(Path(folder).parent.name)
    except ValueError:
        return 0.0
