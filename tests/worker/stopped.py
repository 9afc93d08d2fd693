"""Preloaded by a worker: it waits less long for its fork server, and for what should start."""

from __future__ import annotations

from hammerflow.worker.supervisor import fork_server_client

fork_server_client._ANSWER_WAIT = 1.0
