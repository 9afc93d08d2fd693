"""Alerts: the rules, when one fires and resolves, and who is told."""
