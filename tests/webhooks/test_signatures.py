"""Signatures of webhooks: those of the package standardwebhooks, and nothing else passes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from hammerflow import ConfigError, WebhookInvalid
from hammerflow.webhooks import check_secret, ed25519, new_key_pair, new_secret, sign, verify

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
    with pytest.raises(WebhookInvalid, match="no signature of the webhook matches"):
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

    with pytest.raises(WebhookInvalid, match="no signature of the webhook matches"):
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


def test_a_key_pair_signs_what_only_its_private_half_can() -> None:
    pair, other, secret = new_key_pair(), new_key_pair(), new_secret()
    assert check_secret(pair.private) == pair.private
    headers = signed([pair.private])
    assert headers["webhook-signature"].startswith("v1a,")
    for known in (pair.public, [other.public, pair.public], [secret, pair.public]):
        verify(known, headers, BODY)
    both = signed([secret, pair.private])
    verify(secret, both, BODY)
    verify(pair.public, both, BODY)
    for wrong in (other.public, secret):
        with pytest.raises(WebhookInvalid, match="no signature of the webhook matches"):
            verify(wrong, headers, BODY)
    for name, value in (
        ("webhook-id", "msg_2"),
        ("webhook-timestamp", str(int(headers["webhook-timestamp"]) - 1)),
        ("webhook-signature", headers["webhook-signature"].replace("v1a,", "v1,")),
        ("webhook-signature", "v1a,AAAA v1a,%% v1a"),
    ):
        with pytest.raises(WebhookInvalid):
            verify(pair.public, {**headers, name: value}, BODY)
    with pytest.raises(WebhookInvalid):
        verify(pair.public, headers, BODY + b" ")
    with pytest.raises(WebhookInvalid, match=r"was signed 40\d seconds ago"):
        verify(pair.public, signed([pair.private], age=400), BODY)


def test_a_public_key_is_never_taken_for_a_secret() -> None:
    """Whoever knows it could sign with it."""
    pair = new_key_pair()
    forged = signed([pair.public.replace("whpk_", "whsec_")])
    with pytest.raises(WebhookInvalid):
        verify(pair.public, forged, BODY)
    with pytest.raises(ConfigError):
        sign([pair.public], "msg_1", 1, BODY)
    with pytest.raises(ConfigError):
        verify(pair.private, signed([pair.private]), BODY)


def test_signatures_are_those_of_rfc_8032() -> None:
    """The first vector of its section 7.1."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    private = "whsk_" + base64.b64encode(seed).decode()
    assert ed25519.public_of(private) == "whpk_" + base64.b64encode(public).decode()
    assert ed25519.public_of("whsk_" + base64.b64encode(seed + public).decode())
    made = ed25519.signature(private, b"")
    assert made.hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")


@pytest.mark.parametrize(
    "text", ["whsk_", "whsk_AAAA", "whsk_%%%", "whsk_" + "A" * 86 + "==", "whsk_s3cret\u00e9"]
)
def test_a_malformed_private_key_is_not_told(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_secret(text)
    assert "32 or 64 bytes" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_keys_need_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    with pytest.raises(ConfigError, match=r"pip install 'hammerflow\[webhooks\]'"):
        new_key_pair()
