"""Conditions: expressions over results that decide whether a node of a workflow runs."""
