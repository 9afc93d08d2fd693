"""The default of -c: the CPUs that this process may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hammerflow.worker.cpus import usable_cpus

_HERE = len(os.sched_getaffinity(0))
V2, V1 = "0::/a/b\n", "3:memory:/x\n2:cpu,cpuacct:/a/b\n0::/\n"


@pytest.mark.parametrize(
    ("groups", "files", "wanted"),
    [
        (V2, {"a/b/cpu.max": "150000 100000"}, 2),
        (V2, {"a/b/cpu.max": "max 100000", "a/cpu.max": "50000 100000"}, 1),
        (V2, {"cpu.max": "20000 100000"}, 1),  # a container that sees its group as the root
        (V2, {"unified/a/b/cpu.max": "100000 100000"}, 1),
        (V2, {"a/b/cpu.max": "max 100000"}, _HERE),
        (V2, {"a/b/cpu.max": "nonsense"}, _HERE),
        (V1, {"cpu,cpuacct/a/b/cpu.cfs_quota_us": "100000"}, 1),
        (V1, {"cpu/cpu.cfs_quota_us": "10000"}, 1),
        (V1, {"cpu/a/b/cpu.cfs_quota_us": "-1"}, _HERE),
        (None, {}, _HERE),
    ],
)
def test_a_quota_bounds_them(
    tmp_path: Path, groups: str | None, files: dict[str, str], wanted: int
) -> None:
    if groups is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if "quota" in name:
            path.with_name("cpu.cfs_period_us").write_text("100000")

    assert usable_cpus(tmp_path) == min(wanted, _HERE)


@pytest.mark.skipif(sys.platform != "linux", reason="a service of Linux")
def test_the_affinity_bounds_the_default_of_children() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from hammerflow.worker.options import WorkerOptions\n"
        "print(WorkerOptions(app='a:b').processes, WorkerOptions(app='a:b', children=5).processes)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert run.stdout == "1 5\n"
