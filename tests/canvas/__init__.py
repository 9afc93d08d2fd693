"""Tests of signatures and spawn configurations."""
