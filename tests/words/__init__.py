"""The words: pure data and functions, tested without a database."""
