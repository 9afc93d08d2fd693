"""Tests of the worker: its words, its children, its services, and a worker in this process."""
