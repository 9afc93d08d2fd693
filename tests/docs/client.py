"""A Python session in a process of its own: one source a line in, what it printed a line out."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import traceback


def main() -> None:
    """Answer until stdin ends. Sources and answers are JSON texts."""
    sys.path[0] = ""  # as `python` has it: the working directory
    scope: dict[str, object] = {"__name__": "__main__"}
    for line in sys.stdin:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            try:
                exec(compile(json.loads(line), "<stdin>", "single"), scope)
            except BaseException as error:  # noqa: BLE001 - a session shows every error
                printed.write("Traceback (most recent call last):\n")
                printed.writelines(traceback.format_exception_only(error))
        sys.stdout.write(json.dumps(printed.getvalue()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
