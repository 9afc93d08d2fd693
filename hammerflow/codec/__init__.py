"""Codec: arguments and results as bytes."""
