"""Root file systems of distributions, made from their mirrors by mmdebstrap; needs root."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["NEWEST", "OLDEST", "SHARED", "Release", "Root", "make", "share", "tool"]

_DEBIAN = "http://deb.debian.org/debian"
_UBUNTU = "http://archive.ubuntu.com/ubuntu"
#: Debian does not hold the keys of Ubuntu's mirror: they come from there, checked by this sum.
_KEYS = f"{_UBUNTU}/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb"
_KEYS_SHA256 = "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8"

#: What every root sees of this machine, in the same place.
SHARED = ("/proc", "/dev")


class Root(NamedTuple):
    """A root file system: the packages that it holds, and the kinds of server it serves."""

    name: str
    suite: str
    packages: tuple[str, ...]
    serves: tuple[str, ...]


class Release(NamedTuple):
    """Versions that are tried together.

    Attributes:
        first: serves all kinds; the whole suite runs on it.
        second: may serve MariaDB beside a first that has MySQL; they exclude each other.
        python: the interpreter in the first root; None for the one that runs this.
        sqlite: whether the library of the second root is used.
    """

    first: Root
    second: Root
    python: str | None
    sqlite: bool


NEWEST = Release(
    Root(
        "sid-mysql",
        "sid",
        (
            *("mysql-server", "postgresql-18", "redis-server", "graphviz", "ca-certificates"),
            *("python3.14", "python3.14-venv", "git", "procps"),
        ),
        ("postgres", "mariadb", "redis"),
    ),
    Root("sid-mariadb", "sid", ("mariadb-server", "valkey-server"), ("mariadb", "redis")),
    python="python3.14",
    sqlite=False,
)
OLDEST = Release(
    Root(
        "focal-updates",
        "focal",
        ("mysql-server-8.0", "postgresql-12", "redis-server"),
        ("postgres", "mariadb", "redis"),
    ),
    Root("jammy-updates", "jammy", ("libsqlite3-0",), ()),
    python=None,
    sqlite=True,
)


def make(root: Root, folder: Path) -> Path:
    """The root's folder below ``folder``; made in half a minute to two where it is not there."""
    path = folder / root.name
    if path.exists():
        return path
    if shutil.which("mmdebstrap") is None:
        apt = tool("apt-get", "apt")
        for what in ["update"], ["install", "-y", "--no-install-recommends", "mmdebstrap"]:
            done = subprocess.run([apt, "-q", *what], stdout=subprocess.DEVNULL, check=False)
            if done.returncode:
                raise SystemExit(f"apt-get {what[0]} failed: install mmdebstrap yourself")
    options, mirrors = ["--variant=minbase", f"--include={','.join(root.packages)}"], [_DEBIAN]
    if root.suite != "sid":
        mirrors = [
            f"deb {_UBUNTU} {suite} main universe"
            for suite in (root.suite, f"{root.suite}-updates", f"{root.suite}-security")
        ]
        options.append(f"--keyring={_ubuntu_keys(folder)}")
    draft = folder / f"{root.name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    log = folder / f"{root.name}.log"
    with log.open("wb") as lines:
        command = ["mmdebstrap", *options, root.suite, str(draft), *mirrors]
        done = subprocess.run(command, stdout=lines, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(f"mmdebstrap {root.suite} failed: see {log}")
    if "valkey-server" in root.packages:  # it speaks for Redis
        (draft / "usr/bin/redis-server").symlink_to("valkey-server")
    return draft.rename(path)


def tool(program: str, package: str) -> str:
    """The path of a program; ends with a sentence where it is missing."""
    if (path := shutil.which(program)) is None:
        raise SystemExit(
            f"{program} not found: the root file systems need Debian or Ubuntu, with {package}"
        )
    return path


def share(root: Path, folders: Sequence[str]) -> None:
    """Show folders of this machine in the root; the mounts end with the mount namespace."""
    for folder in folders:
        target = root / folder.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run([tool("mount", "mount"), "--rbind", folder, str(target)], check=True)


def _ubuntu_keys(folder: Path) -> Path:
    keys = folder / "ubuntu-archive-keyring.gpg"
    if not keys.exists():
        try:
            with urllib.request.urlopen(_KEYS, timeout=60) as answer:
                package = answer.read()
        except OSError as error:
            raise SystemExit(f"{_KEYS} cannot be had: {error}") from None
        if hashlib.sha256(package).hexdigest() != _KEYS_SHA256:
            raise SystemExit(f"{_KEYS} is not the package that it was")
        with tempfile.TemporaryDirectory() as unpacked:
            (deb := Path(unpacked, "keys.deb")).write_bytes(package)
            subprocess.run([tool("dpkg", "dpkg"), "-x", str(deb), unpacked], check=True)
            shutil.copy(next(Path(unpacked).rglob(keys.name)), keys)
    return keys
