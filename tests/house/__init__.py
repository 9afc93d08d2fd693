"""Tests of the house itself: its layout, its words, its doors, and the servers that tests use."""
