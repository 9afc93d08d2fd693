"""The set-up step of tox: see to it that the database servers' programs are there.

Run as ``python -m tests.support.install``. Where all are there, or the environment names servers
to use instead, it does nothing. On Debian and Ubuntu it installs what is missing with apt-get, as
root or by sudo, without starting a system service. Elsewhere it says what to do and exits with 1.
Tools without which only single tests are skipped are installed on the way, where that is possible.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.programs import missing

#: Programs that single tests need, and are skipped without; the packages they come in.
TOOLS = {
    "chromium": "chromium", "dot": "graphviz", "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
}  # fmt: skip
#: Debian's packages ask this program whether they may start their service; 101 means no.
POLICY = Path("/usr/sbin/policy-rc.d")
REFUSAL = "#!/bin/sh\n# laid here by hammerflow's tests while they install servers\nexit 101\n"


def main() -> int:
    """Install what is missing; 0 when nothing is missing in the end."""
    lacking, tools = missing(), [tool for tool in TOOLS if shutil.which(tool) is None]
    become = _becoming_root()
    if (lacking or tools) and shutil.which("apt-get") and become is not None:
        _install([*(kind.package for kind in lacking), *(TOOLS[tool] for tool in tools)], become)
        lacking = missing()
    for kind in lacking:
        print(kind.advice(), file=sys.stderr)  # noqa: T201  (a command's own words)
    return 1 if lacking else 0


def _becoming_root() -> list[str] | None:
    """What to put before a command so that it runs as root; None where that needs a password."""
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "-n"]
    if shutil.which("sudo") and not subprocess.run([*sudo, "true"], check=False).returncode:
        return sudo
    return None


def _install(packages: list[str], become: list[str]) -> None:
    """apt-get install, with a fresh list of packages."""
    environment = [*become, "env", "DEBIAN_FRONTEND=noninteractive"]
    options = ["-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]
    with _services_asleep(become):
        subprocess.run([*environment, "apt-get", "update", "-q"], check=False)
        subprocess.run([*environment, "apt-get", "install", *options, *packages], check=False)


@contextlib.contextmanager
def _services_asleep(become: list[str]) -> Iterator[None]:
    """No package starts its service in this with block; a policy that is there already stays."""
    if POLICY.exists():
        yield
        return
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as draft:
        draft.write(REFUSAL)
        draft.flush()
        subprocess.run([*become, "install", "-m", "755", draft.name, str(POLICY)], check=True)
    try:
        yield
    finally:
        subprocess.run([*become, "rm", "-f", str(POLICY)], check=False)


if __name__ == "__main__":
    sys.exit(main())
