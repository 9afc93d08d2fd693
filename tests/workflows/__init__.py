"""Tests of workflow files and graphs."""
