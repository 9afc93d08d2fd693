"""Tests of schedules: when they are due."""
