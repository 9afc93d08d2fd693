"""The shop whose day ``hammerflow demo seed`` writes: its tasks, schedules and workflows.

A worker can run what that day has left to do: ``hammerflow -A hammerflow.cli.demo.shop_app:app
worker``. The bodies do nothing but fail where their arguments say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hammerflow.app import Hammerflow
from hammerflow.canvas.signature import Signature
from hammerflow.cli.demo import shop_errors as errors
from hammerflow.workflows.batch import Batch
from hammerflow.workflows.workflow import Workflow

__all__ = ["DECLINED", "catalogue", "create_shop", "fulfilment", "mailing", "onboarding"]

#: A card that is always declined, a courier that never answers, and a supplier without a contract.
DECLINED, LOST_COURIER, UNKNOWN_SUPPLIER = "tok_declined", "pigeon", "ACME-404"
_WIDTHS = (320, 640, 1280, 1920)
_RESIZED = 12  # products of one catalogue


def create_shop(**settings: Any) -> Hammerflow:
    """The app, whose settings are those of the environment but for ``settings``."""
    app = Hammerflow("shop", **settings)
    for fn, name, options in _TASKS:
        app.task(name=name, **options)(fn)
    app.spawner(name="images.product", queue="images")(_product)
    app.spawner(name="imports.feed", queue="imports")(_feed)
    for name, when, task, args, options in _SCHEDULES:
        app.schedule(name, when, app.tasks[task].si(*args), **options)
    return app


# -- bodies


def _authorize(order: int, amount: int, card: str) -> dict[str, Any]:
    if card == DECLINED:
        raise errors.CardDeclined(f"card declined: insufficient_funds (order {order})")
    return {"order": order, "amount": amount, "authorization": f"auth_{order:x}"}


def _courier(order: int, carrier: str) -> str:
    if carrier == LOST_COURIER:
        raise errors.CarrierUnavailable(f"{carrier}: no answer within 10 s (order {order})")
    return f"{carrier.upper()}{order}"


def _contract(supplier: str) -> str:
    if supplier == UNKNOWN_SUPPLIER:
        raise errors.ContractMissing(f"supplier {supplier} has signed no contract")
    return f"contract of {supplier}"


def _row(feed: str, row: int) -> int:
    if feed == "nordic.csv" and row % 17 == 13:
        raise errors.BadRow(f"row {row} of {feed}: price is '', not a number")
    return row


def _order(order: int) -> int:
    return order


def _mail(order: int, email: str) -> str:
    return f"<{order}@shop.example>"


def _campaign(campaign: str, customer: int) -> None:
    """Send one letter."""


def _resize(product: int, width: int) -> str:
    return f"products/{product}/{width}.webp"


def _product_of(product: int) -> int:
    return product


def _named(name: str) -> str:
    return name


def _reserve(sku: str, quantity: int) -> int:
    return quantity


def _sum(parts: list[Any] | None = None) -> int:
    return len(parts or ())


def _reset(email: str) -> None:
    """Send a link."""


def _refund(order: int, reason: str) -> str:
    return f"re_{order:x}"


def _product(product: int) -> Iterator[Signature]:
    for width in _WIDTHS:
        yield Signature("images.resize", (product, width))


def _feed(feed: str, rows: int) -> Iterator[Signature]:
    for row in range(rows):
        yield Signature("imports.row", (feed, row))
    for product in range(rows // 20):
        yield Signature("images.product", (product,))


_TASKS: tuple[tuple[Any, str, dict[str, Any]], ...] = (
    (_order, "orders.place", {"queue": "orders", "priority": 3}),
    (_order, "orders.check_fraud", {"queue": "orders"}),
    (_order, "orders.invoice", {"queue": "orders"}),
    (_authorize, "payments.authorize", {"queue": "payments", "priority": 3, "max_attempts": 1}),
    (_order, "payments.capture", {"queue": "payments", "priority": 3}),
    (_refund, "payments.refund", {"queue": "payments"}),
    (_mail, "mail.order_confirmation", {"queue": "mail", "priority": 3}),
    (_reset, "mail.password_reset", {"queue": "mail", "priority": 4, "store_result": False}),
    (_campaign, "mail.newsletter", {"queue": "mail", "priority": 0, "store_result": False}),
    (_reserve, "stock.reserve", {"queue": "stock", "priority": 3}),
    (_named, "stock.sync_warehouse", {"queue": "stock"}),
    (_reserve, "stock.push_to_merchant", {"queue": "stock"}),
    (_resize, "images.resize", {"queue": "images", "priority": 1}),
    (_product_of, "search.index_product", {"queue": "search", "priority": 1}),
    (_row, "imports.row", {"queue": "imports", "priority": 1, "max_attempts": 1}),
    (_sum, "imports.summary", {"queue": "imports"}),
    (_named, "feeds.export", {"queue": "feeds"}),
    (_named, "reports.daily_sales", {"queue": "reports", "priority": 0}),
    (_order, "shipping.pick", {"queue": "shipping"}),
    (_courier, "shipping.book_courier", {"queue": "shipping", "max_attempts": 1}),
    (_named, "suppliers.verify", {"queue": "suppliers"}),
    (_contract, "suppliers.check_contract", {"queue": "suppliers", "max_attempts": 1}),
    (_named, "suppliers.open_account", {"queue": "suppliers"}),
)
_SCHEDULES: tuple[tuple[str, str, str, tuple[Any, ...], dict[str, Any]], ...] = (
    ("sync-warehouses", "*/15 * * * *", "stock.sync_warehouse", ("hamburg",), {}),
    ("export-feeds", "5 * * * *", "feeds.export", ("google-shopping",), {"overlap": "skip"}),
    ("daily-sales", "30 6 * * *", "reports.daily_sales", ("yesterday",), {"tz": "Europe/Berlin"}),
    ("weekly-stock", "0 5 * * mon", "reports.daily_sales", ("stock",), {"tz": "Europe/Berlin"}),
    ("reindex", "15 3 * * *", "search.index_product", (0,), {"jitter": 120}),
)

# -- workflows


def fulfilment(app: Hammerflow, order: int, *, card: str = "tok_visa", carrier: str = "dhl",
               policy: str = "fail_fast") -> Workflow:  # fmt: skip
    """From the payment of an order to its parcel."""
    task = app.tasks
    flow = app.workflow("order-fulfilment", failure_policy=policy, metadata={"order": order})
    flow.add(task["payments.authorize"].s(order, 4_900 + order % 20_000, card), name="authorize")
    flow.add(task["orders.check_fraud"].s(order), name="check fraud")
    flow.add(task["stock.reserve"].s(f"SKU-{order % 900}", 1 + order % 3), name="reserve")
    flow.add(
        task["payments.capture"].si(order), name="capture",
        after=["authorize", "check fraud", "reserve"],
    )  # fmt: skip
    flow.add(task["orders.invoice"].si(order), name="invoice", after=["capture"])
    flow.add(task["shipping.pick"].si(order), name="pick", after=["capture"])
    flow.add(task["shipping.book_courier"].si(order, carrier), name="book courier", after=["pick"])
    flow.add(
        task["mail.order_confirmation"].si(order, f"customer{order}@example.com"),
        name="tell customer", after=["invoice", "book courier"],
    )  # fmt: skip
    return flow


def catalogue(app: Hammerflow, name: str) -> Workflow:
    """A feed, its products' images and the index, then a report."""
    task = app.tasks
    flow = app.workflow("nightly-catalogue", description=f"the catalogue of {name}")
    flow.add(task["imports.feed"].s(name, 40), name="import feed", wait_for_children=True)
    names = []
    for product in range(_RESIZED):
        names.append(f"product {product + 1}")
        flow.add(task["images.resize"].si(product, 1280), name=names[-1], after=["import feed"])
    flow.add(task["search.index_product"].si(0), name="index", after=names)
    flow.add(task["feeds.export"].si("google-shopping"), name="export", after=["index"])
    flow.add(task["reports.daily_sales"].si(name), name="report", after=["index"])
    return flow


def onboarding(app: Hammerflow, supplier: str) -> Workflow:
    """A new supplier; a person decides when something fails."""
    task = app.tasks
    flow = app.workflow("supplier-onboarding", failure_policy="manual")
    flow.add(task["suppliers.verify"].s(supplier), name="verify")
    flow.add(task["suppliers.check_contract"].si(supplier), name="check contract", after=["verify"])
    flow.add(
        task["suppliers.open_account"].si(supplier), name="open account", after=["check contract"]
    )
    flow.add(task["imports.feed"].si(supplier, 20), name="first feed", after=["open account"])
    flow.add(
        task["mail.order_confirmation"].si(0, f"{supplier.lower()}@example.com"), name="welcome",
        after=["open account"],
    )  # fmt: skip
    return flow


def mailing(app: Hammerflow, campaign: str, size: int) -> Batch:
    """A letter to many customers."""
    letters = (app.tasks["mail.newsletter"].s(campaign, customer) for customer in range(size))
    return app.batch(letters, name=campaign)
