"""``hammerflow doctor``: what is ok, what it warns of, and what fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hammerflow import Hammerflow
from hammerflow.cli.checks import (
    has_wal_reset_bug,
    numbers,
    version_check,
)
from hammerflow.jobs.outcome import Failure, Parked
from hammerflow.stores.clients import Clients
from hammerflow.stores.diagnosis.durability import (
    Trouble,
    mysql_durability,
    postgres_durability,
    sqlite_durability,
)
from tests.cli.conftest import HAMMERFLOW, Run, claim, settle


def found(checks: list[Any], name: str) -> list[tuple[str, str]]:
    return [(check["status"], check["says"]) for check in checks if check["name"] == name]


def test_a_served_database_is_well(run: Run, shop: Hammerflow) -> None:
    shop.tasks["shop.add"].delay(1, 2)

    ended = run("doctor", "--json")

    # Durability depends on the server: those of ordinary tests run without fsync.
    checks = {c["name"]: c for c in ended.json["checks"] if c["name"] != "durability"}
    assert {check["status"] for check in checks.values()} == {"ok"}
    assert {"hammerflow", "database", "clock", "doorbell", "schema"} < checks.keys()
    assert checks["workers"]["says"] == "1 alive on here"
    assert "jobs" not in checks


@pytest.mark.parametrize(
    ("name", "version", "status"),
    [
        ("SQLite", "3.34.1", "fail"), ("SQLite", "3.36.0", "warn"), ("SQLite", "3.40.1", "ok"),
        ("MySQL", "8.0.36-0ubuntu0.22.04.1", "warn"), ("MySQL", "9.7.4", "ok"),
        ("MariaDB", "10.6.23-MariaDB", "warn"), ("PostgreSQL", "11.22", "fail"),
    ],
)  # fmt: skip
def test_a_version_below_those_that_were_tried_is_named(
    name: str, version: str, status: str
) -> None:
    assert version_check(name, version, version).status == status


def test_the_doorbell_is_rung_and_heard(
    run: Run, embedded_shop: Hammerflow, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert embedded_shop.jobs() == []
    monkeypatch.setenv("HAMMERFLOW_REDIS_URL", redis_url)

    checks = run("doctor", "--json").json["checks"]

    ((status, says),) = found(checks, "doorbell")
    assert status == "ok"
    assert says.startswith("Redis: heard after")


@pytest.mark.slow
def test_a_doorbell_that_is_not_there_is_told(
    run: Run, embedded_shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert embedded_shop.jobs() == []
    monkeypatch.setenv("HAMMERFLOW_REDIS_URL", "redis://127.0.0.1:1/0")

    ended = run("doctor", "--json")

    ((status, says),) = found(ended.json["checks"], "doorbell")
    assert (ended.code, status) == (1, "fail")
    assert "was not heard" in says


def test_jobs_that_nobody_serves_are_named(run: Run, shop: Hammerflow) -> None:
    shop.enqueue(shop.signature("shop.unheard_of", [1]))
    shop.tasks["shop.add"].delay(1, 2)
    failure = Failure("failed", "NotDecodable", "what is this", "")
    settle(shop, claim(shop), Parked("undecodable", failure))
    shop.store.queues.pause("default")

    ended = run("doctor", "--json")

    assert found(ended.json["checks"], "jobs") == [
        ("warn", "1 ready job of shop.unheard_of: no live worker has registered it"),
        ("warn", "1 job of shop.add parked: undecodable"),
    ]
    assert found(ended.json["checks"], "queues") == [
        ("warn", "default is paused, with 1 job ready")
    ]


def test_the_limits_of_connections_are_shown(
    run: Run, shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((status, says),) = found(run("doctor", "--json").json["checks"], "connections")
    assert (status, says[:56]) == ("ok", "each process opens up to 20 and waits up to 10 s for one")

    monkeypatch.setenv("HAMMERFLOW_MAX_CONNECTIONS", "5000")
    ((status, says),) = found(run("doctor", "--json").json["checks"], "connections")
    is_file = shop.store.dialect == "sqlite"
    assert status == ("ok" if is_file else "warn")
    in_use = r"the limit here is [0-9]+, and (1 is|([2-9]|[0-9]{2,}) are) in use"
    assert is_file or re.search(f"up to 5000 .* {in_use}", says)


def test_no_worker_is_a_warning(run: Run, embedded_shop: Hammerflow) -> None:
    with embedded_shop.transaction() as tx:
        tx.execute("UPDATE hammerflow_workers SET beat_at = beat_at - 3600")
    alone = run("doctor")
    info = {"doorbell": {"kind": "local", "namespace": "crm", "redis": None}}
    embedded_shop.store.workers.register(8, host="b", pid=2, info=info, tasks=[], queues=[])
    helped = run("doctor")

    assert (alone.code, helped.code) == (0, 0)
    assert "warn  workers: no worker is alive" in alone.out
    assert "a worker takes its jobs over, once one is started" in alone.out
    assert "takes its jobs over 35 s after its last heartbeat" in " ".join(helped.out.split())


def test_the_advice_about_doorbells_fits_the_database(
    run: Run, shop: Hammerflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAMMERFLOW_DOORBELL", "none")
    checks = run("doctor", "--json").json["checks"]
    (advice,) = [check["advice"] for check in checks if check["name"] == "doorbell"]
    assert ('doorbell="postgres"' in advice) is (shop.store.dialect == "postgres")


def test_a_limit_of_0_is_named(run: Run, embedded_shop: Hammerflow) -> None:
    embedded_shop.tasks["shop.add"].delay(1, 2)
    assert run("limit", "set", "task:shop.add", "--max", "0").code == 0

    checks = run("doctor", "--json").json["checks"]

    (check,) = [each for each in checks if each["name"] == "limits"]
    assert check["status"] == "warn" and "task:shop.add is 0, set by " in check["says"]


def test_a_queue_that_no_worker_serves_is_named(run: Run, embedded_shop: Hammerflow) -> None:
    embedded_shop.store.workers.leave(7)
    embedded_shop.store.workers.register(
        8, host="here", pid=1, info={"queues": ["high"], "is_open": False},
        tasks=list(embedded_shop.tasks), queues=["high"],
    )  # fmt: skip
    embedded_shop.tasks["shop.add"].delay(1, 2)

    checks = run("doctor", "--json").json["checks"]

    assert found(checks, "queues") == [
        ("warn", "1 job is ready in default, which no live worker serves")
    ]


def test_jobs_whose_task_and_queue_no_worker_has_together_are_named(
    run: Run, shop: Hammerflow
) -> None:
    """Each has one of both, as two apps on one database have, one of them with -Q."""
    workers, tasks = shop.store.workers, list(shop.tasks)
    workers.leave(7)
    mail = {"queues": ["mail"], "is_open": False}
    workers.register(8, host="a", pid=1, info=mail, tasks=tasks, queues=["mail"])
    workers.register(9, host="b", pid=2, info={}, tasks=["crm.call"], queues=[])
    shop.tasks["shop.add"].delay(1, 2)
    shop.tasks["shop.add"].options(queue="mail").delay(1, 2)

    checks = run("doctor", "--json").json["checks"]

    says = "1 ready job of shop.add in default: no live worker has both"
    assert found(checks, "jobs") == [("warn", says)]
    assert found(checks, "queues") == []


def test_the_log_of_a_replaced_file_is_named(run: Run, embedded_shop: Hammerflow) -> None:
    assert "replaced while it was in use" not in run("doctor").out
    Path(f"{embedded_shop.settings.url.database}-wal-of-replaced-file").touch()
    assert "replaced while it was in use" in run("doctor").out


def test_rows_deleted_by_hand_are_a_failure(run: Run, embedded_shop: Hammerflow) -> None:
    embedded_shop.tasks["shop.add"].delay(1, 2)
    with embedded_shop.transaction() as tx:
        tx.execute("DELETE FROM hammerflow_ready")

    ended = run("doctor")

    assert ended.code == 1
    assert "are in no state table" in ended.out
    assert "hammerflow maintenance check --fix" in ended.out


def test_a_file_that_may_not_be_written_fails(run: Run, embedded_shop: Hammerflow) -> None:
    assert embedded_shop.jobs() == []
    path = embedded_shop.settings.url.database
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
    if command and shutil.which("setpriv") is None:
        pytest.skip("root writes any file, and setpriv is not installed")
    embedded_shop.close()
    Path(path).chmod(0o444)

    doctor = subprocess.run(
        [*command, *HAMMERFLOW, "--database", f"sqlite:///{path}", "--json", "doctor"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    ((status, says),) = found(json.loads(doctor.stdout)["checks"], "rights")
    assert (doctor.returncode, status) == (1, "fail")
    assert "readonly" in says
    assert says.endswith("this user may write the file and its folder")


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs Linux")
def test_a_disk_that_is_nearly_full_is_told() -> None:
    full = "/proc/version"  # on a file system without free blocks

    ((name, status, says, _),) = [
        check
        for check in sqlite_durability(full, {"journal_mode": "wal", "synchronous": "2"})
        if check.name == "disk"
    ]

    assert (name, status, says) == ("disk", "fail", "0.0 MiB are free on the disk of the file")


def test_tables_that_the_search_path_misses_are_found(
    run: Run, migrated_database: Callable[[str], str], postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    url = migrated_database("postgres")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=elsewhere")

    ended = run("--database", url, "--json", "doctor")

    (check,) = [check for check in ended.json["checks"] if check["name"] == "schema"]
    assert (ended.code, check["status"]) == (1, "fail")
    assert "are in the schema public: name it" in check["advice"]
    assert "migrate" not in check["says"]  # which would make a second set of tables


def test_a_database_without_tables_fails(run: Run, database_url: str) -> None:
    if database_url.startswith("sqlite"):
        Path(database_url.removeprefix("sqlite:///")).touch()

    ended = run("--database", database_url, "doctor")

    assert ended.code == 1
    assert "run hammerflow migrate" in ended.out


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///nothing.db", "/nothing.db does not exist"),
        ("postgresql://u@127.0.0.1:1/db", "cannot be used"),
        ("mysql://u@127.0.0.1:1/db", "cannot be used"),
    ],
)
def test_a_database_that_is_not_there_fails(run: Run, url: str, words: str) -> None:
    ended = run("--database", url, "doctor")

    assert ended.code == 1
    assert words in ended.out
    assert not Path("nothing.db").exists()


def test_postgres_without_fsync_is_told(run: Run, postgres_url: str) -> None:
    checks = run("--database", postgres_url, "doctor", "--json").json["checks"]

    assert ("fail", "fsync is off: a power cut can destroy the whole database") in found(
        checks, "durability"
    )


# -- what cannot be had from the servers at hand


@pytest.mark.parametrize(
    ("version", "is_hit"),
    [
        ("3.6.23", False),
        ("3.7.0", True),
        ("3.40.1", True),
        ("3.44.5", True),
        ("3.44.6", False),
        ("3.45.0", True),
        ("3.50.6", True),
        ("3.50.7", False),
        ("3.51.2", True),
        ("3.51.3", False),
        ("3.52.1", False),
    ],
)
def test_the_wal_reset_bug_is_known_by_version(version: str, is_hit: bool) -> None:
    assert has_wal_reset_bug(numbers(version)) is is_hit


def test_versions_are_read_as_servers_write_them() -> None:
    assert numbers("10.11.6-MariaDB-0+deb12u1") == (10, 11, 6)
    assert numbers("15.8 (Debian 15.8-0+deb12u1)") == (15, 8)
    assert numbers("17beta1") == (17,)


@pytest.mark.parametrize(
    ("changed", "status", "word"),
    [
        ({"innodb_flush_log_at_trx_commit": "2"}, "warn", "the last second"),
        ({"sync_binlog": "0"}, "warn", "binary log"),
        ({"innodb_doublewrite": "off"}, "warn", "torn pages"),
        ({"wsrep_on": "on"}, "warn", "Galera"),
        ({"read_only": "on"}, "warn", "read_only"),
        ({"max_allowed_packet": "1048576"}, "warn", "1,048,576"),
    ],
)
def test_what_costs_durability_on_mysql(changed: dict[str, str], status: str, word: str) -> None:
    sound = {
        "innodb_flush_log_at_trx_commit": "1", "log_bin": "on", "sync_binlog": "1",
        "innodb_doublewrite": "on", "read_only": "off", "max_allowed_packet": str(64 << 20),
    }  # fmt: skip

    assert list(mysql_durability(sound)) == []
    (check,) = mysql_durability(sound | changed)
    assert check.status == status
    assert word in check.says


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"fsync": "off"}, "fail"),
        ({"full_page_writes": "off"}, "warn"),
        ({"synchronous_commit": "off"}, "warn"),
        ({"in_hot_standby": "on"}, "fail"),
    ],
)
def test_what_costs_durability_on_postgres(changed: dict[str, str], status: str) -> None:
    sound = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on",
             "in_hot_standby": "off", "transaction_read_only": "off"}  # fmt: skip

    assert list(postgres_durability(sound)) == []
    assert [check.status for check in postgres_durability(sound | changed)] == [status]


def test_what_costs_durability_on_sqlite(tmp_path: Path) -> None:
    sound = {"journal_mode": "wal", "synchronous": "2"}

    def check(**changed: str) -> list[Trouble]:
        return sqlite_durability(f"{tmp_path}/x.db", sound | changed)

    assert check() == []
    assert [check.status for check in check(synchronous="1")] == ["fail"]
    assert [check.status for check in check(journal_mode="delete")] == ["warn"]


@pytest.mark.parametrize(
    ("doorbell", "is_heard"),
    [
        ({}, True),
        ({"kind": "redis", "redis": "redis://other:6379/0"}, False),
        ({"namespace": "b"}, False),
    ],
)
def test_doctor_names_a_worker_that_hears_another_doorbell(
    embedded_shop: Hammerflow, run: Run, doorbell: dict[str, str], is_heard: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HAMMERFLOW_NAMESPACE", "shop")
    own = {"kind": "local", "namespace": "shop", "redis": None}
    info = {"doorbell": own | doorbell}
    embedded_shop.store.workers.register(8, host="b", pid=2, info=info, tasks=[], queues=[])
    out = run("doctor").out
    assert ("listens to" not in out) is is_heard


def test_without_an_app_doctor_checks_the_doorbells_that_are_there(
    embedded_shop: Hammerflow, run: Run
) -> None:
    far = {"kind": "redis", "namespace": "mail", "redis": None}  # its URL is secret
    for number, doorbell in ((8, {"kind": "local", "namespace": "shop", "redis": None}), (9, far)):
        info = {"doorbell": doorbell}
        embedded_shop.store.workers.register(
            number, host="b", pid=2, info=info, tasks=[], queues=[]
        )

    checks = run("doctor", "--json").json["checks"]

    secret, local = sorted(found(checks, "doorbell"), reverse=True)
    assert secret[0] == "warn"
    assert secret[1].startswith("workers listen to redis in the namespace mail, which this command")
    assert local[0] == "ok"
    assert local[1].startswith("on this host: heard after")
    assert local[1].endswith("(namespace shop)")


def test_doctor_names_clients_that_no_worker_hears(embedded_shop: Hammerflow, run: Run) -> None:
    info = {"doorbell": embedded_shop.settings.doorbell_address}
    embedded_shop.store.workers.register(8, host="b", pid=2, info=info, tasks=[], queues=[])
    embedded_shop.tasks["shop.add"].delay(1, 2)
    assert "clients ring" not in run("doctor").out
    far = {"kind": "redis", "namespace": "shop", "redis": "redis://far.invalid:6379/0"}
    Clients(embedded_shop.store.database, far).note(None)
    out = " ".join(run("doctor").out.split())
    assert "clients ring redis at redis://far.invalid:6379/0 in the namespace shop; the" in out
    with embedded_shop.transaction() as tx:
        tx.execute("UPDATE hammerflow_clients SET seen_at = seen_at - 3600")
    assert "clients ring" not in run("doctor").out


def test_workers_that_poll_need_no_common_namespace(
    embedded_shop: Hammerflow, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = {"doorbell": {"kind": "none", "namespace": "shop", "redis": None}}
    embedded_shop.store.workers.register(8, host="b", pid=2, info=info, tasks=[], queues=[])
    monkeypatch.setenv("HAMMERFLOW_DOORBELL", "none")

    assert "listens to" not in run("doctor").out


def test_doctor_tells_two_redis_servers_apart(
    embedded_shop: Hammerflow, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAMMERFLOW_REDIS_URL", "redis://this.invalid:6379/0")
    address = {"kind": "redis", "namespace": "hammerflow"}
    for number, host in ((8, "this"), (9, "that"), (10, None)):  # None: its URL holds a secret
        redis = host and f"redis://{host}.invalid:6379/0"
        info = {"doorbell": address | {"redis": redis}}
        workers = embedded_shop.store.workers
        workers.register(number, host="b", pid=2, info=info, tasks=[], queues=[])
    ended = run("doctor")
    assert ended.out.count("listens to") == 1
    assert "redis at redis://that.invalid:6379/0 in the namespace" in " ".join(ended.out.split())


def test_doctor_names_a_task_that_two_apps_share(shop: Hammerflow, run: Run) -> None:
    for number, app in ((8, "shop"), (9, "billing"), (10, "billing")):
        tasks = ["send", f"{app}.own", "hammerflow.empty"]
        info = {"doorbell": {"kind": "none", "namespace": app, "redis": None}}
        shop.store.workers.register(number, host="b", pid=2, info=info, tasks=tasks, queues=[])
    out = run("doctor").out
    assert out.count("run each other's jobs") == 1
    assert "the apps billing, shop both have a task send" in out
