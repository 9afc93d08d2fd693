"""Calls as users type them: mypy and pyright accept `ok` and refuse marked lines of `wrong`."""
