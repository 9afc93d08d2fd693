"""Tests of the app: from a call to its row, on every database."""
