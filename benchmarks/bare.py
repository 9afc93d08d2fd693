# ruff: noqa: E501
"""The bare drivers: the least SQL that inserts, claims and settles jobs with results.

Two narrow tables more than a queue needs at the least (ready, leases, done), batches of 500, two
processes: the limit that any framework on this machine and driver can reach.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable

from hammerflow.ids import new_id
from hammerflow.settings import parse_url

BATCH = 500
PAYLOAD = b"M" + b"a" * 20
RESULT = b"M\xc0"


def single_inserts(url: str, n: int) -> float:
    """Single INSERTs a second, each a commit."""
    run = _connect(url)
    run("drop", ())
    run("create", ())
    start = time.perf_counter()
    for _ in range(n):
        run("one", (new_id(), PAYLOAD))
    return n / (time.perf_counter() - start)


def drain(url: str, n: int) -> float:
    """Jobs a second that two bare processes claim and settle."""
    run = _connect(url)
    run("drop", ())
    run("create", ())
    run("fill", [(new_id(), PAYLOAD) for _ in range(n)])
    start = time.perf_counter()
    workers = [subprocess.Popen([sys.executable, "-m", "benchmarks.bare", url]) for _ in range(2)]
    for worker in workers:
        worker.wait()
    seconds = time.perf_counter() - start
    assert run("count", ()) == n, "the bare drain lost jobs"
    return n / seconds


def _connect(url: str) -> Callable[..., object]:
    dialect = parse_url(url).dialect
    if dialect == "sqlite":
        return _SQLite(parse_url(url).database)
    return _Postgres(url) if dialect == "postgres" else _MySQL(parse_url(url).arguments)


class _SQLite:
    def __init__(self, path: str) -> None:
        self.c = sqlite3.connect(path, isolation_level=None, timeout=60)
        self.c.execute("PRAGMA journal_mode=WAL")
        self.c.execute("PRAGMA synchronous=FULL")

    def __call__(self, verb: str, values: object) -> object:
        c = self.c
        match verb:
            case "drop":
                for t in ("b_jobs", "b_ready", "b_leases", "b_done"):
                    c.execute(f"DROP TABLE IF EXISTS {t}")
            case "create":
                c.execute("CREATE TABLE b_jobs (id BLOB PRIMARY KEY, args BLOB) WITHOUT ROWID")
                c.execute("CREATE TABLE b_ready (id BLOB PRIMARY KEY, lease INT) WITHOUT ROWID")
                c.execute("CREATE TABLE b_leases (id BLOB PRIMARY KEY, lease INT) WITHOUT ROWID")
                c.execute(
                    "CREATE TABLE b_done (id BLOB PRIMARY KEY, at REAL, r BLOB) WITHOUT ROWID"
                )
            case "one":
                c.execute("INSERT INTO b_jobs VALUES (?, ?)", values)
            case "fill":
                c.execute("BEGIN IMMEDIATE")
                c.executemany("INSERT INTO b_jobs VALUES (?, ?)", values)
                c.execute("INSERT INTO b_ready SELECT id, 0 FROM b_jobs")
                c.execute("COMMIT")
            case "claim":
                c.execute("BEGIN IMMEDIATE")
                rows = c.execute(
                    "SELECT r.id, r.lease, j.args FROM b_ready r JOIN b_jobs j ON j.id = r.id "
                    "ORDER BY r.id LIMIT ?", (BATCH,)).fetchall()  # fmt: skip
                if rows:
                    c.execute("DELETE FROM b_ready WHERE id <= ?", (rows[-1][0],))
                    c.executemany("INSERT INTO b_leases VALUES (?, ?)", [(r[0], 1) for r in rows])
                c.execute("COMMIT")
                return rows
            case "settle":
                c.execute("BEGIN IMMEDIATE")
                c.executemany("DELETE FROM b_leases WHERE id = ? AND lease = 1", values)
                c.executemany(
                    "INSERT INTO b_done VALUES (?, julianday('now'), ?)",
                    [(v[0], RESULT) for v in values],  # type: ignore[attr-defined]
                )
                c.execute("COMMIT")
            case "count":
                return c.execute("SELECT count(*) FROM b_done").fetchone()[0]
        return None


class _Postgres:
    def __init__(self, url: str) -> None:
        import psycopg

        self.c = psycopg.connect(url, autocommit=True)
        self.c.execute("SET jit = off")

    def __call__(self, verb: str, values: object) -> object:
        c = self.c
        match verb:
            case "drop":
                c.execute("DROP TABLE IF EXISTS b_jobs, b_ready, b_leases, b_done")
            case "create":
                c.execute("CREATE TABLE b_jobs (id uuid PRIMARY KEY, args bytea)")
                c.execute("CREATE TABLE b_ready (id uuid PRIMARY KEY, lease int)")
                c.execute("CREATE TABLE b_leases (id uuid PRIMARY KEY, lease int)")
                c.execute("CREATE TABLE b_done (id uuid PRIMARY KEY, at timestamptz, r bytea)")
            case "one":
                key, args = values  # type: ignore[misc]
                c.execute(
                    "INSERT INTO b_jobs VALUES (%s, %s)", (uuid.UUID(bytes=key), args), prepare=True
                )
            case "fill":
                with c.cursor() as k, k.copy("COPY b_jobs FROM STDIN (FORMAT binary)") as copy:
                    copy.set_types(["uuid", "bytea"])
                    for key, args in values:  # type: ignore[attr-defined]
                        copy.write_row((uuid.UUID(bytes=key), args))
                c.execute("INSERT INTO b_ready SELECT id, 0 FROM b_jobs")
                c.execute("VACUUM ANALYZE")
            case "claim":
                return c.execute(
                    "WITH p AS MATERIALIZED (SELECT id FROM b_ready ORDER BY id LIMIT %s "
                    "FOR UPDATE SKIP LOCKED), d AS (DELETE FROM b_ready r USING p WHERE r.id = p.id "
                    "RETURNING r.id, r.lease), l AS (INSERT INTO b_leases SELECT id, lease + 1 FROM d "
                    "RETURNING id, lease) SELECT l.*, j.args FROM l JOIN b_jobs j ON j.id = l.id",
                    (BATCH,), prepare=True, binary=True).fetchall()  # fmt: skip
            case "settle":
                ids = [v[0] for v in values]  # type: ignore[attr-defined]
                c.execute(
                    "WITH d AS (DELETE FROM b_leases l USING unnest(%s::uuid[], %s::int[], "
                    "%s::bytea[]) i(id, lease, r) WHERE l.id = i.id AND l.lease = i.lease "
                    "RETURNING l.id, i.r) INSERT INTO b_done SELECT id, clock_timestamp(), r FROM d",
                    (ids, [1] * len(ids), [RESULT] * len(ids)), prepare=True, binary=True,
                )  # fmt: skip
            case "count":
                return c.execute("SELECT count(*) FROM b_done").fetchone()[0]  # type: ignore[index]
        return None


class _MySQL:
    def __init__(self, arguments: dict[str, object]) -> None:
        import pymysql

        self.c = pymysql.connect(**arguments, autocommit=True)  # type: ignore[arg-type]
        self.k = self.c.cursor()
        self.k.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")

    def __call__(self, verb: str, values: object) -> object:
        k = self.k
        match verb:
            case "drop":
                k.execute("DROP TABLE IF EXISTS b_jobs, b_ready, b_leases, b_done")
            case "create":
                k.execute("CREATE TABLE b_jobs (id BINARY(16) PRIMARY KEY, args LONGBLOB)")
                k.execute("CREATE TABLE b_ready (id BINARY(16) PRIMARY KEY, lease INT)")
                k.execute("CREATE TABLE b_leases (id BINARY(16) PRIMARY KEY, lease INT)")
                k.execute("CREATE TABLE b_done (id BINARY(16) PRIMARY KEY, at DATETIME(6), r BLOB)")
            case "one":
                k.execute("INSERT INTO b_jobs VALUES (%s, %s)", values)
            case "fill":
                for i in range(0, len(values), 5_000):  # type: ignore[arg-type]
                    k.executemany("INSERT INTO b_jobs VALUES (%s, %s)", values[i : i + 5_000])  # type: ignore[index]
                k.execute("INSERT INTO b_ready SELECT id, 0 FROM b_jobs")
            case "claim":
                self.c.begin()
                k.execute(
                    "SELECT r.id, r.lease, j.args FROM b_ready r FORCE INDEX (PRIMARY) STRAIGHT_JOIN "
                    "b_jobs j ON j.id = r.id ORDER BY r.id LIMIT %s FOR UPDATE SKIP LOCKED", (BATCH,)
                )  # fmt: skip
                rows = k.fetchall()
                if rows:
                    ids = ",".join("0x" + r[0].hex() for r in rows)
                    k.execute(
                        "INSERT INTO b_leases SELECT id, lease + 1 FROM b_ready FORCE INDEX (PRIMARY) "
                        f"WHERE id IN ({ids})"
                    )
                    k.execute(
                        f"DELETE b_ready FROM b_ready FORCE INDEX (PRIMARY) WHERE id IN ({ids})"
                    )
                self.c.commit()
                return rows
            case "settle":
                ids = ",".join("0x" + v[0].hex() for v in values)  # type: ignore[attr-defined]
                done = ",".join(f"(0x{v[0].hex()},NOW(6),0x{RESULT.hex()})" for v in values)  # type: ignore[attr-defined]
                self.c.begin()
                k.execute(
                    f"DELETE b_leases FROM b_leases FORCE INDEX (PRIMARY) WHERE id IN ({ids}) "
                    "AND lease = 1"
                )
                k.execute(f"INSERT INTO b_done VALUES {done}")
                self.c.commit()
            case "count":
                k.execute("SELECT count(*) FROM b_done")
                return k.fetchone()[0]  # type: ignore[index]
        return None


def main(url: str) -> None:
    """One bare worker: claim and settle until nothing is left."""
    run = _connect(url)
    while rows := _again(run, "claim", ()):
        _again(run, "settle", [(row[0],) for row in rows])


def _again(run: Callable[..., object], verb: str, values: object) -> list[tuple[bytes, ...]]:
    """MariaDB's deadlocks roll the whole transaction back: run it again."""
    while True:
        try:
            return run(verb, values)  # type: ignore[return-value]
        except Exception as error:
            if not error.args or error.args[0] != 1213:
                raise


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)
