"""``hammerflow metrics``: what a monitoring system would read; rules and a dashboard for it."""

from __future__ import annotations

import http.client
import re
from importlib.resources import files
from typing import Any

import click

from hammerflow.cli import output
from hammerflow.cli.options import argument, flag, seconds_option, shared
from hammerflow.cli.session import Session
from hammerflow.errors import HammerflowError
from hammerflow.stores.diagnosis.cluster_metrics import ClusterMetrics
from hammerflow.telemetry.exposition import write
from hammerflow.urls.listen import LISTEN, listen_address

__all__ = ["command"]

_LONGEST = 64 << 20  # bytes of an answer
_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")


@click.command("metrics")
@argument("address", LISTEN, metavar="[HOST:PORT]", required=False)
@flag("--rules", help="Print the rules for Prometheus that come with hammerflow.")
@flag("--dashboard", help="Print the dashboard for Grafana that comes with hammerflow.")
@seconds_option("--timeout", default=5.0, help="Wait this long for the answer of the worker.")
@shared
def command(
    session: Session, address: str | None, rules: bool, dashboard: bool, timeout: float
) -> None:
    """Print metrics once; rules for Prometheus and a dashboard for Grafana.

    They are printed in the text format of Prometheus; --json prints a list.

    With the HOST:PORT of a worker's --metrics, it asks this worker and needs neither the app nor
    the database. Without an address, it reads the metrics of the whole database: depths of queues,
    workers, lags.

    \b
    Examples:
      hammerflow metrics 127.0.0.1:9464
      hammerflow metrics
      hammerflow metrics --rules > hammerflow.rules.yml
    """
    if rules or dashboard:
        if address is not None or (rules and dashboard):
            raise click.UsageError("--rules and --dashboard each print one file: give only that")
        name = "alerts.yml" if rules else "dashboard.json"
        text = files("hammerflow.telemetry").joinpath("files", name).read_text("utf-8")
        _show(session, text, text)
        return
    text = _of_database(session) if address is None else _ask(address, timeout)
    _show(session, text, _samples(text))


def _show(session: Session, text: str, found: Any) -> None:
    if session.as_json:
        output.show_json(found)
    else:
        output.say_block(text.rstrip("\n"))


def _of_database(session: Session) -> str:
    with session.store() as store:
        readings = ClusterMetrics(store, lease=session.settings.lease).read()
    readings.set("hammerflow_cluster_read_age_seconds", 0)
    return write(readings)


def _ask(address: str, timeout: float) -> str:
    connection = http.client.HTTPConnection(*listen_address(address), timeout=timeout or 0.001)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read(_LONGEST).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise HammerflowError(f"no worker answers on {address}: {error}") from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK or "hammerflow_" not in text:
        raise HammerflowError(
            f"the server on {address} has no hammerflow metrics: give the HOST:PORT of a "
            "worker's --metrics"
        )
    return text


def _samples(text: str) -> list[dict[str, Any]]:
    found = []
    for line in text.splitlines():
        if (sample := _SAMPLE.fullmatch(line)) is not None:
            labels = {name: _plain(value) for name, value in _LABEL.findall(sample[2] or "")}
            found.append({"name": sample[1], "labels": labels, "value": float(sample[3])})
    return found


def _plain(value: str) -> str:
    return _ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], value)
