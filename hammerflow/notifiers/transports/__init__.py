"""Transports: the ways to carry a ring from one process to another."""
