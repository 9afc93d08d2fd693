"""python -m tests.proof.streams [--database sqlite|postgres|mariadb] [--minutes N] [--seed S]
[--pause SECONDS] [--rate R] [--only ENDPOINT ...]

Clients send plain, failing, retried and spawned jobs and workflows to real workers. Every event
goes to Kafka, a Redis stream, Kinesis and Pub/Sub; what becomes of jobs and workflows to NATS; the
events of one task to an HTTP receiver; what becomes of workflows, and failures, to a webhook.
Meanwhile workers and relays are killed (SIGKILL), or frozen for longer than they hold their jobs or
sinks, and brokers and receivers are killed, cut off, stopped and slowed; the webhook is disabled by
a person or by its answer 410, and enabled again. Then: the log has each change once, without holes
and causes before effects (I18); each endpoint got every event that it wants, those of a key in
order, Redis each once; of each event the webhook has one delivery, completed, that was signed and
had one id in all attempts (I19). Ends with 1 if one of that does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from hammerflow import Hammerflow
from hammerflow.events.filter import EventFilter
from tests.acceptance.kit import Shop
from tests.proof.chaos.events import check_log
from tests.proof.chaos.load import Load
from tests.proof.streams.checker import arrivals, check_causes, read_log
from tests.proof.streams.deliveries import check_deliveries
from tests.proof.streams.endpoints import (
    Endpoint,
    HttpEndpoint,
    KafkaEndpoint,
    KinesisEndpoint,
    NatsEndpoint,
    PubSubEndpoint,
    RedisEndpoint,
    WebhookEndpoint,
)
from tests.proof.streams.nemesis import StreamNemesis
from tests.support.servers import MariaDB, Postgres
from tests.support.waiting import until

__all__ = ["ENDPOINTS", "run"]

#: Seconds after the last fault within which another job must end while some are left, and a sink
#: must move while there are events to send: it is taken over after 15.
_QUIET, _ARRIVAL = 60.0, 60.0
#: The names of all endpoints.
ENDPOINTS = ("kinesis", "pubsub", "kafka", "redis", "nats", "http", "webhook")


def run(
    database: str, *, seconds: float, seed: int, pause: float = 1.0, rate: float = 1.5,
    workers: int = 2, relays: int = 2, only: Collection[str] = ENDPOINTS,
) -> int:  # fmt: skip
    """One run; 0 if the promises hold.

    Args:
        only: the endpoints that get events.
    """
    print(f"streams: {database}, {seconds:.0f} s, seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="hammerflow-streams-"))
    with contextlib.ExitStack() as stack:
        if database == "sqlite":
            url = f"sqlite:///{folder / 'streams.db'}"
        else:
            server = stack.enter_context({"postgres": Postgres, "mariadb": MariaDB}[database]())
            url = server.create_database("streams")
        Hammerflow("shop", database=url).migrate()
        shop = Shop(url, folder)
        stack.callback(shop.close)
        shop.desk.sql("CREATE TABLE marks (mark VARCHAR(64))")
        endpoints = _endpoints(folder, stack, only)
        for each in endpoints:
            wanted = EventFilter.of(kinds=each.kinds, tasks=each.tasks)
            shop.client.store.sinks.put(each.name, each.kind, each.options, wanted)
        nemesis = StreamNemesis(
            shop, endpoints, seed=seed, pause=pause, workers=workers, relays=relays
        )
        stack.callback(nemesis.close)
        load = Load(shop, seed=seed, clients=4, rate=rate)
        load.start()
        try:
            nemesis.run(seconds)
        finally:
            load.stop()
        healed = time.monotonic()
        _wait_until_quiet(shop, nemesis)
        _wait_for_arrival(shop)  # of what the webhook is to deliver
        _wait_until_quiet(shop, nemesis)
        nemesis.stop_workers()
        told = _wait_for_arrival(shop)
        nemesis.close()
        print(f"{told} {time.monotonic() - healed:.1f} s after the last fault was healed")
        print(f"faults: {dict(sorted(nemesis.faults.items()))}")
        is_kept = _check(shop, endpoints)
    if not is_kept:
        print(f"logs: {folder}; again: --database {database} --seed {seed}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _endpoints(
    folder: Path, stack: contextlib.ExitStack, only: Collection[str]
) -> Sequence[Endpoint]:
    makers: Mapping[str, Callable[[], Endpoint]] = {
        "kinesis": lambda: KinesisEndpoint(folder), "pubsub": lambda: PubSubEndpoint(folder),
        "kafka": KafkaEndpoint, "redis": RedisEndpoint,
        "nats": lambda: NatsEndpoint(folder / "nats"), "http": lambda: HttpEndpoint(folder),
        "webhook": lambda: WebhookEndpoint(folder),
    }  # fmt: skip
    made: list[Endpoint] = []
    for name in ENDPOINTS:
        if name in only:
            made.append(makers[name]())
            stack.callback(made[-1].close)
    return made


def _wait_for_arrival(shop: Shop) -> str:
    """Until all sinks are at the end of the log, or none moves any more; what to say of it."""
    store = shop.client.store
    until("all is in the log", lambda: store.events.pending() == 0, _ARRIVAL)
    lags: dict[str, int] = {}
    moved = time.monotonic()
    while time.monotonic() < moved + _ARRIVAL:
        head, before = store.events.head(), lags
        lags = {row.name: head - row.position for row in store.sinks.list() if row.position < head}
        if not lags:
            return "all had arrived"
        if lags != before:
            moved = time.monotonic()
        time.sleep(0.2)
    return f"BROKEN: still behind, by events: {lags},"


def _wait_until_quiet(shop: Shop, nemesis: StreamNemesis) -> None:
    """Until no job is left, without the pauses between attempts of the webhook; not longer than
    jobs end."""
    ended, ended_at = -1, 0.0
    while True:
        nemesis.end_pauses()
        try:
            shop.wait_until_quiet(1.0)
        except AssertionError:
            if ended != (ended := shop.desk.count("done")):
                ended_at = time.monotonic()
            elif time.monotonic() > ended_at + _QUIET:
                raise
        else:
            return


def _check(shop: Shop, endpoints: Sequence[Endpoint]) -> bool:
    is_kept = True
    try:
        shop.desk.check()
        assert shop.desk.damage() == {}
        print(f"log: {check_log(shop)}, ", end="")
        log = read_log(shop)
        print(f"{check_causes(shop, log):,} effects behind their causes")
    except AssertionError as error:
        print(f"BROKEN: log: {error}")
        log, is_kept = read_log(shop), False
    rows = {row.name: row for row in shop.client.store.sinks.list()}
    for each in endpoints:
        found, row = arrivals(shop, each, log), rows[each.name]
        parked = len(shop.client.store.sinks.parked(each.name))
        is_well = found.is_kept and not parked and row.state == "running"
        print(
            f"{'' if is_well else 'BROKEN: '}{found}; taken over {row.term - 1} times, "
            f"{parked} parked{'' if row.state == 'running' else f', {row.state}: {row.reason}'}"
            f"{'' if is_well else f' ({row.error})'}"
        )
        is_kept = is_kept and is_well
        if isinstance(each, WebhookEndpoint):
            try:
                print(f"webhook: {check_deliveries(shop, each, log)}")
            except AssertionError as error:
                print(f"BROKEN: webhook: {error}")
                is_kept = False
    return is_kept


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.streams", description=__doc__)
    parser.add_argument("--database", default="sqlite", choices=("sqlite", "postgres", "mariadb"))
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--pause", type=float, default=1.0, help="mean seconds between two faults")
    parser.add_argument("--rate", type=float, default=1.5, help="enqueues per second and client")
    parser.add_argument("--only", nargs="+", default=ENDPOINTS, choices=ENDPOINTS)
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    return run(
        given.database,
        seconds=given.minutes * 60,
        seed=seed,
        pause=given.pause,
        rate=given.rate,
        only=given.only,
    )


if __name__ == "__main__":
    sys.exit(main())
