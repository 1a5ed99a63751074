"""JSON calls to the gateway, each one request: a client that repeats requests would hide what is measured."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any

TIMEOUT = 30.0


class CallFailed(Exception):
    """The gateway answered with an error or not at all."""


@dataclass(frozen=True, slots=True)
class Rest:
    """One gateway and one API key."""

    url: str
    key: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The response's JSON, or None if it has no body.

        Raises:
            CallFailed: with the answer.
        """
        with self._opened(method, path, None if body is None else json.dumps(body).encode()) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def _opened(self, method: str, path: str, data: bytes | None = None) -> HTTPResponse:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, headers, method=method)
        try:
            answer: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as exc:
            with exc:
                raise CallFailed(f"{method} {path}: {exc.code} {exc.read(2000).decode(errors='replace')}") from exc
        except (HTTPException, OSError) as exc:
            raise CallFailed(f"{method} {path}: {exc}") from exc
        return answer
