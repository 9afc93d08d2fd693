"""Signatures of webhooks: those of the package standardwebhooks, and nothing else passes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from hammerflow import ConfigError, WebhookInvalid
from hammerflow.webhooks import check_secret, new_secret, sign, verify

BODY = '{"type":"job.completed","data":{"name":"Jürgen"}}'.encode()


def signed(
    secrets: list[str], body: bytes = BODY, *, age: int = 0, name: str = "msg_1"
) -> dict[str, str]:
    at = int(time.time()) - age
    return {
        "webhook-id": name,
        "webhook-timestamp": str(at),
        "webhook-signature": sign(secrets, name, at, body),
    }


def test_a_secret_is_32_random_bytes() -> None:
    secrets = {new_secret() for _ in range(100)}

    assert len(secrets) == 100
    for secret in secrets:
        assert check_secret(secret) == secret
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32


def test_the_other_implementation_verifies_what_we_sign() -> None:
    secret = new_secret()

    assert Webhook(secret).verify(BODY, signed([secret])) == json.loads(BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, signed([secret]))


def test_we_verify_what_the_other_implementation_signs() -> None:
    secret, now = new_secret(), datetime.now(UTC)
    headers = {
        "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "Webhook-Timestamp": str(int(now.timestamp())),
        "Webhook-Signature": Webhook(secret).sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek", now, BODY.decode()
        ),
    }

    verify(secret, headers, BODY)
    verify(secret.removeprefix("whsec_"), headers, BODY)
    with pytest.raises(WebhookInvalid, match="no signature of the webhook fits"):
        verify(new_secret(), headers, BODY)


def test_a_signature_is_that_of_the_specification() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'

    # The example of the specification's own libraries.
    assert sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_while_secrets_are_exchanged_both_verify() -> None:
    old, new = new_secret(), new_secret()
    headers = signed([new, old])

    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)
        verify(secret, headers, BODY)
    verify([new_secret(), old], signed([old]), BODY)
    with pytest.raises(WebhookInvalid):
        verify([new_secret(), new_secret()], headers, BODY)


@pytest.mark.parametrize("change", ["body", "webhook-id", "webhook-timestamp"])
def test_what_is_signed_cannot_be_changed(change: str) -> None:
    secret = new_secret()
    headers, body = signed([secret]), BODY
    if change == "body":
        body += b" "
    elif change == "webhook-id":
        headers[change] += "1"
    else:
        headers[change] = str(int(headers[change]) + 1)

    with pytest.raises(WebhookInvalid, match="no signature of the webhook fits"):
        verify(secret, headers, body)


def test_id_time_and_body_cannot_be_cut_elsewhere() -> None:
    secret = new_secret()
    now = int(time.time())
    headers = signed([secret], f"{now}.{{}}".encode(), name="a")
    moved = {**headers, "webhook-id": f"a.{headers['webhook-timestamp']}"}
    moved["webhook-timestamp"] = str(now)

    with pytest.raises(WebhookInvalid, match="characters that a signed id cannot have"):
        verify(secret, moved, b"{}")
    with pytest.raises(ValueError, match="without spaces and full stops"):
        sign([secret], "a.b", 1, b"{}")


@pytest.mark.parametrize("age", [301, -302])
def test_a_request_that_is_not_recent_is_refused(age: int) -> None:
    secret = new_secret()

    with pytest.raises(WebhookInvalid, match="a replay, or a clock is wrong"):
        verify(secret, signed([secret], age=age), BODY)
    verify(secret, signed([secret], age=age), BODY, tolerance=400)


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_request_without_one_of_the_headers_is_refused(header: str) -> None:
    secret = new_secret()
    headers = signed([secret])

    for lacking in ({}, {header: ""}):
        rest = {name: value for name, value in headers.items() if name != header}
        with pytest.raises(WebhookInvalid, match=f"lacks the header {header}"):
            verify(secret, {**rest, **lacking}, BODY)
    with pytest.raises(WebhookInvalid, match=f"the header {header} twice"):
        verify(secret, {**headers, header.upper(): "1"}, BODY)


@pytest.mark.parametrize("time", ["", "now", "-1", "1e9", "\u0661", " 1", "9" * 5_000])
def test_a_time_that_is_not_a_number_is_refused(time: str) -> None:
    secret = new_secret()

    with pytest.raises(WebhookInvalid):
        verify(secret, {**signed([secret]), "webhook-timestamp": time}, BODY)


def test_only_signatures_of_version_1_count() -> None:
    secret = new_secret()
    headers = signed([secret])
    signature = headers["webhook-signature"]
    as_other = {**headers, "webhook-signature": signature.replace("v1,", "v1a,")}

    verify(secret, {**headers, "webhook-signature": f"v1a,x v1,é  {signature} v2,"}, BODY)
    for wrong in (as_other, {**headers, "webhook-signature": signature[3:]}):
        with pytest.raises(WebhookInvalid):
            verify(secret, wrong, BODY)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_ä", "not base64!"])
def test_a_malformed_secret_is_named_but_not_shown(secret: str) -> None:
    for call in (
        lambda: sign([secret], "a", 1, b""),
        lambda: verify(secret, {}, b""),
        lambda: check_secret(secret),
    ):
        with pytest.raises(ConfigError) as error:
            call()
        assert "24 to 64 bytes in base64" in str(error.value)
        assert len(secret) < 7 or secret not in str(error.value)


def test_without_a_secret_nothing_is_signed_or_verified() -> None:
    with pytest.raises(ConfigError):
        sign([], "a", 1, b"")
    with pytest.raises(ConfigError):
        sign(new_secret(), "a", 1, b"")
    with pytest.raises(ConfigError):
        verify([], {}, b"")


def test_a_parsed_body_is_refused_with_the_reason() -> None:
    with pytest.raises(TypeError, match="raw bytes of the request, not dict"):
        verify(new_secret(), {}, json.loads(BODY))


def test_the_signature_is_an_hmac_over_id_time_and_body() -> None:
    secret = new_secret()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, b"evt_1.1700000000." + BODY, hashlib.sha256).digest()

    assert sign([secret], "evt_1", 1_700_000_000, BODY) == "v1," + base64.b64encode(digest).decode()
