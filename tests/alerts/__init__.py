"""Tests of targets of alerts."""
