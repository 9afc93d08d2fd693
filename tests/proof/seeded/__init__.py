"""Seeded bugs: patches that break hammerflow, and the tests that must notice."""
