"""Fuzz conditions with atheris: python -m tests.conditions.fuzz_condition -max_len=300."""

from __future__ import annotations

import sys

from hammerflow.conditions.evaluator import compile_condition
from hammerflow.errors import ConditionError

RESULTS = {"a": {"b": [1, 2.5, "x", None, True]}, "n": 3}


def one(data: bytes) -> None:
    """Nothing but a bool or a ConditionError may come of any text."""
    try:
        answer = compile_condition(data.decode("utf-8", "replace"), list(RESULTS)).evaluate(RESULTS)
    except ConditionError:
        return
    assert type(answer) is bool


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
