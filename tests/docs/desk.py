"""A reader's desk: a folder with the page's files, a shell, a Python session, and servers."""

from __future__ import annotations

import doctest
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import hammerflow
from tests.docs import client
from tests.docs.pages import Block, blocks_of, files_of
from tests.support.waiting import until

#: Commands that run until they are told to stop, and what they log once they are up.
_SERVERS = re.compile(
    r"(hammerflow (.* )?worker\b(?!.*(--burst|--help)| (list|pool|show|stack|stop)\b)"
    r"|(python -m )?uvicorn )"
)
_STARTED = re.compile(r"worker started|Uvicorn running")
_SHOWN = doctest.OutputChecker()
_LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_END = "--end-of-a-command--"


class Desk:
    """Types a page, block by block.

    Args:
        folder: an empty directory; all commands and sessions run in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = _environment(folder)
        self._shell: subprocess.Popen[str] | None = None
        self._session: subprocess.Popen[str] | None = None
        self._servers: list[_Server] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        for process in (self._session, self._shell):
            if process is not None:
                process.communicate()  # closes stdin, at whose end both stop
        for server in self._servers:
            server.stop()
        if kind is None:
            for server in self._servers:
                server.check()

    def type_page(self, page: Path) -> None:
        """Write the page's files, then run what is typed, in the page's order."""
        blocks = list(blocks_of(page))
        for name, text in files_of(blocks).items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for block in blocks:
            if block.directive == "not run":
                continue
            if block.language == "console":
                self._type_commands(block)
            elif block.language == "pycon":
                self._type_statements(block)

    # -- a shell

    def _type_commands(self, block: Block) -> None:
        for command, shown in _commands(block.text):
            if _SERVERS.match(command):
                self._start(command, shown)
                continue
            printed, code = self._run(command)
            fails = block.directive == "fails"
            assert (code != 0) == fails, f"{block.place}: {command}\nexit code {code}\n{printed}"
            if shown:
                _compare(block, command, shown, printed)

    def _run(self, command: str) -> tuple[str, int]:
        """Run one command in the page's shell; what it printed, and its exit code."""
        if self._shell is None:
            self._shell = self._open(["bash", "--norc"], stderr=subprocess.STDOUT)
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null\necho {_END}$?\n")
        self._shell.stdin.flush()
        printed = []
        for line in self._shell.stdout:
            before, end, code = line.partition(_END)
            printed.append(before)
            if end:
                return "".join(printed), int(code)
        raise AssertionError(f"the shell ended in: {command}\n{''.join(printed)}")

    def _start(self, command: str, shown: str) -> None:
        log = self._folder / f"server-{len(self._servers)}.log"
        server = _Server(command.rstrip("& "), shown, log, self._folder, self._environment)
        self._servers.append(server)
        server.wait_until_started()

    # -- a Python session

    def _type_statements(self, block: Block) -> None:
        for example in doctest.DocTestParser().get_examples(block.text):
            printed = self._execute(example.source)
            if example.exc_msg is not None:
                printed = "".join(printed.splitlines(keepends=True)[1:])
                _compare(block, example.source, example.exc_msg, printed)
            else:
                _compare(block, example.source, example.want, printed)

    def _execute(self, source: str) -> str:
        if self._session is None:
            self._session = self._open([sys.executable, client.__file__])
        assert self._session.stdin is not None
        assert self._session.stdout is not None
        self._session.stdin.write(json.dumps(source) + "\n")
        self._session.stdin.flush()
        answer = self._session.stdout.readline()
        assert answer, f"the session ended in: {source}"
        return str(json.loads(answer))

    def _open(self, command: list[str], stderr: int | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True,
            cwd=self._folder, env=self._environment,
        )  # fmt: skip


class _Server:
    """A command that runs in a terminal of its own until the page ends."""

    def __init__(
        self, command: str, shown: str, log: Path, folder: Path, environment: dict[str, str]
    ) -> None:
        self._command, self._shown, self._log = command, shown, log
        with log.open("w") as stream:
            self._process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], stdin=subprocess.DEVNULL, stdout=stream,
                stderr=subprocess.STDOUT, cwd=folder, env=environment,
            )  # fmt: skip

    def wait_until_started(self) -> None:
        def has_started() -> bool:
            log = self._log.read_text()
            assert self._process.poll() is None, f"{self._command}\n{log}"
            return _STARTED.search(log) is not None

        until(f"{self._command} has started", has_started, timeout=30)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=40)

    def check(self) -> None:
        """It ended well, and logged the lines that the page shows, in that order."""
        log = self._log.read_text()
        assert self._process.returncode in (0, -signal.SIGTERM), f"{self._command}\n{log}"
        expected = "...".join(["", *self._shown.splitlines(keepends=True), ""])
        assert _SHOWN.check_output(expected, log, _LOOSE), f"{self._command}\n{log}"


def _commands(text: str) -> list[tuple[str, str]]:
    """Each command of a console block with the output that is shown below it.

    A command begins with ``$ `` and goes on after a backslash at the end of a line.
    """
    found = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command = re.match(r"(?:.*\\\n)*.*\n", part)
        assert command is not None, part
        found.append((command[0].rstrip("\n"), part[command.end() :].rstrip("\n")))
    return found


def _compare(block: Block, typed: str, shown: str, printed: str) -> None:
    expected = shown if shown.endswith("\n") or not shown else f"{shown}\n"
    if not _SHOWN.check_output(expected, printed, _LOOSE):
        raise AssertionError(f"{block.place}: {typed}\nshows\n{shown}\nprints\n{printed}")


def _environment(folder: Path) -> dict[str, str]:
    """A reader's environment: the commands of this Python, and no setting of hammerflow."""
    programs = folder.parent / "bin"
    programs.mkdir(exist_ok=True)
    for name in ("python", "hammerflow", "pytest", "uvicorn"):
        module = "" if name == "python" else f" -m {name}"
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n')
        script.chmod(0o755)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HAMMERFLOW_", "PYTEST_"))
    }
    return {
        **kept,
        "PATH": f"{programs}{os.pathsep}{kept.get('PATH', '')}",
        "PYTHONPATH": str(Path(hammerflow.__file__).parents[1]),
        "COLUMNS": "100",
        "TZ": "UTC",
    }
