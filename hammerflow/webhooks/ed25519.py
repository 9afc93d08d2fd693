"""Ed25519: the signatures ``v1a`` of Standard Webhooks, whose receivers hold no secret."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from hammerflow.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "PRIVATE",
    "PUBLIC",
    "check_public",
    "has_signed",
    "new_private",
    "public_of",
    "signature",
]

#: With which keys begin.
PRIVATE: Final = "whsk_"
PUBLIC: Final = "whpk_"
_SEED: Final = 32  # bytes; a private key may have the public one behind it, as many libraries do


def new_private() -> str:
    """A private key: ``whsk_`` and 64 bytes in base64, the second half of which are the public key.

    Raises:
        MissingExtra: the package cryptography is not installed.
    """
    key = _cryptography().Ed25519PrivateKey.generate()
    return PRIVATE + base64.b64encode(key.private_bytes_raw() + _raw_public(key)).decode()


def public_of(private: str) -> str:
    """The public key of a private one: ``whpk_`` and 32 bytes in base64.

    Raises:
        ConfigError: the private key is malformed.
        MissingExtra: the package cryptography is not installed.
    """
    return PUBLIC + base64.b64encode(_raw_public(_private(private))).decode()


def signature(private: str, signed: bytes) -> bytes:
    """The signature of some bytes.

    Raises:
        ConfigError, MissingExtra: as for :func:`public_of`.
    """
    return _private(private).sign(signed)


def check_public(public: str) -> bytes:
    """The bytes of a public key.

    Raises:
        ConfigError: it is malformed.
    """
    key = _decoded(public, PUBLIC)
    if len(key) != _SEED:
        raise ConfigError(
            "the public key of a webhook must be whpk_ followed by 32 bytes in base64, as its "
            "sender shows it"
        )
    return key


def has_signed(public: bytes, made: bytes, signed: bytes) -> bool:
    """Whether a signature of these bytes was made with the private key of a public one.

    Raises:
        MissingExtra: the package cryptography is not installed.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        _cryptography().Ed25519PublicKey.from_public_bytes(public).verify(made, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _private(text: str) -> Ed25519PrivateKey:
    """A key; an error never has it in its message."""
    key = _decoded(text, PRIVATE)
    if len(key) in (_SEED, 2 * _SEED):
        found: Ed25519PrivateKey = _cryptography().Ed25519PrivateKey.from_private_bytes(key[:_SEED])
        if key[_SEED:] in (b"", _raw_public(found)):
            return found
    raise ConfigError(
        "the private key of a webhook must be whsk_ followed by 32 or 64 bytes in base64: make "
        "one with hammerflow.webhooks.new_key_pair()"
    )


def _raw_public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _decoded(text: str, prefix: str) -> bytes:
    if not text.startswith(prefix):
        return b""
    try:
        return base64.b64decode(text.removeprefix(prefix).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""


def _cryptography() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingExtra(
            package="cryptography", extra="webhooks", what="a signature v1a of a webhook"
        ) from error
    return ed25519
