"""``hammerflow health``: whether a worker is ready, for probes of containers and scripts."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from hammerflow.cli.options import argument, flag, seconds_option, shared
from hammerflow.cli.output import TableView
from hammerflow.cli.session import Session
from hammerflow.errors import HammerflowError
from hammerflow.urls.listen import LISTEN, listen_address

__all__ = ["command"]

_LONGEST = 64 << 10  # bytes of an answer


@click.command("health")
@argument("address", LISTEN, metavar="[HOST:PORT]", required=False)
@flag("--live", help="Only ask whether the worker's loop is running (/livez, not /readyz).")
@seconds_option("--timeout", default=5.0, help="Wait this long for the answer of the worker.")
@shared
def command(session: Session, address: str | None, live: bool, timeout: float) -> int:
    """Say whether a worker is ready to run jobs; the exit code is 1 if not.

    With the HOST:PORT of a worker's --health, it asks this worker and needs neither the app nor the
    database. Without an address, it reads the latest heartbeats of all workers from the database;
    one ready worker is enough.

    \b
    Examples:
      hammerflow health 127.0.0.1:8080
      hammerflow health
    """
    if address is None:
        if live:
            raise click.UsageError("--live asks one worker: give the HOST:PORT of its --health")
        return _of_all(session)
    what = "live" if live else "ready"
    found = _ask(address, f"/{what}z", timeout)
    why = [str(one) for one in found["why"]]
    session.tell({what: not why, "why": why}, "\n".join(why or [what]))
    return int(bool(why))


def _ask(address: str, path: str, timeout: float) -> dict[str, Any]:
    connection = http.client.HTTPConnection(*listen_address(address), timeout=timeout or 0.001)
    try:
        connection.request("GET", path)
        found = json.loads(connection.getresponse().read(_LONGEST))
        if isinstance(found, dict) and isinstance(found.get("why"), list):
            return found
    except (OSError, http.client.HTTPException) as error:
        raise HammerflowError(f"no worker answers on {address}: {error}") from error
    except ValueError:
        pass
    finally:
        connection.close()
    raise HammerflowError(f"the server on {address} is not a hammerflow worker")


def _of_all(session: Session) -> int:
    with session.store() as store:
        lease = session.settings.lease
        workers = [{**worker, "why": _complaints(worker, lease)} for worker in store.workers.list()]
    session.show_list(workers, _WORKERS, empty="there are no workers")
    return int(all(worker["why"] for worker in workers))


def _complaints(worker: Mapping[str, Any], lease: float) -> list[str]:
    if worker["silent_for"] > lease:
        return [f"no heartbeat for {worker['silent_for']:.0f} s"]
    if worker["state"].get("draining"):
        return ["the worker drains"]
    return [str(one) for one in worker["state"].get("unready") or ()]


def _row(worker: Mapping[str, Any]) -> Sequence[Any]:
    beat = f"{worker['silent_for']:.0f}s"
    return worker["id"], worker["host"], worker["pid"], beat, "; ".join(worker["why"]) or "ready"


def _json(worker: Mapping[str, Any]) -> dict[str, Any]:
    place = {name: worker[name] for name in ("id", "host", "pid", "silent_for")}
    return {**place, "ready": not worker["why"], "why": worker["why"]}


_WORKERS: TableView[dict[str, Any]] = TableView(("id", "host", "pid", "beat", "state"), _row, _json)
