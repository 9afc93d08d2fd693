"""Tests of hammerflow.telemetry."""
