"""Waiting: the one polling loop of the tests, for facts that no event tells."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["until"]

T = TypeVar("T")


def until(what: str, condition: Callable[[], T], timeout: float = 15.0, *, step: float = 0.02) -> T:
    """Poll a condition until it is true.

    Args:
        what: what is waited for, as the error names it.
        condition: any fact outside this process: a line in a file, a row, a process that ended.
        timeout: seconds after which the test fails.
        step: seconds between two polls.

    Returns:
        The first true value of the condition.

    Raises:
        AssertionError: the condition was still false at the end of the time.
    """
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(step)
    return found
