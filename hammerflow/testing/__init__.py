"""The testing kit: for users' own tests of their tasks, with the code that real workers run.

:func:`drain` runs jobs in the test's own process, and :func:`isolated` gives the app a database for
the test. :mod:`hammerflow.testing.failpoints` is for tests of a whole worker that dies or freezes;
a worker imports it only when it is told to.
"""

from __future__ import annotations

from hammerflow.testing.drain import drain
from hammerflow.testing.isolated import isolated

__all__ = ["drain", "isolated"]
