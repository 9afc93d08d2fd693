"""Signatures of webhooks, as Standard Webhooks 1.0 defines them: secrets, signing, verification.

Those of a shared secret are HMACs (``v1``); those of a key pair are Ed25519 (``v1a``), and who can
verify them cannot make them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets as randomness
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from hammerflow.errors import ConfigError, WebhookInvalid
from hammerflow.webhooks import ed25519

__all__ = [
    "HeaderItems", "KeyPair", "check_secret", "is_private", "new_key_pair", "new_secret", "sign",
    "verify",
]  # fmt: skip

_PREFIX: Final = "whsec_"
_ID: Final = "webhook-id"
_TIMESTAMP: Final = "webhook-timestamp"
_SIGNATURE: Final = "webhook-signature"
_HEADERS: Final = (_ID, _TIMESTAMP, _SIGNATURE)

#: A full stop in an id would let "a.1" at time 2 pass for "a" at time 1 with another body.
_IDS: Final = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,256}")
#: Signatures ``v1a`` of a request that are looked at: each costs some 0.1 ms.
_MOST: Final = 8
_SECONDS: Final = re.compile(r"[0-9]{1,12}")


class HeaderItems(Protocol):
    """Headers of a request, as every framework has them: Flask, Starlette, Django, a dict."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Names, in upper or lower case, with their values."""


class KeyPair(NamedTuple):
    """Keys for the signatures ``v1a`` of one endpoint.

    Attributes:
        private: ``whsk_...``, with which the sender signs.
        public: ``whpk_...``, which the receiver verifies with, and anybody may know.
    """

    private: str
    public: str


def new_key_pair() -> KeyPair:
    """Keys for signatures that the receiver can verify and not make.

    Raises:
        MissingExtra: the extra ``webhooks`` is not installed.
    """
    private = ed25519.new_private()
    return KeyPair(private, ed25519.public_of(private))


def new_secret() -> str:
    """A secret for one endpoint: ``whsec_`` and 32 random bytes in base64."""
    return _PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()


def is_private(secret: str) -> bool:
    """Whether it is a private key, whose receiver has another one."""
    return secret.startswith(ed25519.PRIVATE)


def check_secret(secret: str) -> str:
    """The secret itself.

    Raises:
        ConfigError: it is neither base64 of 24 to 64 bytes, with or without ``whsec_`` before it,
            nor a private key, ``whsk_...``.
        MissingExtra: it is a private key, and the extra ``webhooks`` is not installed.
    """
    if is_private(secret):
        ed25519.public_of(secret)
    else:
        _key(secret)
    return secret


def sign(
    secrets: Sequence[str],
    id: str,  # noqa: A002 - the header is webhook-id
    timestamp: int,
    body: bytes,
) -> str:
    """The value of ``webhook-signature``: one signature for each secret, with spaces between them.

    Args:
        secrets: usually one; while secrets are exchanged, the new one and the old one. A private
            key (``whsk_...``) signs as ``v1a``.
        id: the value of ``webhook-id``: ASCII without spaces and full stops, the same for each
            attempt.
        timestamp: the value of ``webhook-timestamp``: the attempt's time in seconds since 1970.
        body: the body as it is sent.

    Raises:
        ConfigError: there is no secret, or one is malformed.
        MissingExtra: one is a private key, and the extra ``webhooks`` is not installed.
        ValueError: the id cannot be signed.
    """
    if not secrets or isinstance(secrets, str):
        raise ConfigError("a webhook needs a list of one secret or more to be signed with")
    if not _IDS.fullmatch(id):
        raise ValueError(
            f"the id {id!r} of a webhook must be 1 to 256 ASCII characters without spaces and "
            "full stops"
        )
    return " ".join(_signed(secret, id, str(timestamp), body) for secret in secrets)


def verify(
    secrets: str | Sequence[str], headers: HeaderItems, body: bytes, *, tolerance: float = 300.0
) -> None:
    """Check that a request comes from who knows the secret, is unchanged and is recent.

    It returns if one signature fits one of the secrets. A request that is sent twice within the
    tolerance passes twice: remember the ``webhook-id`` of what you have handled.

    Args:
        secrets: the endpoint's secret, or its public key (``whpk_...``); several while they are
            exchanged.
        headers: the request's headers; their names may be in upper or lower case.
        body: the raw bytes of the request's body, not parsed JSON that was encoded again.
        tolerance: seconds that ``webhook-timestamp`` may be before or after this host's time.

    Raises:
        WebhookInvalid: the request must not be believed; answer with status 400 or 401.
        ConfigError: there is no secret, or one is malformed.
        MissingExtra: one is a public key, and the extra ``webhooks`` is not installed.
        TypeError: the body is not bytes.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(
            f"the body must be the raw bytes of the request, not {type(body).__name__}: "
            "a body that was parsed and encoded again has another signature"
        )
    every = [secrets] if isinstance(secrets, str) else secrets
    public = [ed25519.check_public(one) for one in every if one.startswith(ed25519.PUBLIC)]
    keys = [_key(one) for one in every if not one.startswith(ed25519.PUBLIC)]
    if not every:
        raise ConfigError("a webhook needs one secret or more to be verified with")
    given = _required(headers)
    _check_time(given[_TIMESTAMP], tolerance)
    if not _IDS.fullmatch(given[_ID]):
        raise WebhookInvalid(f"the header {_ID} has characters that a signed id cannot have")
    expected = [_signature(key, given[_ID], given[_TIMESTAMP], body).encode() for key in keys]
    found = [one.encode("utf-8", "replace") for one in given[_SIGNATURE].split(" ")]
    # All are compared, so that the time does not tell which one fits.
    if not sum(hmac.compare_digest(one, other) for one in found for other in expected) and not (
        public and _is_signed(public, given, body)
    ):
        raise WebhookInvalid(
            "no signature of the webhook matches: the secret is a different one, or the body was "
            "changed on the way"
        )


def _is_signed(keys: Sequence[bytes], given: Mapping[str, str], body: bytes) -> bool:
    """Whether one of the signatures ``v1a`` was made with one of the keys."""
    signed = _content(given[_ID], given[_TIMESTAMP], body)
    for one in given[_SIGNATURE].split(" ")[:_MOST]:
        kind, _, text = one.partition(",")
        if kind == "v1a":
            try:
                made = base64.b64decode(text.encode(), validate=True)
            except (binascii.Error, ValueError):
                continue
            if any(ed25519.has_signed(key, made, signed) for key in keys):
                return True
    return False


def _content(message_id: str, timestamp: str, body: bytes) -> bytes:
    return b"%s.%s.%s" % (message_id.encode(), timestamp.encode(), bytes(body))


def _signed(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    if not is_private(secret):
        return _signature(_key(secret), message_id, timestamp, body)
    made = ed25519.signature(secret, _content(message_id, timestamp, body))
    return "v1a," + base64.b64encode(made).decode()


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = _content(message_id, timestamp, body)
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    """The bytes of a secret; an error never has the secret in it."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise ConfigError(
            "the secret of a webhook must be whsec_ followed by 24 to 64 bytes in base64: "
            "make one with hammerflow.webhooks.new_secret()"
        ) from None
    return key


def _required(headers: HeaderItems) -> dict[str, str]:
    """The three headers of a signed request."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        wanted = name.lower()
        if wanted in _HEADERS and found.setdefault(wanted, value) != value:
            raise WebhookInvalid(f"the webhook has the header {wanted} twice")
    for wanted in _HEADERS:
        if not found.get(wanted):
            raise WebhookInvalid(f"the webhook lacks the header {wanted}: it is not signed")
    return found


def _check_time(timestamp: str, tolerance: float) -> None:
    if not _SECONDS.fullmatch(timestamp):
        raise WebhookInvalid(f"the header {_TIMESTAMP} is not a number of seconds since 1970")
    age = time.time() - int(timestamp)
    if abs(age) > tolerance:
        raise WebhookInvalid(
            f"the webhook was signed {abs(age):.0f} seconds {'ago' if age > 0 else 'in the future'}"
            f", and {tolerance:g} are allowed: it is a replay, or a clock is wrong"
        )
