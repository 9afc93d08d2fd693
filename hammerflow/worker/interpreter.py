"""The interpreter of the fork server: as that of the supervisor, as multiprocessing does it."""

from __future__ import annotations

import json
import subprocess
import sys

__all__ = ["fork_server_command"]

#: The package may be where only this process has looked: in a zip file, or on a path that a start
#: script has made.
_CODE = """\
import json, sys
sys.path[:], argv, given = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
sys.argv[:] = argv
from hammerflow.worker.forkserver import main
sys.exit(main(given))
"""


def fork_server_command() -> list[str]:
    """The command that runs a fork server, up to its own arguments: the same Python with the same
    flags and path, and for users' code with the ``sys.argv`` of this process."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    if sys.stdout is not None and getattr(sys.stdout, "write_through", False):
        flags = [*flags, "-u"]
    return [sys.executable, *flags, "-c", _CODE, json.dumps(sys.path), json.dumps(sys.argv)]
