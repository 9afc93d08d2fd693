"""The errors of the shop's tasks."""

from __future__ import annotations

__all__ = ["BadRow", "CardDeclined", "CarrierUnavailable", "ContractMissing"]


class CardDeclined(Exception):
    """The bank has refused a payment."""


class CarrierUnavailable(Exception):
    """A carrier does not answer."""


class ContractMissing(Exception):
    """A supplier has not signed."""


class BadRow(ValueError):
    """A row of a feed cannot be read."""
