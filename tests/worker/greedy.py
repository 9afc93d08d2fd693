"""An app whose bodies take memory and CPU time, within their limits and beyond."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import mmap
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from hammerflow import CpuLimitExceeded, Hammerflow, MemoryLimitExceeded, constant

app = Hammerflow("greedy")
MEBIBYTE = 1 << 20
_TAKES = "import time; x = b'x' * (192 << 20); time.sleep(20)"


def _take(way: str, mebibytes: int) -> object:
    """Take memory, and write to all of it."""
    size = mebibytes * MEBIBYTE
    match way:
        case "one allocation":
            return b"x" * size
        case "many":
            return [b"x" * 4096 + str(i).encode() for i in range(size // 4096)]
        case "in C":
            libc = ctypes.CDLL(None)
            libc.malloc.restype = ctypes.c_void_p
            libc.malloc.argtypes = [ctypes.c_size_t]
            return ctypes.memset(libc.malloc(size), 1, size)
        case "shared":
            shared = mmap.mmap(-1, size)
            for start in range(0, size, MEBIBYTE):
                shared[start : start + MEBIBYTE] = b"x" * MEBIBYTE
            return shared
        case "subprocess":
            return subprocess.run([sys.executable, "-c", _TAKES], check=False)
        case "fork":
            if os.fork() == 0:
                held = b"x" * size
                time.sleep(20)
                os._exit(len(held) & 1)
            return os.wait()
        case "swallowed":
            try:
                return b"x" * size
            except BaseException:  # noqa: BLE001 - what a body may do
                return None
        case _:
            raise ValueError(way)


@app.task(memory_limit="96MiB", max_attempts=1)
def takes(way: str, mebibytes: int = 192) -> str:
    held = _take(way, mebibytes)
    if mebibytes > 96:
        time.sleep(20)
    return f"held {type(held).__name__}"


@app.task(memory_limit="96MiB", max_attempts=1)
def asks(size: int) -> int:
    return len(b"x" * size)


@app.task(memory_limit="32MiB", max_attempts=3, backoff=constant(0))
def takes_once(mark: str) -> str:
    if not Path(mark).exists():
        Path(mark).touch()
        takes("one allocation")
    return "modest"


@app.task(memory_limit="32MiB", max_attempts=3, no_retry_on=MemoryLimitExceeded)
def takes_and_gives_up() -> None:
    takes("one allocation")


@app.task(max_attempts=1)
def state() -> list[object]:
    """The limits of the kernel, the process, and what it can allocate."""
    limits = [resource.getrlimit(getattr(resource, f"RLIMIT_{x}")) for x in ("AS", "DATA", "CPU")]
    return [*map(list, limits), os.getpid(), len(b"x" * (128 * MEBIBYTE)) // MEBIBYTE]


@app.task
def neighbour(mark: str, gate: str) -> str:
    Path(mark).touch()
    while not Path(gate).exists():
        time.sleep(0.01)
    return "unharmed"


@app.task(cpu_limit=0.2, max_attempts=1)
def burns(way: str) -> str:
    ends = time.process_time() + 20
    match way:
        case "python":
            while time.process_time() < ends:
                pass
        case "caught":
            try:
                while time.process_time() < ends:
                    pass
            except CpuLimitExceeded:
                return "cleaned up"
        case "in C":
            hashlib.pbkdf2_hmac("sha256", b"x", b"y", 30_000_000)
        case "subprocess":
            subprocess.run([sys.executable, "-c", "while True: pass"], check=False)
        case "asleep":
            time.sleep(1.5)
    return "done"


_inside: list[str] = []  # bodies that run in this process


@app.task
async def async_neighbour(mark: str, gate: str) -> str:
    Path(mark).touch()
    while not Path(gate).exists():
        await asyncio.sleep(0.01)
    return "unharmed"


@app.task(memory_limit="96MiB", max_attempts=1)
async def takes_alone(way: str, mebibytes: int = 192) -> list[str]:
    """Who else was in its process."""
    _inside.append(way)
    held = [_take(way, mebibytes)]
    await asyncio.sleep(0.2 if mebibytes < 96 else 20)
    others = [name for name in _inside if name != way]
    _inside.remove(way)
    return others * len(held)


@app.task(memory_limit="96MiB", max_attempts=1)
async def waits_alone(mark: str, gate: str) -> str:
    return str(await async_neighbour.fn(mark, gate))


@app.task(cpu_limit=0.2, max_attempts=1)
async def burns_alone(way: str) -> str:
    ends = time.process_time() + 20
    match way:
        case "python":
            while time.process_time() < ends:
                pass
        case "caught":
            try:
                while time.process_time() < ends:
                    pass
            except CpuLimitExceeded:
                return "cleaned up"
        case "thread":
            await asyncio.to_thread(hashlib.pbkdf2_hmac, "sha256", b"x", b"y", 3_000_000)
        case "task":
            await asyncio.create_task(burns_alone.fn("python"))
        case "asleep":
            await asyncio.sleep(1.0)
    return "done"
