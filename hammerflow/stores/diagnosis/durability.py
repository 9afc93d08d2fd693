"""Durability: settings of a database by which a committed job may be lost."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

__all__ = ["Status", "Trouble", "mysql_durability", "postgres_durability", "sqlite_durability"]

Status = Literal["ok", "warn", "fail"]

_SPACE_MIB = 100  # free space on the disk of a SQLite file below which it is told


class Trouble(NamedTuple):
    """What is wrong; ``advice`` says what to do about it."""

    name: str
    status: Status
    says: str
    advice: str


def _broken(*rules: tuple[bool, str, Status, str, str]) -> list[Trouble]:
    """What those rules say whose first field, "it is broken", is true."""
    return [Trouble(name, status, *texts) for is_broken, name, status, *texts in rules if is_broken]


def sqlite_durability(path: str, values: Mapping[str, str]) -> list[Trouble]:
    """What is wrong with SQLite's settings and the place of the file."""
    journal, synchronous = values.get("journal_mode"), values.get("synchronous")
    remote = _remote_kind(Path(path))
    old_log = Path(f"{path}-wal-of-replaced-file")
    free = _free_mib(path)
    return _broken(
        (journal != "wal", "durability", "warn", f"journal_mode is {journal}, not wal",
         "readers block writers: put the file on a local disk, where SQLite can use WAL"),
        (synchronous not in ("2", "3"), "durability", "fail",
         f"synchronous is {synchronous}, below 2 (FULL)",
         "a power cut can lose committed jobs: do not change PRAGMA synchronous"),
        (free < _SPACE_MIB, "disk", "fail" if free < 1 else "warn",
         f"{free:.1f} MiB are free on the disk of the file", "free space, or commits will fail"),
        (remote is not None, "durability", "fail",
         f"the file is on a network file system ({remote})",
         "SQLite's locks are not safe there: move it to a local disk, or use a server"),
        (old_log.exists(), "database", "warn",
         f"{old_log} holds the last commits of a file that was replaced while it was in use",
         "keep it with the old file, if you have that; else delete it"),
    )  # fmt: skip


def _free_mib(path: str) -> float:
    """MiB that this user may still write on the disk of a path; infinite if nobody can tell."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return math.inf
    return disk.f_bavail * disk.f_frsize / (1 << 20)


def _remote_kind(path: Path) -> str | None:
    """The kind of network file system that a path is on, if /proc says so."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    here = path.absolute().resolve()
    best, kind = "", ""
    for line in mounts:
        _, place, type_, *_ = line.split(" ")
        if len(place) >= len(best) and here.is_relative_to(place):
            best, kind = place, type_
    return kind if re.fullmatch(r"nfs4?|cifs|smb3?|9p|fuse\.sshfs|ceph|glusterfs", kind) else None


def postgres_durability(values: Mapping[str, str]) -> list[Trouble]:
    """What is wrong with PostgreSQL's settings."""
    is_standby = "on" in (values.get("transaction_read_only"), values.get("in_hot_standby"))
    off = {name for name, value in values.items() if value == "off"}
    advice = "set {} = on in postgresql.conf (or for hammerflow's role)".format
    return _broken(
        (is_standby, "database", "fail", "the server is read-only (a standby?)",
         "name the primary in the URL, or add target_session_attrs=read-write to it"),
        ("fsync" in off, "durability", "fail",
         "fsync is off: a power cut can destroy the whole database", advice("fsync")),
        ("full_page_writes" in off, "durability", "warn",
         "full_page_writes is off: a power cut can leave torn pages", advice("full_page_writes")),
        ("synchronous_commit" in off, "durability", "warn",
         "synchronous_commit is off: a crash can lose jobs whose ids were returned",
         advice("synchronous_commit")),
    )  # fmt: skip


def mysql_durability(values: Mapping[str, str], max_payload: int = 0) -> list[Trouble]:
    """What is wrong with the settings of MySQL or MariaDB."""
    on = {name for name, value in values.items() if value == "on"}
    flush = values.get("innodb_flush_log_at_trx_commit")
    packet = int(values.get("max_allowed_packet", "0") or 0)
    least = max(16 << 20, 3 * max_payload)
    return _broken(
        (not on.isdisjoint({"read_only", "super_read_only"}), "database", "warn",
         "read_only is on (a replica?)", "name the primary in the URL"),
        (flush not in ("1", "3"), "durability", "warn",
         f"innodb_flush_log_at_trx_commit is {flush}: a crash can lose the last second",
         "set innodb_flush_log_at_trx_commit = 1"),
        ("log_bin" in on and values.get("sync_binlog") == "0", "durability", "warn",
         ("sync_binlog is 0: after a power cut the binary log may lack committed transactions, "
          "and replicas the jobs in them"), "set sync_binlog = 1"),
        (values.get("innodb_doublewrite") == "off", "durability", "warn",
         "innodb_doublewrite is off: a power cut can leave torn pages",
         "set innodb_doublewrite = ON, unless the file system writes pages atomically"),
        ("wsrep_on" in on, "durability", "warn",
         "this is a Galera cluster, which can lose committed transactions when a node crashes",
         "send all of hammerflow to one node, with innodb_flush_log_at_trx_commit = 1"),
        (0 < packet < least, "database", "warn", f"max_allowed_packet is {packet:,} bytes",
         f"set max_allowed_packet to {least:,} or more, or large arguments or results fail"),
    )  # fmt: skip
