"""Integrations: hammerflow in the conventions of other libraries, each in an extra."""
