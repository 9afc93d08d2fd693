"""Canvas: calls that are not made yet, and how they are combined."""
