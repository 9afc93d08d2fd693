"""Tests of the signals and standard streams of a process."""
