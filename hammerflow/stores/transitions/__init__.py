"""Transitions: the state changes of jobs and workflows, each inside one transaction."""
