"""Servers that speak the protocols of cloud services, whose answers a test decides."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["kinesis_server", "publisher_server"]


def kinesis_server(
    port: int, handle: Callable[[dict[str, str], bytes], tuple[int, bytes]]
) -> ThreadingHTTPServer:
    """A server of Kinesis, not started.

    Args:
        port: 0 takes a free one.
        handle: makes the status and body of an answer from the headers and body of a request.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = handle(dict(self.headers), body)
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def publisher_server(publish: Callable[[Any, Any], Any], threads: int) -> Any:
    """A gRPC server of Google Pub/Sub's Publisher, without a port and not started.

    Args:
        publish: answers a request to publish, by request and context.
    """
    import grpc
    from google.pubsub_v1.types import PublishRequest, PublishResponse

    handler = grpc.unary_unary_rpc_method_handler(
        publish, request_deserializer=PublishRequest.deserialize,
        response_serializer=PublishResponse.serialize,
    )  # fmt: skip
    methods = grpc.method_handlers_generic_handler(
        "google.pubsub.v1.Publisher", {"Publish": handler}
    )
    server = grpc.server(futures.ThreadPoolExecutor(threads))
    server.add_generic_rpc_handlers((methods,))
    return server
