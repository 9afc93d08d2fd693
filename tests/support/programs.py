"""Where the programs of the database servers are, and how to get those that are missing.

A server of another version runs in the root file system of a distribution that has it:
``HAMMERFLOW_TEST_ROOTS=postgres=/roots/sid,mariadb=/roots/jammy`` (`tests.proof.versions` makes
such roots). A root shares the temporary folder and ``/proc`` with this machine.
"""

from __future__ import annotations

import glob
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KINDS", "Kind", "find_program", "missing"]

_ROOTS = "HAMMERFLOW_TEST_ROOTS"


@dataclass(frozen=True)
class Kind:
    """A kind of server: the programs it needs, where they hide, and what replaces them."""

    key: str
    name: str
    programs: tuple[str, ...]
    package: str  # of Debian and Ubuntu
    variable: str  # names a running server to use instead of a private one
    instead: tuple[str, ...] = ()  # programs of a related server that do as well

    def given(self) -> str | None:
        """The URL of the server that the environment names, if it does."""
        return os.environ.get(self.variable) or None

    @property
    def root(self) -> str:
        """The root file system that holds the programs; ``/`` unless the environment says so."""
        named = filter(None, os.environ.get(_ROOTS, "").split(","))
        return dict(each.split("=", 1) for each in named).get(self.key, "/")

    def program(self, name: str) -> str | None:
        """The path of a program of this kind below its root."""
        return find_program(name, self.root)

    def is_there(self) -> bool:
        """Whether all programs are there, or those of the related server."""
        sets = [self.programs, self.instead] if self.instead else [self.programs]
        return any(all(map(self.program, programs)) for programs in sets)

    def advice(self) -> str:
        """One sentence: what is missing and what to do."""
        lacking = ", ".join(p for p in self.programs if self.program(p) is None)
        return (
            f"{self.name}: {lacking} not found; install it (Debian and Ubuntu: "
            f"apt-get install {self.package}) or let {self.variable} name a server to use"
        )


KINDS = {
    kind.key: kind
    for kind in (
        Kind(
            "postgres",
            "PostgreSQL",
            ("initdb", "postgres"),
            "postgresql",
            "HAMMERFLOW_TEST_POSTGRES_URL",
        ),
        Kind(
            "mariadb",
            "MariaDB",
            ("mariadbd", "mariadb-install-db"),
            "mariadb-server",
            "HAMMERFLOW_TEST_MYSQL_URL",
            instead=("mysqld",),
        ),
        Kind("redis", "Redis", ("redis-server",), "redis-server", "HAMMERFLOW_TEST_REDIS_URL"),
    )
}


def find_program(name: str, root: str = "/") -> str | None:
    """The path of a server's program below a root: on PATH, or where distributions keep it."""
    below = Path(root)
    hidden = glob.glob("usr/lib/postgresql/*/bin", root_dir=below)
    hidden.sort(key=_version, reverse=True)
    hidden += sorted(glob.glob("opt/homebrew/opt/postgresql@*/bin", root_dir=below), reverse=True)
    if name in ("initdb", "postgres"):  # both from one version: the newest that has both
        for folder in hidden:
            if all(os.access(below / folder / p, os.X_OK) for p in ("initdb", "postgres")):
                return f"/{folder}/{name}"
    usual = ["/usr/bin", "/usr/sbin", "/usr/local/sbin", "/usr/local/bin"]
    path = os.environ.get("PATH", os.defpath).split(":") * (root == "/") + usual
    found = shutil.which(name, path=":".join(str(below / each.lstrip("/")) for each in path))
    return found and "/" + os.path.relpath(found, root)


def missing() -> list[Kind]:
    """The kinds of server for which there is neither a program nor a URL."""
    return [kind for kind in KINDS.values() if kind.given() is None and not kind.is_there()]


def _version(folder: str) -> float:
    try:
        return float(Path(folder).parent.name)
    except ValueError:
        return 0.0
