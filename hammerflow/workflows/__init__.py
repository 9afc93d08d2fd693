"""Workflows: named jobs that depend on each other, and their layout before they are written."""
