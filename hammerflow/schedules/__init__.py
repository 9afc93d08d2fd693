"""Schedules: when recurring jobs are due."""
