"""Webhooks as Standard Webhooks 1.0 defines them: secrets, signing, verification."""

from __future__ import annotations

from hammerflow.webhooks.signatures import (
    HeaderItems,
    KeyPair,
    check_secret,
    is_private,
    new_key_pair,
    new_secret,
    sign,
    verify,
)

__all__ = [
    "HeaderItems", "KeyPair", "check_secret", "is_private", "new_key_pair", "new_secret", "sign",
    "verify",
]  # fmt: skip
