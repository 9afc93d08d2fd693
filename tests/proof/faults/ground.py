"""Ground: small disks, programs and network namespaces, taken away again after use."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = [
    "Impossible",
    "cgroup",
    "copied_disk",
    "disk",
    "failing_syncs",
    "faketime_library",
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


@contextlib.contextmanager
def failing_syncs(pids: Iterable[int], *, when: str = "1+") -> Iterator[Path]:
    """fsync and fdatasync of these processes fail with EIO, in the block and for all threads.

    Args:
        when: which calls of each thread fail, as strace has it.

    Yields:
        The file to which strace writes these calls.
    """
    strace = needs("strace")
    folder = Path(tempfile.mkdtemp(prefix="strace-"))
    said, trace = folder / "said", folder / "trace"
    command = [strace, "-f", "-o", str(trace), "-e", "trace=fsync,fdatasync"]
    command += ["-e", f"inject=fsync,fdatasync:error=EIO:when={when}"]
    wanted = list(pids)
    for pid in wanted:
        command += ["-p", str(pid)]
    with open(said, "wb") as out:
        process = subprocess.Popen(command, stderr=out)
    try:
        deadline = time.monotonic() + 10
        while not all(_traced(pid) for pid in wanted):
            if process.poll() == 0:  # they have died of it already
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise Impossible(f"strace does not attach: {said.read_text().strip()}")
            time.sleep(0.01)
        yield trace
    finally:
        process.send_signal(signal.SIGINT)  # it lets go of them and they go on
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:  # a process that was ending meanwhile holds it up
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def _traced(pid: int) -> bool:
    """Whether all threads of a process that live are traced."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        said = [(task / "status").read_text() for task in tasks]
    except OSError:
        return not Path(f"/proc/{pid}").exists()
    return all("State:\tZ" in text or "TracerPid:\t0\n" not in text for text in said)


def faketime_library() -> str:
    """What LD_PRELOAD must name to let a program see another time."""
    faketime = needs("faketime")
    command = [faketime, "-f", "+0", "printenv", "LD_PRELOAD"]
    preload = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if not preload:
        raise Impossible("faketime does not say which library it loads")
    return preload


@contextlib.contextmanager
def cgroup(controller: str, **limits: object) -> Iterator[Path]:
    """A control group below this process's own; its folder.

    Args:
        controller: "memory" or "pids".
        limits: file names (of version 1, with _ for the dot after the controller) and values.

    Raises:
        Impossible: control groups cannot be written here.
    """
    group = _own_cgroup(controller) / f"hammerflow-faults-{os.getpid()}"
    try:
        group.mkdir()
        for name, value in limits.items():
            (group / f"{controller}.{name}").write_text(str(value))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        raise Impossible(f"control groups cannot be written here: {error}") from error
    try:
        yield group
    finally:
        deadline = time.monotonic() + 10
        while members := (group / "cgroup.procs").read_text().split():
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        group.rmdir()


def _own_cgroup(controller: str) -> Path:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return Path("/sys/fs/cgroup", controller, path.lstrip("/"))
    raise Impossible(f"there is no {controller} controller of control groups version 1")
