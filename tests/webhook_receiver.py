"""An endpoint for webhooks: an HTTP server that checks every signature with the reference library and keeps the events.

Run as a test's own server: `with receiver() as endpoint: ...`.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True)
class Received:
    """One request."""

    id: str
    body: Any
    headers: Mapping[str, str]
    signed_by: tuple[str, ...]
    """The known secrets that its signatures are valid for."""

    @property
    def type(self) -> str:
        return str(self.body["type"])


@dataclass
class Receiver:
    """What the endpoint has received, and what it answers."""

    url: str
    secrets: list[str] = field(default_factory=list)
    requests: list[Received] = field(default_factory=list)
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def accepted(self) -> dict[str, Received]:
        """The last request about each event."""
        return {request.id: request for request in self.requests}

    def of(self, kind: str) -> list[Received]:
        """The requests about one type of event."""
        return [request for request in self.requests if request.type == kind]


@contextmanager
def receiver(path: str = "/hooks") -> Iterator[Receiver]:
    """A running endpoint on this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            signed = tuple(secret for secret in endpoint.secrets if _is_signed(secret, raw, headers))
            if endpoint.status < 300:
                endpoint.requests.append(Received(headers["webhook-id"], json.loads(raw), headers, signed))
            self.send_response(endpoint.status)
            for name, value in endpoint.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output short."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint = Receiver(f"http://127.0.0.1:{server.server_port}{path}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()


def _is_signed(secret: str, raw: bytes, headers: dict[str, str]) -> bool:
    try:
        Webhook(secret).verify(raw, headers)
    except WebhookVerificationError:
        return False
    return True
