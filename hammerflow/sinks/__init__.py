"""Sinks: those who get the events of the log, one file for each kind.

To add a kind, write ``hammerflow/sinks/<kind>.py`` with a class that has what
:class:`hammerflow.sinks.base.Sink` has, and add its name to ``KINDS`` in
:mod:`hammerflow.sinks.registry`.
Cursors, retries, filters, envelopes and parked events are the same for all.
"""
