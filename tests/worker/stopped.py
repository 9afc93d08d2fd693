"""Preloaded by a worker: it waits less long for its fork server, and for what should start."""

from __future__ import annotations

from hammerflow.worker.supervisor import child_lifecycle, fork_server_client

fork_server_client._ANSWER_WAIT = 1.0
child_lifecycle._HELLO_WAIT = 3.0
