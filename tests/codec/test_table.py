"""The table of types: each value of it comes back, and the page shows the same table."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hammerflow.codec import advice
from hammerflow.codec.codec import Codec
from hammerflow.errors import NotEncodable
from tests.codec.exact import exactly
from tests.codec.table import KEPT, PAGE, REFUSED, Kept, Refused, Stamped, written

BOTH = pytest.mark.parametrize("serializer", ["msgpack", "json"])


@BOTH
@pytest.mark.parametrize("row", KEPT, ids=lambda row: row.types)
def test_a_type_of_the_table_comes_out_as_it_went_in(serializer: str, row: Kept) -> None:
    codec = Codec(serializer)
    for value in row.values:
        assert exactly(codec.decode(codec.encode(value))) == exactly(value)
        back = codec.decode_call(codec.encode_call((value,), {"k": [{"v": (value,)}]}))
        assert exactly(back) == exactly(((value,), {"k": [{"v": (value,)}]}))


@BOTH
@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.types)
def test_another_type_is_refused_with_advice(serializer: str, row: Refused) -> None:
    with pytest.raises(NotEncodable) as caught:
        Codec(serializer).encode_call((1, {"when": row.make()}), {})
    assert str(caught.value).startswith("args[1]['when']: ")
    assert str(caught.value).endswith(row.advice)


@BOTH
def test_a_time_of_pydantic_keeps_its_offset(serializer: str) -> None:
    codec = Codec(serializer)
    for text in ("2025-01-02T03:04:05+05:30", "2025-01-02T03:04:05Z"):
        value = Stamped(at=text).at  # type: ignore[arg-type]
        back = codec.decode(codec.encode(value))
        assert (type(back), back, back.utcoffset()) == (type(value), value, value.utcoffset())


def test_the_page_shows_the_table_that_is_proved() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == written(text), "run: python -m tests.codec.table"


def test_advice_about_our_own_classes_names_classes_that_exist() -> None:
    names = [name for name in advice._ADVICE if name.startswith("hammerflow.")]
    assert len(names) > 8
    for name in names:
        module, _, cls = name.rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), cls), type)


@BOTH
def test_nested_types_of_the_table_come_out_together(serializer: str) -> None:
    everything: list[Any] = [value for row in KEPT for value in row.values]
    codec = Codec(serializer)
    assert exactly(codec.decode(codec.encode(everything))) == exactly(everything)
