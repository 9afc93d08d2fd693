"""Tests of what is asked of users' values and functions."""
