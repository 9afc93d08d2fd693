"""Tests of the stores: the same on each database."""
