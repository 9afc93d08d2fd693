"""The checks of doctor: each tests one thing and answers ok, warn or fail, with advice."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hammerflow.cli.doorbells import settings_of
from hammerflow.cli.session import is_missing
from hammerflow.cli.upkeep_view import advice_of
from hammerflow.errors import (
    ConfigError,
    HammerflowError,
    MissingExtra,
    SchemaMismatch,
    StoreUnavailable,
)
from hammerflow.notifiers import open_notifier
from hammerflow.notifiers.address import Address, all_in_words, are_one, in_words, unheard
from hammerflow.settings import Settings
from hammerflow.stores import open_store
from hammerflow.stores.diagnosis.diagnostics import Diagnostics
from hammerflow.stores.diagnosis.durability import (
    Status,
    mysql_durability,
    postgres_durability,
    sqlite_durability,
)
from hammerflow.stores.diagnosis.explain import serves
from hammerflow.stores.store import Store
from hammerflow.tasks.builtin import BUILTIN
from hammerflow.text import counted

__all__ = ["Check", "diagnose"]

Workers = Sequence[Mapping[str, Any]]  # rows of the table

#: The oldest versions that have SKIP LOCKED, RETURNING and the like.
_OLDEST = {"SQLite": (3, 35), "PostgreSQL": (12,), "MySQL": (8, 0, 1), "MariaDB": (10, 6)}
#: The oldest that the tests have run on: see docs/reference/databases.md.
_TRIED = {"SQLite": (3, 37), "PostgreSQL": (12,), "MySQL": (8, 0, 42), "MariaDB": (10, 11)}
_CLOCK_SKEW = 1.0  # seconds between the clocks of database and host from which doctor warns
_NEARLY = 0.9  # share of the server's limit of connections from which doctor warns
_RINGS, _RING_TIMEOUT = 3, 1.0  # attempts to ring the doorbell; seconds that each waits


class Check(NamedTuple):
    """The outcome of one check; ``advice`` says what to do about it."""

    name: str
    status: Status
    says: str
    advice: str = ""


def diagnose(settings: Settings, is_namespace_known: bool) -> Iterator[Check]:
    """Run all checks, each before those that depend on it.

    Args:
        is_namespace_known: the settings are those of an app; else the doorbells of the workers that
            are alive are checked.
    """
    if is_missing(settings):
        advice = "run hammerflow migrate, or name the right database with --database or -A"
        says = f"the file {settings.url.database} does not exist"
        yield Check("database", "fail", says, advice)
        return
    try:
        store = open_store(settings)
        name, text = Diagnostics(store.database).server()
    except HammerflowError as error:
        yield Check("database", "fail", str(error))
        return
    with contextlib.closing(store):
        try:
            yield from _check_store(store, settings, name, text, is_namespace_known)
        except HammerflowError as error:  # the checks before it may tell why
            yield Check("database", "fail", str(error))


def version_check(name: str, text: str, says: str) -> Check:
    """Whether a database of this version, ``"10.11.6-MariaDB"``, serves."""
    tried = ".".join(map(str, _TRIED.get(name, ())))
    if numbers(text) < _OLDEST.get(name, ()):
        return Check("database", "fail", says, f"upgrade it to {name} {tried} or newer")
    if numbers(text) < _TRIED.get(name, ()):
        return Check("database", "warn", says, f"hammerflow is not tried below {name} {tried}")
    return Check("database", "ok", says)


def _check_store(
    store: Store, settings: Settings, name: str, text: str, is_namespace_known: bool
) -> Iterator[Check]:
    yield version_check(name, text, f"{name} {text} at {settings.url.redacted}")
    yield from _durability(settings, name, text, Diagnostics(store.database).settings())
    yield _connections(settings, Diagnostics(store.database).connections())
    yield _clock(store)
    if is_namespace_known:
        yield _doorbell(settings, store)
    try:
        store.schema.check()
    except SchemaMismatch as error:
        says, advice = str(error), ""
        if not store.schema.applied():
            advice = _elsewhere(Diagnostics(store.database).schemas())
        if advice:
            says = "the tables are not where these settings search them"
        yield Check("schema", "fail", says, advice)
        if not is_namespace_known:  # and no table tells which doorbells are there
            yield _doorbell(settings, store)
        return
    except StoreUnavailable:
        yield _rights(Diagnostics(store.database))
        return
    yield Check("schema", "ok", f"version {max(store.schema.applied())}")
    yield _rights(Diagnostics(store.database))
    yield _size(store, Diagnostics(store.database))
    yield from (Check("upkeep", "warn", *sign) for sign in advice_of(store))
    workers = store.workers.list()
    alive = [worker for worker in workers if abs(worker["silent_for"]) <= settings.lease]
    yield from _workers(workers, alive, settings)
    if not is_namespace_known:
        yield from _doorbells_there(store, alive, settings)
    yield from _doorbells(store, alive, settings, is_namespace_known)
    yield from _shared_tasks(store.workers.shared_tasks())
    yield from _queues(store, alive)
    yield from _unserved(store, alive)
    yield from _closed_limits(store)
    yield from _jobs(Diagnostics(store.database))


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: ``10.11.6-MariaDB-0+deb12u1`` is (10, 11, 6)."""
    found = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _durability(
    settings: Settings, name: str, version: str, values: Mapping[str, str]
) -> Iterator[Check]:
    """Whether a job whose id delay() returned survives a power cut."""
    bugs: list[Check] = []
    match name:
        case "SQLite":
            found = sqlite_durability(settings.url.database, values)
            bugs = list(_wal_reset_bug(version))
        case "PostgreSQL":
            found = postgres_durability(values)
        case _:
            found = mysql_durability(values, settings.max_payload)
    checks = [*bugs, *(Check(*trouble) for trouble in found)]
    yield from checks
    if not checks:
        text = ", ".join(f"{key}={value}" for key, value in sorted(values.items()))
        yield Check("durability", "ok", f"a committed job survives a power cut ({text})")


def _wal_reset_bug(version: str) -> Iterator[Check]:
    if has_wal_reset_bug(numbers(version)):
        yield Check(
            "durability", "warn",
            f"SQLite {version} has the WAL-reset bug (3.7.0 to 3.51.2), which can, very rarely, "
            "corrupt a database that several processes write",
            "use a Python with SQLite 3.51.3 or later (or 3.50.7, 3.44.6), or a database server",
        )  # fmt: skip


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """https://sqlite.org/wal.html#walresetbug: fixed in 3.51.3, and in 3.50.7 and 3.44.6."""
    is_backport = (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    return (3, 7, 0) <= version <= (3, 51, 2) and not is_backport


def _connections(settings: Settings, server: tuple[int, int] | None) -> Check:
    most = settings.max_connections
    says = f"each process opens up to {most} and waits up to {settings.pool_timeout:g} s for one"
    if server is None:
        return Check("connections", "ok", says)
    limit, in_use = server
    used = "1 is" if in_use == 1 else f"{in_use} are"
    says += f"; the limit here is {limit}, and {used} in use on the server"
    if most > limit or in_use > limit * _NEARLY:
        advice = "raise the limit of the server or the role, or lower the setting max_connections"
        return Check("connections", "warn", says, advice)
    return Check("connections", "ok", says)


def _rights(diagnostics: Diagnostics) -> Check:
    """Whether this user may do with each table what hammerflow does."""
    try:
        missing = diagnostics.missing_right()
    except StoreUnavailable as error:
        return Check("rights", "fail", str(error))
    if missing is None:
        return Check("rights", "ok", "this user may read and write all tables")
    says, grant = missing
    return Check("rights", "fail", says, f"as the owner of the tables, run: {grant}")


def _elsewhere(schemas: Sequence[tuple[str, bool]]) -> str:
    """What to do where the tables are in schemas that statements do not reach."""
    hidden = [name for name, may_use in schemas if not may_use]
    if hidden:
        return (
            f"tables of this prefix are in the schema {', '.join(hidden)}, which this user may not "
            "use: its owner must GRANT USAGE on it"
        )
    if schemas:
        names = ", ".join(name for name, _ in schemas)
        return (
            f"tables of this prefix are in the schema {names}: name it in the setting schema or in "
            "the search_path"
        )
    return ""


def _size(store: Store, diagnostics: Diagnostics) -> Check:
    total = sum(table.size for table in diagnostics.sizes()) / 2**20
    progress = store.retention.progress()
    removed = counted(progress.removed if progress is not None else 0, "ended job")
    return Check("size", "ok", f"{total:,.0f} MiB; retention has removed {removed}")


def _clock(store: Store) -> Check:
    before = time.time()
    database = store.clock()
    after = time.time()
    skew, uncertainty = database - (before + after) / 2, (after - before) / 2
    if abs(skew) - uncertainty > _CLOCK_SKEW:
        where = "ahead of" if skew > 0 else "behind"
        says = f"the database's clock is {abs(skew):.1f} s {where} this host's"
        advice = "hammerflow uses the database's clock; synchronise both by NTP to compare logs"
        return Check("clock", "warn", says, advice)
    return Check("clock", "ok", f"database and host differ by {abs(skew) * 1000:.0f} ms")


def _doorbell(settings: Settings, store: Store) -> Check:
    """Ring for a job that does not exist, and listen."""
    if settings.bell == "none":
        says = f"none: workers poll for jobs every {settings.poll:g} s"
        how = ' or doorbell="postgres"' if settings.url.dialect == "postgres" else ""
        return Check("doorbell", "ok", says, f"set a Redis URL{how}, and jobs start at once")
    transport = {"redis": "Redis", "postgres": "LISTEN", "local": "on this host"}[settings.bell]
    job_id = os.urandom(16)
    begun = time.monotonic()
    try:
        notifier = open_notifier(settings, connect=store.database.open_connection)
    except HammerflowError as error:
        return Check("doorbell", "fail", str(error))
    with contextlib.closing(notifier), notifier.expect(job_id) as bell:
        for _ in range(_RINGS):
            notifier.ring_done([job_id])
            if bell.wait(_RING_TIMEOUT):
                took = (time.monotonic() - begun) * 1000
                return Check("doorbell", "ok", f"{transport}: heard after {took:.0f} ms")
    advice = f"check its URL and that it runs; until then workers poll every {settings.poll:g} s"
    return Check("doorbell", "fail", f"{transport}: a ring was not heard within 3 s", advice)


def _workers(workers: Workers, alive: Workers, settings: Settings) -> Iterator[Check]:
    rescue = "a worker takes its jobs over, once one is started"
    if alive:
        after = settings.lease + settings.sweep
        rescue = f"another worker takes its jobs over {after:g} s after its last heartbeat"
    for worker in workers:
        if worker not in alive:
            yield Check("workers", "warn", _silence(worker), rescue)
    if alive:
        hosts = sorted({str(worker["host"]) for worker in alive})
        for worker in alive:
            if missing := worker["info"].get("missing"):
                lacks = counted(missing, "child", "children")
                says = f"the worker on {worker['host']} (pid {worker['pid']}) lacks {lacks}"
                yield Check("workers", "warn", says, "its log says why they do not start")
        yield Check("workers", "ok", f"{len(alive)} alive on {', '.join(hosts)}")
    else:
        advice = "start one: hammerflow -A package.module:app worker"
        yield Check("workers", "warn", "no worker is alive", advice)


def _doorbells_there(store: Store, alive: Workers, settings: Settings) -> Iterator[Check]:
    """The doorbells of the workers, where no app says which namespace is meant."""
    theirs = (each for worker in alive if (each := worker["info"].get("doorbell")))
    found = {in_words(each): each for each in (_as_far_as_known(settings, one) for one in theirs)}
    if not found:
        yield _doorbell(settings, store)
    for words, address in sorted(found.items()):
        try:
            check = _doorbell(settings_of(settings, address), store)
        except (ConfigError, MissingExtra) as error:
            says = f"workers listen to {words}, which this command cannot ring"
            yield Check("doorbell", "warn", says, str(error))
        else:
            yield check._replace(says=f"{check.says} (namespace {address['namespace']})")


def _as_far_as_known(settings: Settings, theirs: Address) -> Address:
    """The doorbell of the settings, with a worker's where nothing was given: an app may give it."""
    own = {**settings.doorbell_address, "namespace": theirs["namespace"]}
    is_given = settings.redis is not None or settings.doorbell != "auto"
    return own if is_given else theirs


def _doorbells(
    store: Store, alive: Workers, settings: Settings, is_namespace_known: bool
) -> Iterator[Check]:
    """Workers that do not hear clients with these settings, and clients that nobody hears."""
    own: Address = settings.doorbell_address
    heard = [address for worker in alive if (address := worker["info"].get("doorbell"))]
    advice = (
        "give both the same redis, doorbell and namespace, or jobs wait for a poll; workers of "
        "another app may differ"
    )
    for worker in alive:
        theirs = worker["info"].get("doorbell")
        if theirs is not None and not is_namespace_known:
            own = _as_far_as_known(settings, theirs)
        if theirs is not None and not are_one(own, theirs):
            says = (
                f"the worker on {worker['host']} (pid {worker['pid']}) listens to "
                f"{in_words(theirs)}, these settings ring {in_words(own)}"
            )
            yield Check("doorbell", "warn", says, advice)
    for rung in unheard(store.clients.doorbells(), heard) if heard else ():
        says = f"clients ring {in_words(rung)}; the workers listen to {all_in_words(heard)}"
        yield Check("doorbell", "warn", says, advice)


def _shared_tasks(shared: Mapping[str, Sequence[str]]) -> Iterator[Check]:
    """Tasks that workers of different apps would run for each other."""
    for task, apps in shared.items():
        if not task.startswith(BUILTIN):
            says = f"the apps {', '.join(apps)} both have a task {task} and run each other's jobs"
            advice = "rename it in one of them, or give each app a prefix or database of its own"
            yield Check("tasks", "warn", says, advice)


def _silence(worker: Mapping[str, Any]) -> str:
    who, silent_for = f"the worker on {worker['host']} (pid {worker['pid']})", worker["silent_for"]
    if silent_for < 0:
        return (
            f"the last heartbeat of {who} lies {-silent_for:.0f} s in the future: the database's "
            "clock was set back, and it has not beaten since"
        )
    return f"{who} has sent no heartbeat for {silent_for:.0f} s"


def _queues(store: Store, alive: Workers) -> Iterator[Check]:
    """Queues with ready jobs that are paused, or that no live worker serves."""
    for queue in store.queue_stats.depths():
        ready, name = queue.ready, queue.name
        if ready and alive and not any(serves(worker, name) for worker in alive):
            jobs = counted(ready, "job is", "jobs are")
            says = f"{jobs} ready in {name}, which no live worker serves"
            yield Check("queues", "warn", says, f"add it to a worker's queues: -Q ...,{name}")
        if ready and queue.paused_at is not None:
            says = f"{name} is paused, with {counted(ready, 'job')} ready"
            yield Check("queues", "warn", says, f"hammerflow queue resume {name}")
    for pause in store.pauses.list():
        if pause.kind != "queue":
            what = f"{pause.kind} {pause.name}" if pause.name else "the whole app"
            yield Check("pauses", "warn", f"{what} has been {pause}", pause.remedy)


def _closed_limits(store: Store) -> Iterator[Check]:
    """Limits that let no job start, which is how an operator may stop a task."""
    for status in store.limits.list():
        if status.limit.max_running == 0:
            who = f", set by {status.set_by}" if status.set_by else ""
            waiting = f"; {counted(status.waiting, 'job')} waiting" if status.waiting else ""
            says = f"the limit {status.target} is 0{who}: it lets no job start{waiting}"
            yield Check("limits", "warn", says, f"hammerflow limit set {status.target} --max N")


def _unserved(store: Store, alive: Workers) -> Iterator[Check]:
    """Ready jobs whose task no live worker has registered, or none of those that serve their
    queue; nothing where no worker is alive, which another check tells."""
    unknown: dict[str, int] = {}
    for task, queue, count in Diagnostics(store.database).ready() if alive else ():
        numbers = store.workers.knowing(task)
        knowing = [worker for worker in alive if worker["id"] in numbers]
        is_served = any(serves(worker, queue) for worker in alive)
        if not knowing:
            unknown[task] = unknown.get(task, 0) + count
        elif is_served and not any(serves(worker, queue) for worker in knowing):
            says = f"{counted(count, 'ready job')} of {task} in {queue}: no live worker has both"
            advice = f"add the queue to a worker that has the task: -Q ...,{queue}"
            yield Check("jobs", "warn", says, advice)
    for task, count in unknown.items():
        says = f"{counted(count, 'ready job')} of {task}: no live worker has registered it"
        advice = "start a worker whose app has this task; the jobs wait until then"
        yield Check("jobs", "warn", says, advice)


def _jobs(diagnostics: Diagnostics) -> Iterator[Check]:
    for why, task, count in diagnostics.parked():
        yield Check(
            "jobs", "warn", f"{counted(count, 'job')} of {task} parked: {why}",
            "see hammerflow job list --state parked; fix the cause, then run hammerflow job retry",
        )  # fmt: skip
    if missing := diagnostics.missing():
        says = f"{missing} of the newest 2,000 jobs are in no state table"
        advice = "rows were deleted by hand: run hammerflow maintenance check --fix"
        yield Check("jobs", "fail", says, advice)
