"""Tests of the handles on jobs and workflows."""
