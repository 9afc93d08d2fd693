"""Canvas: calls that have not been made yet, and how they are combined."""
