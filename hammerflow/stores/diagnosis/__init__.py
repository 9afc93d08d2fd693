"""Diagnosis: why a job does not run, whether tables are sound, what alerts and metrics read."""
