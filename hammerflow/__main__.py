"""``python -m hammerflow``: the same as the command ``hammerflow``."""

from __future__ import annotations

from hammerflow.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
