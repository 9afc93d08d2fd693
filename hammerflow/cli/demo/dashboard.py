"""The demo's dashboard: a server of its own, opened in a browser where there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import webbrowser
from pathlib import Path

from hammerflow.cli.demo.environment import APP, DemoEnvironment
from hammerflow.errors import HammerflowError

__all__ = ["open_in_browser", "serve_dashboard"]


def serve_dashboard(demo: DemoEnvironment) -> str:
    """Start the server, which ends with the demo; the link that logs one browser in.

    Raises:
        HammerflowError: it has ended at once.
    """
    log = demo.log.with_name("web.log")
    command = [sys.executable, "-m", "hammerflow", "-A", APP, "web", "--port", "0", "--json"]
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    demo.add(server, log)
    assert server.stdout is not None
    told = server.stdout.readline()
    server.stdout.close()
    if not told:
        server.wait()
        raise HammerflowError(f"the dashboard did not start: {_last_line(log)}")
    return str(json.loads(told)["link"])


def open_in_browser(link: str) -> bool:
    """Open a link where a person sees it; False without a display, or in CI."""
    is_shown = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return is_shown and not os.environ.get("CI") and webbrowser.open(link)


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").split("\n")
    return next((line for line in reversed(lines) if line), "it said nothing")
