"""Dialects: one module for each database driver, the only ones that import it."""
