"""Promise: what an enqueue has acknowledged, and what must come of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["Kind", "Promise"]


@dataclass
class Promise:
    """What an enqueue has acknowledged, and what must come of it."""

    kind: str
    handle: Any  # Result, Results, GroupResult or WorkflowResult
    value: Any = None  # what get() must give; of some kinds, the instant that matters
    states: dict[str, set[str]] = field(default_factory=dict)  # of a workflow's nodes


#: Sends work of one kind; and the most jobs that it may have written if no answer came.
Kind: TypeAlias = tuple[Callable[[random.Random], Promise], int]
