"""Benchmarks: commands that measure hammerflow beside the bare drivers in one run."""
