"""Claiming: which ready jobs a worker gets next, by priority, age, weight and limit."""
