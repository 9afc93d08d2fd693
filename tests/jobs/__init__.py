"""Tests of jobs and backoffs."""
