"""Bodies that reach beyond their own business: groups, signals, descriptors, programs."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from hammerflow import Hammerflow, Retry, constant, current_job
from hammerflow.worker.child.base import Child

app = Hammerflow("rogue")
_PROGRAM = 'echo $$ >> "$0"; exec sleep 60'


def _start(pids: str, *, detached: bool = False) -> None:
    """A program that notes its pid and runs for a minute; ``detached``: in a session of its own."""
    subprocess.Popen(["/bin/sh", "-c", _PROGRAM, pids], start_new_session=detached)


def _start_all(pids: str) -> None:
    """Programs and a forked process, started in all the ways in which a kill must find them."""
    _start(pids)
    _start(pids, detached=True)
    os.system(f"/bin/sh -c '{_PROGRAM}' {pids} &")  # its parent, another shell, ends
    if os.fork() == 0:
        _start(pids, detached=True)
        time.sleep(60)
        os._exit(0)
    while len(Path(pids).read_text().split()) < 4 * current_job().attempt:
        time.sleep(0.01)


@app.task(max_attempts=2, backoff=constant(0), timeout=0.7)
def leaves_programs(pids: str, end: str) -> None:
    """Starts programs, and then exceeds its timeout or dies."""
    _start_all(pids)
    _end(end)


@app.task(max_attempts=2, backoff=constant(0), timeout=0.7)
async def leaves_programs_async(pids: str, end: str) -> None:
    """The same on an event loop."""
    _start_all(pids)
    _end(end)


@app.task(max_attempts=2, backoff=constant(0), timeout=0.5)
async def waits_for_programs(pids: str, how: str) -> None:
    """Is cancelled at its timeout while it waits for a program."""
    command = ["/bin/sh", "-c", _PROGRAM, pids]
    if how == "asyncio":
        await (await asyncio.create_subprocess_exec(*command)).wait()
    elif how == "detached":
        await (await asyncio.create_subprocess_exec(*command, start_new_session=True)).wait()
    else:
        await asyncio.to_thread(subprocess.run, command)


def _end(how: str) -> None:
    match how:
        case "timeout":
            time.sleep(60)
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            os._exit(0)


@app.task
def starts_a_helper(pids: str) -> None:
    """Leaves a program behind and completes."""
    _start(pids)


@app.task
async def starts_a_helper_async(pids: str) -> None:
    """The same on an event loop."""
    _start(pids)
    while not Path(pids).exists():
        await asyncio.sleep(0.01)


@app.task(max_attempts=3, backoff=constant(0))
def signals_group(number: int) -> str:
    """Sends a signal to its process group, in its first attempt."""
    if current_job().attempt == 1:
        os.killpg(0, number)
        time.sleep(0.1)
    return "survived"


@app.task(max_attempts=3, backoff=constant(0))
async def signals_group_async(number: int) -> str:
    """The same on an event loop."""
    if current_job().attempt == 1:
        os.killpg(0, number)
        await asyncio.sleep(0.1)
    return "survived"


@app.task(max_attempts=100, backoff=constant(0))
def retries(attempts: int) -> int:
    """Runs so many times."""
    if current_job().attempt < attempts:
        raise Retry(after=0)
    return current_job().attempt


@app.task(max_attempts=100, backoff=constant(0))
async def retries_async(attempts: int) -> int:
    """The same on an event loop."""
    return retries.fn(attempts)


@app.task
def hold(gate: str) -> str:
    """Runs until a test opens the gate."""
    while not Path(gate).exists():
        time.sleep(0.01)
    return "held"


@app.task
async def hold_async(gate: str) -> str:
    """The same on an event loop."""
    while not Path(gate).exists():
        await asyncio.sleep(0.01)
    return "held"


@app.task(max_attempts=3, backoff=constant(0))
def closes(lowest: int, highest: int, folder: str) -> str:
    """Closes descriptors as helpers for daemons do, works on, and opens files."""
    mark = Path(folder, f"attempt-{current_job().attempt}")
    if current_job().attempt == 1:
        os.closerange(lowest, highest)
    mark.touch()
    files = [Path(folder, f"file-{n}").open("w") for n in range(3)]  # noqa: SIM115 - to be hit
    if current_job().attempt == 1 and highest > 1000:
        for fd in range(900, 1024):  # as one that has opened a thousand
            os.dup2(files[0].fileno(), fd)
    time.sleep(1.2 if current_job().attempt == 1 else 0)
    for file in files:
        file.close()
    mark.unlink()
    return "done"


@app.task(max_attempts=3, backoff=constant(0))
async def closes_async(lowest: int, highest: int, folder: str) -> str:
    """The same on an event loop, which needs descriptors, too."""
    if current_job().attempt == 1:
        os.closerange(lowest, highest)
    files = [Path(folder, f"file-{n}").open("w") for n in range(3)]  # noqa: SIM115 - as above
    await asyncio.sleep(0.1)
    for file in files:
        file.close()
    return "done"


@app.task
def descriptors(how: str) -> list[str]:
    """The descriptors that a program inherits."""
    script = "import os; print(*sorted(int(n) for n in os.listdir('/proc/self/fd')))"
    out = Path(f"/tmp/rogue-{os.getpid()}")
    command = f'{sys.executable} -c "{script}" > {out}'
    if how == "system":
        os.system(command)
    elif how == "spawn":
        os.waitpid(os.posix_spawn("/bin/sh", ["/bin/sh", "-c", command], dict(os.environ)), 0)
    else:
        subprocess.run(command, shell=True, close_fds=False, check=True)
    text = out.read_text()
    out.unlink()
    return text.split()


@app.task(max_attempts=2, backoff=constant(0))
def drops() -> int:
    """Its child swallows the outcome of the first attempt."""
    return _drop_outcome()


@app.task(max_attempts=2, backoff=constant(0))
async def drops_async() -> int:
    """The same on an event loop, where the report fails."""
    return _drop_outcome(fails=True)


def _drop_outcome(*, fails: bool = False) -> int:
    """As if the child had a fault after the body: it forgets the job and works on."""
    (child,) = [found for found in gc.get_objects() if isinstance(found, Child)]

    def swallow(message: bytes) -> None:
        del child.__dict__["_send"]
        if fails:
            raise RuntimeError("cannot report")

    if current_job().attempt == 1:
        child.__dict__["_send"] = swallow
    return current_job().attempt


@app.task(max_attempts=1)
def uses_terminal(gate: str) -> str:
    """Writes to the terminal, and tries to read from it."""
    sys.stdout.write("said in a child\n")
    sys.stdout.flush()
    try:
        Path("/dev/tty").read_bytes()
    except OSError as error:
        return f"{error.strerror}, {hold.fn(gate)}"
    return "read"
