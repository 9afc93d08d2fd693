"""Values that cannot be what an annotation says, and those that may be."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from hammerflow import Hammerflow
from hammerflow.tasks.fits import misfit
from hammerflow.tasks.shape import ArgumentFault, TaskShape

WRONG: dict[str, list[Any]] = {
    "int": ["five", [1], {}, None], "float": ["x", []], "bool": [[], {}, None],
    "str": [["a"], {"a": 1}, None], "list[str]": ["eu", 1, True, {}, None],
    "tuple[int, ...]": ["a"],
    "dict[str, int]": ["a", [], 1], "Optional[int]": ["x", []], "int | None": ["x", {}],
    "Union[int, list[int]]": ["x", {}], "uuid.UUID": ["x", 1, []], "datetime.datetime": [[], {}],
    "typing.Annotated[int, 'metres']": [[]], "'int'": [[]],
}  # fmt: skip
RIGHT: dict[str, list[Any]] = {
    "int": [1, True, 1.5, "5", " 5 ", "1.0", Decimal(1)], "float": [1, "1e3", 2.5],
    "bool": [1, "yes", False], "str": [5, True, "a", uuid.uuid4(), datetime.now(UTC)],
    "list[str]": [[], ["a"], (1,), {1}], "dict": [{}], "int | None": [None, 5, "5"],
    "Optional[list[int]]": [None, []], "uuid.UUID": [str(uuid.uuid4()), uuid.uuid4()],
    "datetime": ["2026-03-29", 1_795_841_705, datetime.now(UTC)], "Union[int, Order]": ["x", []],
    "Order": ["x", None, []], "shop.UUID": [1], "Sequence[str]": ["a", []], "": [None, [], {}],
    "list[": ["x"], "Literal[1]": [[]], "Any": [None], "None": [None], "(" * 500: [[]],
}  # fmt: skip


@pytest.mark.parametrize("annotation", WRONG)
def test_what_cannot_fit_is_named(annotation: str) -> None:
    for value in WRONG[annotation]:
        says = misfit(annotation, value)
        assert says is not None and says.startswith(f"must be {annotation}, not "), value


@pytest.mark.parametrize("annotation", RIGHT)
def test_what_may_fit_passes(annotation: str) -> None:
    assert [misfit(annotation, value) for value in RIGHT[annotation]] == [None] * len(
        RIGHT[annotation]
    )


def pay(
    order: int, regions: list[str] | None, note: str | None = None, *more: int,
    at: datetime | None = None, tip: int = 0, **others: dict[str, int],
) -> None:  # fmt: skip
    """A task whose parameters are of every kind."""


def test_each_argument_is_held_against_its_parameter() -> None:
    app = Hammerflow("shapes", database="sqlite:///nowhere.db")
    text = TaskShape.of(app.task(name="t")(pay)).to_text()
    assert text is not None
    shape = TaskShape.from_text(text)
    fine = {"at": "2026-03-29", "tip": None, "colours": {"red": 1}}
    assert shape.misfits([1, ["eu"], None, 4, 5], fine) == []
    assert shape.misfits([[1], "eu", "x", "y"], {"at": [], "colours": 3}) == [
        ArgumentFault("order", "must be int, not a list"),
        ArgumentFault("regions", "must be list[str] | None, not this text"),
        ArgumentFault("args[3]", "must be int, not this text"),
        ArgumentFault("at", "must be datetime | None, not a list"),
        ArgumentFault("colours", "must be dict[str, int], not a number"),
    ]
    unchecked = TaskShape.of(app.task(name="u", check_arguments=False)(pay))
    assert unchecked.misfits([[1]], {}) == []
