"""Tests of enqueueing."""
