"""A minimal client of the gateway: JSON calls with an API key, and downloads that are complete or absent."""

import hashlib
import json
import os
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

TIMEOUT = 30.0
CHUNK = 1 << 20


class ExportFailed(Exception):
    """An export or a download failed; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Download:
    """A downloaded file."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Rest:
    """One gateway and one API key."""

    url: str
    key: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The response's JSON, or None if it has no body.

        Raises:
            ExportFailed: the gateway answered with an error or not at all.
        """
        with self._opened(method, path, None if body is None else json.dumps(body).encode()) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def download(self, path: str, target: Path) -> Download:
        """Save a response body as `target`, replacing an existing file, once it is complete.

        Raises:
            ExportFailed: the gateway answered with an error, or the connection was interrupted.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        part, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        digest, size = hashlib.sha256(), 0
        try:
            with os.fdopen(part, "wb") as file, self._opened("GET", path) as answer:
                expected = int(answer.headers["Content-Length"])
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
            if size != expected:
                raise ExportFailed(f"{target.name}: {size} bytes of {expected} arrived")
            Path(name).chmod(0o644)
            Path(name).replace(target)
        except (HTTPException, OSError) as exc:
            raise ExportFailed(f"{target.name}: {exc}") from exc
        finally:
            Path(name).unlink(missing_ok=True)
        return Download(target, size, digest.hexdigest())

    def _opened(self, method: str, path: str, data: bytes | None = None) -> HTTPResponse:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, headers, method=method)  # noqa: S310  http
        try:
            answer: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310  http
        except urllib.error.HTTPError as exc:
            with exc:
                raise ExportFailed(f"{method} {path}: {exc.code} {exc.read(2000).decode(errors='replace')}") from exc
        except (HTTPException, OSError) as exc:
            raise ExportFailed(f"{method} {path}: {exc}") from exc
        return answer
