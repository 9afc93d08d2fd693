"""Dialects: one module for each database driver."""
