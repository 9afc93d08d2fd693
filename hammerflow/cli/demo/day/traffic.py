"""Traffic: which jobs the shop has, how often, how long they run, and how they fail."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = [
    "DAY",
    "MERCHANT_TASK",
    "QUEUES",
    "TRAFFIC",
    "Incident",
    "Traffic",
    "merchants",
    "per_minute",
]

DAY = 86_400.0
#: The queues of the shop itself; further ones belong to merchants that it serves.
QUEUES = (
    "orders", "payments", "mail", "stock", "images", "search", "imports", "feeds", "reports",
    "shipping", "suppliers",
)  # fmt: skip
#: The task of the merchants' queues.
MERCHANT_TASK = "stock.push_to_merchant"
#: Jobs of each hour, against the mean of the day: night, lunch and evening.
_HOURS = (
    0.35, 0.25, 0.2, 0.2, 0.25, 0.4, 0.7, 1.0, 1.25, 1.4, 1.45, 1.5,
    1.6, 1.5, 1.3, 1.25, 1.3, 1.4, 1.6, 1.75, 1.7, 1.3, 0.8, 0.55,
)  # fmt: skip
_END = 12.2  # the hour at which the day ends
_SOURCES = {"payments": "gateway", "images": "pillow", "stock": "warehouse"}


class Incident(NamedTuple):
    """A time in which jobs of a task fail more often: from and to in hours before now."""

    since: float
    until: float
    share: float
    type: str
    message: str


class Traffic(NamedTuple):
    """Plain jobs of one task.

    Attributes:
        share: of all plain jobs.
        median: seconds that one runs.
        spread: standard deviation of their logarithm.
        args: makes arguments from a number.
        failing: share of the attempts that fail, at any time.
        error: (type, message) of those.
    """

    task: str
    queue: str
    share: float
    median: float
    spread: float
    args: Callable[[int], tuple[Any, ...]]
    priority: int = 2
    failing: float = 0.0
    error: tuple[str, str] = ("builtins.RuntimeError", "unexpected state")
    incidents: Sequence[Incident] = ()

    def failure(self, ago: float, chance: float) -> tuple[str, str] | None:
        """Type and message of the error of an attempt that long ago, in hours; None if it has
        gone well."""
        for incident in self.incidents:
            if incident.until <= ago < incident.since and chance < incident.share:
                return incident.type, incident.message
        return self.error if chance < self.failing else None

    def trace(self, type_: str, message: str) -> str:
        """A traceback as its workers would have stored it."""
        module, _, function = self.task.partition(".")
        source = _SOURCES.get(module, "client")
        return (
            "Traceback (most recent call last):\n"
            f'  File "/srv/shop/{module}/tasks.py", line {40 + len(function)}, in {function}\n'
            f"    return {source}.{function}(*values)\n"
            f'  File "/srv/shop/{module}/{source}.py", line {100 + len(message) % 80}, in '
            f"{function}\n    raise {type_.rpartition('.')[2]}(text)\n{type_}: {message}\n"
        )


def _order(n: int) -> tuple[Any, ...]:
    return (480_000 + n,)


def _mail(n: int) -> tuple[Any, ...]:
    return 480_000 + n, f"customer{n}@example.com"


#: What the shop does all day.
TRAFFIC: tuple[Traffic, ...] = (
    Traffic(
        "images.resize",
        "images",
        16,
        0.7,
        0.6,
        lambda n: (n * 7 % 9_000, 320 << n % 3),
        1,
        0.003,
        ("PIL.UnidentifiedImageError", "cannot identify image file 'products/{n}/original.tif'"),
        (
            Incident(
                0.8,
                0.0,
                0.05,
                "PIL.UnidentifiedImageError",
                "cannot identify image file 'products/{n}/original.heic'",
            ),
        ),
    ),
    Traffic("search.index_product", "search", 14, 0.04, 0.5, lambda n: (n * 13 % 9_000,), 1),
    Traffic(
        "mail.order_confirmation",
        "mail",
        12,
        0.12,
        0.4,
        _mail,
        3,
        0.002,
        ("smtplib.SMTPServerDisconnected", "connection unexpectedly closed"),
    ),
    Traffic(
        "mail.newsletter",
        "mail",
        9,
        0.09,
        0.3,
        lambda n: ("black-friday", n),
        0,
        0.004,
        ("smtplib.SMTPRecipientsRefused", "mailbox of customer {n} is full"),
    ),
    Traffic("orders.place", "orders", 9, 0.06, 0.5, _order, 3),
    Traffic(
        "payments.authorize",
        "payments",
        9,
        0.35,
        0.45,
        lambda n: (480_000 + n, 4_900 + n * 37 % 20_000, f"tok_{n:06x}"),
        3,
        0.012,
        ("shop.payments.CardDeclined", "card declined: insufficient_funds (order {n})"),
        (
            Incident(
                3.4,
                2.8,
                0.38,
                "shop.payments.GatewayTimeout",
                "gateway.example did not answer within 10 s (order {n})",
            ),
        ),
    ),
    Traffic("stock.reserve", "stock", 8, 0.03, 0.5, lambda n: (f"SKU-{n % 900}", 1 + n % 3), 3),
    Traffic(
        "payments.capture",
        "payments",
        7,
        0.3,
        0.4,
        _order,
        3,
        0.002,
        ("shop.payments.GatewayTimeout", "gateway.example did not answer within 10 s"),
    ),
    Traffic("orders.check_fraud", "orders", 6, 0.5, 0.6, _order),
    Traffic(
        "imports.row",
        "imports",
        5,
        0.02,
        0.6,
        lambda n: ("feed.csv", n),
        1,
        0.01,
        ("shop.imports.BadRow", "row {n} of feed.csv: price is '', not a number"),
    ),
    Traffic("mail.password_reset", "mail", 2, 0.1, 0.3, lambda n: (f"c{n}@example.com",), 4),
    Traffic(
        "stock.sync_warehouse",
        "stock",
        1.2,
        2.2,
        0.5,
        lambda n: (("hamburg", "lyon", "poznan")[n % 3],),
        2,
        0.01,
        ("builtins.ConnectionRefusedError", "[Errno 111] Connection refused: lyon.example:8443"),
        (
            Incident(
                0.5,
                0.1,
                0.4,
                "builtins.ConnectionRefusedError",
                "[Errno 111] Connection refused: lyon.example:8443",
            ),
        ),
    ),
    Traffic("payments.refund", "payments", 0.8, 0.4, 0.4, lambda n: (480_000 + n, "returned")),
    Traffic(
        "feeds.export",
        "feeds",
        0.3,
        11.0,
        0.4,
        lambda n: (f"channel-{n % 9}",),
        2,
        0.03,
        ("shop.feeds.QuotaExceeded", "quota of channel {n} exceeded until midnight"),
    ),
    Traffic("reports.daily_sales", "reports", 0.05, 40.0, 0.3, lambda n: (f"day -{n % 9}",), 0),
)


def per_minute(jobs: int, minutes: int, rng: random.Random) -> list[int]:
    """How many of the jobs come in each minute, the last of which is one at noon in the shop."""
    weights = []
    for minute in range(minutes):
        hour = (_END + (minute - minutes) / 60) % 24
        low, part = int(hour), hour % 1
        level = _HOURS[low] * (1 - part) + _HOURS[(low + 1) % 24] * part
        weights.append(level * rng.uniform(0.8, 1.2))
    return _spread(jobs, weights)


def _spread(jobs: int, weights: Sequence[float]) -> list[int]:
    """A whole number for each weight; together they are ``jobs``."""
    whole, counts, passed = sum(weights), [], 0.0
    before = 0
    for weight in weights:
        passed += weight
        upto = round(jobs * passed / whole)
        counts.append(upto - before)
        before = upto
    return counts


def merchants(count: int) -> Mapping[str, float]:
    """The queues of merchants, and the weight of each: a few are large."""
    width = len(str(max(count, 1)))
    return {f"merchant-{n + 1:0{width}}": 1 / math.sqrt(n + 1) for n in range(count)}
