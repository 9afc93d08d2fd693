"""Acceptance: real worker processes, real databases, real faults."""
