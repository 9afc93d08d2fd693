"""Streams: events of real workers to live brokers, all of which are broken, and what arrives."""
