"""Ground: small disks, programs and network namespaces, taken away again after use."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "Impossible",
    "copied_disk",
    "disk",
    "inside",
    "link",
    "needs",
    "set_link",
    "small_memory_disk",
]


class Impossible(Exception):
    """This machine cannot do that; says why."""


def needs(program: str, package: str | None = None) -> str:
    """The program's path; installed from the system's packages where it is missing.

    Raises:
        Impossible: it is not there and cannot be installed.
    """
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
        subprocess.run([*command, package or program], capture_output=True, check=False)
        found = shutil.which(program)
    if found is None:
        raise Impossible(f"{program} is missing: apt-get install {package or program}")
    return found


def _run(*command: object) -> None:
    try:
        subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Impossible(str(error)) from error
    except subprocess.CalledProcessError as error:
        raise Impossible(f"{' '.join(map(str, command))}: {error.stderr.strip()}") from error


@contextlib.contextmanager
def disk(folder: Path, megabytes: int) -> Iterator[tuple[Path, Path]]:
    """An ext4 file system of its own in an image file; (image, where it is mounted)."""
    image = folder / "disk.img"
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
    with _mounted(image, folder / "disk") as place:
        yield image, place


@contextlib.contextmanager
def copied_disk(image: Path, folder: Path) -> Iterator[Path]:
    """What a disk would hold if the power failed now; where that is mounted."""
    copy = folder / "copy.img"
    _run("cp", "--sparse=always", "--reflink=auto", image, copy)
    try:
        with _mounted(copy, folder / "copy") as place:
            yield place
    finally:
        copy.unlink()


@contextlib.contextmanager
def _mounted(image: Path, place: Path) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    _run("mount", "-o", "loop", image, place)
    place.chmod(0o777)
    try:
        yield place
    finally:
        _run("umount", "-l", place)


@contextlib.contextmanager
def small_memory_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A tmpfs of so many megabytes."""
    place = folder / "small"
    place.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=777", "tmpfs", place)
    try:
        yield place
    finally:
        _run("umount", "-l", place)


@contextlib.contextmanager
def link(name: str, number: int) -> Iterator[tuple[str, str]]:
    """A network namespace with a link to this one.

    Yields:
        The address of this side, and the name of its interface: set it down to cut the link.
    """
    ip = needs("ip", "iproute2")
    outer, inner = f"{name}0", f"{name}1"
    _run(ip, "netns", "add", name)
    try:
        _run(ip, "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        _run(ip, "addr", "add", f"10.217.{number}.1/24", "dev", outer)
        _run(ip, "link", "set", outer, "up")
        _run(ip, "-n", name, "addr", "add", f"10.217.{number}.2/24", "dev", inner)
        _run(ip, "-n", name, "link", "set", inner, "up")
        _run(ip, "-n", name, "link", "set", "lo", "up")
        yield f"10.217.{number}.1", outer
    finally:
        _run(ip, "netns", "del", name)


def set_link(interface: str, *, up: bool) -> None:
    """Heal or cut a link."""
    _run("ip", "link", "set", interface, "up" if up else "down")


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """This thread, and the processes that it starts, in a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as home, open(f"/run/netns/{name}") as away:
        if libc.setns(away.fileno(), 0):
            raise Impossible(os.strerror(ctypes.get_errno()))
        try:
            yield
        finally:
            libc.setns(home.fileno(), 0)
