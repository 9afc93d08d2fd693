"""For users' own tests: a worker in the calling process, with the code that real workers run."""

from __future__ import annotations

from hammerflow.testing.drain import drain

__all__ = ["drain"]
