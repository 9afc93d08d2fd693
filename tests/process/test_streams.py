"""Standard streams that nobody reads, or that cannot be written: writes go on, and never fail."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from pytest import CaptureFixture, MonkeyPatch

from hammerflow.process import streams
from hammerflow.process.streams import PATIENCE, Losses, Output

_LINE = b"x" * 99 + b"\n"
Ends = tuple[int, int]  # to write to, and to read from; -1 if nobody reads


@pytest.fixture(autouse=True)
def losses(monkeypatch: MonkeyPatch) -> Losses:
    """What this test loses."""
    losses = Losses()
    monkeypatch.setattr(streams, "LOSSES", losses)
    return losses


def _pipe() -> Ends:
    reader, writer = os.pipe()
    return writer, reader


def _socket() -> Ends:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


def _terminal() -> Ends:
    reader, writer = pty.openpty()
    return writer, reader


def _closed_pipe() -> Ends:
    writer, reader = _pipe()
    os.close(reader)
    return writer, -1


def _hung_up() -> Ends:
    writer, reader = _terminal()
    os.close(reader)
    return writer, -1


def _full() -> Ends:
    return os.open("/dev/full", os.O_WRONLY), -1


def _closed() -> Ends:
    writer, reader = _pipe()
    os.close(writer)
    os.close(reader)
    return writer, -1


@pytest.mark.parametrize("older_kernel", [False, True])
@pytest.mark.parametrize(
    "ends", [_pipe, _socket, _terminal, _closed_pipe, _hung_up, _full, _closed]
)
def test_what_cannot_be_written_is_dropped_and_counted(
    ends: Callable[[], Ends],
    older_kernel: bool,
    losses: Losses,
    monkeypatch: MonkeyPatch,
    capfd: CaptureFixture[str],
) -> None:
    if older_kernel:
        monkeypatch.setattr(streams, "_NOWAIT", None)
    writer, reader = ends()
    output, began = Output(writer), time.monotonic()

    for _ in range(5_000):
        assert output.write(_LINE) == len(_LINE)

    assert time.monotonic() - began < PATIENCE + 5  # not once for each line
    arrived = b"" if reader < 0 else _read_all(reader)
    lost = 5_000 - arrived.count(b"\n")
    assert lost > 0
    notice = f"{losses.line(lost)}\n"
    if reader < 0:  # stderr takes lines at any time
        Output(2).write(b"next\n")
        assert capfd.readouterr().err == f"next\n{notice}"
    else:
        assert output.write(b"next\n") == 5
        assert capfd.readouterr().err == notice
        assert _read_all(reader).replace(b"\r", b"").endswith(b"next\n")
        os.close(reader)
    with contextlib.suppress(OSError):
        os.close(writer)


def test_a_reader_that_is_slow_gets_every_line() -> None:
    writer, reader = _pipe()
    code = "import sys, time; time.sleep(PATIENCE / 3); print(sys.stdin.read().count('\\n'))"
    code = code.replace("PATIENCE", str(PATIENCE))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=reader, stdout=subprocess.PIPE
    ) as slow:
        os.close(reader)
        output = Output(writer)
        output.write(_LINE * 600)  # nearly what fits
        for _ in range(400):
            output.write(_LINE)
        os.close(writer)
        assert slow.communicate()[0] == b"1000\n"


def test_a_line_that_was_cut_is_ended_before_the_next() -> None:
    writer, reader = _pipe()
    output = Output(writer)
    output.write(b"y" * 200_000 + b"\n")
    _read_all(reader)

    output.write(b"next\n")

    assert _read_all(reader) == b"\nnext\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can take another user's rights")
def test_a_pipe_of_another_user_is_written_without_waiting(monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_NOWAIT", None)
    writer, reader = _pipe()
    os.seteuid(65534)
    try:
        output, began = Output(writer), time.monotonic()
        for _ in range(2_000):
            output.write(_LINE)
    finally:
        os.seteuid(0)

    assert time.monotonic() - began < PATIENCE + 5
    assert _read_all(reader).count(b"\n") > 500


def _read_all(fd: int) -> bytes:
    """What is there."""
    os.set_blocking(fd, False)
    data = b""
    with contextlib.suppress(BlockingIOError):
        while more := os.read(fd, 1 << 16):
            data += more
    return data
