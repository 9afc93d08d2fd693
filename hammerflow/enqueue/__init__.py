"""Enqueue: how calls become rows of jobs and workflows."""
