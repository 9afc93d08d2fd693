"""Jobs: what one is, how it can end, and how long it waits before the next attempt."""
