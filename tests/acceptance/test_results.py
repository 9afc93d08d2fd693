"""Values of every type make the trip to a body and back on every database, unchanged."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

import pytest

from hammerflow import JobFailed
from tests.acceptance.kit import Shop
from tests.acceptance.shop import Color, Order

_ZONE = dt.timezone(dt.timedelta(hours=-3, minutes=-30))
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    -(2**200),
    1.5,
    float("inf"),
    -0.0,
    "",
    "text with \0, \u2028, \U0001f528 and '%s' ? :x",
    "x" * 100_000,
    b"",
    bytes(range(256)),
    [],
    [1, [2, [3]]],
    (1, (2, "three")),
    {},
    {"a": {"b": [None]}},
    {1: "one", (1, 2): "pair"},
    {1, 2, 3},
    frozenset("ab"),
    dt.datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=dt.UTC),
    dt.datetime(1969, 7, 20, 20, 17, 40, tzinfo=_ZONE),
    dt.date(2024, 2, 29),
    dt.time(1, 2, 3, 4),
    dt.timedelta(days=-1, microseconds=1),
    decimal.Decimal("-0.10"),
    uuid.UUID(int=7),
    float("nan"),
    10**4299,
    dt.datetime(2025, 10, 26, 2, 30, fold=1),  # noqa: DTZ001  a naive one stays naive
    dt.time(23, 59, tzinfo=_ZONE),
    Color.RED,
    Order(7, dt.datetime(2025, 1, 1, tzinfo=dt.UTC), (Color.RED,)),
]


def test_a_value_comes_back_as_it_went(shop: Shop) -> None:
    for kind in (Color, Order):
        shop.client.codec.register(kind)
    with shop.worker():
        results = [shop.send("echo", value) for value in VALUES]

        for value, result in zip(VALUES, results, strict=True):
            back = result.get(timeout=10)
            assert type(back) is type(value)
            if isinstance(value, set | frozenset):
                assert back == value
            else:
                assert repr(back) == repr(value)  # tells -0.0 from 0.0, and knows NaN
    shop.check(results)


def test_a_result_that_cannot_be_encoded_fails_its_job(sqlite_shop: Shop) -> None:
    shop = sqlite_shop
    with shop.worker():
        result = shop.send("unspeakable")
        with pytest.raises(JobFailed, match="NotEncodable"):
            result.get(timeout=10)
        assert shop.kinds(result) == ["failed"]  # another run would end the same way
    shop.check([result])
