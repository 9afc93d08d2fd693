"""The words' tests: no deadline, as the machine may be shared."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("words", deadline=None)
settings.load_profile("words")
