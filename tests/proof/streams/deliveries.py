"""What must be true of the deliveries of a webhook (I19)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from hammerflow.events.record import LoggedRecord
from hammerflow.sinks.webhook import WebhookCall
from hammerflow.stores.events.webhooks import DELIVER
from tests.acceptance.kit import Shop
from tests.proof.streams.checker import wanted_of
from tests.proof.streams.endpoints import WebhookEndpoint
from tests.stores.kit import as_bytes

__all__ = ["check_deliveries"]

_DELIVERIES = """
    SELECT j.args, d.state FROM {jobs} j JOIN {tasks} t ON t.id = j.task_id
    LEFT JOIN {done} d ON d.job_id = j.id WHERE t.name = :task"""
_COMPLETED = 4


def check_deliveries(shop: Shop, endpoint: WebhookEndpoint, log: Sequence[LoggedRecord]) -> str:
    """I19: one job for each event that is wanted, completed; its message has the same id in each
    request, is signed, and has one attempt with a good answer in the log, behind all others.

    Returns:
        What there was of it, in words.
    """
    wanted = wanted_of(shop, endpoint, log)
    rows = shop.desk.sql(_DELIVERIES.replace(":task", f"'{DELIVER}'"))
    jobs: dict[int, str] = {}
    for args, state in rows:
        call = WebhookCall(*shop.client.codec.decode_call(as_bytes(args))[0])
        assert call.name == endpoint.name
        assert call.position not in jobs, f"event {call.position} has two deliveries"
        assert state == _COMPLETED, f"the delivery of event {call.position} has ended as {state}"
        jobs[call.position] = call.message
    assert jobs.keys() == wanted.keys(), (
        f"{len(wanted.keys() - jobs.keys())} events have no delivery, "
        f"{len(jobs.keys() - wanted.keys())} deliveries no event"
    )
    assert len(set(jobs.values())) == len(jobs), "two messages have one id"
    requests = endpoint.lines()
    refused = [request["refused"] for request in requests if "refused" in request]
    assert not refused, f"{len(refused)} signatures are wrong: {refused[0]}"
    other = [
        request
        for request in requests
        if request["id"] != jobs.get(int(request["events"][0]["sequence"]))
    ]
    assert not other, f"{len(other)} requests have another id than their delivery: {other[0]}"
    most = _check_attempts(shop, endpoint, jobs)
    sent = Counter(request["id"] for request in requests)
    return (
        f"{len(jobs):,} deliveries in {sent.total():,} requests that were kept, "
        f"the most of one message {max(sent.values(), default=0)}, of its attempts {most}"
    )


def _check_attempts(shop: Shop, endpoint: WebhookEndpoint, jobs: dict[int, str]) -> int:
    """The log of attempts; the most of a message."""
    attempts: defaultdict[str, list[bool]] = defaultdict(list)
    logged = shop.client.store.webhooks.deliveries(endpoint.name, 1_000_000)
    for row in sorted(logged, key=lambda row: row.id):
        assert jobs.get(row.position) == row.message, f"an attempt of no delivery: {row}"
        attempts[row.message].append(row.status is not None and 200 <= row.status < 300)
    never = [message for message in jobs.values() if not any(attempts[message])]
    assert not never, f"{len(never)} messages have no good answer in the log"
    return max(map(len, attempts.values()), default=0)
