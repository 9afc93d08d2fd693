"""Connections: the pool of a process, those of callers, what errors mean, and when to try again."""
