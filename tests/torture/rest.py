"""REST as a real client does it: any gateway, and the same request again until it is answered."""

import http.client
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 30.0
"""Seconds without a byte, of one request."""
PATIENCE = 420.0
"""Seconds in which some gateway must have answered."""
PAUSE = 0.3
AGAIN = {429, 500, 502, 503, 504}
"""500 is a defect, which the account records; the request is repeated all the same."""


class Stopped(Exception):
    """The harness ends."""


class NoAnswer(Exception):
    """No gateway has answered for `PATIENCE`: the system is stuck."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer to a request. `tries` of more than one: an earlier one may still be carried out later."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    tries: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem."""
        return str(self.json.get("code", "")) if self.status >= 400 and self.body.startswith(b"{") else ""


class Rest:
    """One tenant's client.

    Args:
        defects: receives every answer of 500.
    """

    def __init__(self, gateways: Sequence[str], key: str, stop: threading.Event, defects: list[str]) -> None:
        self._hosts = [urlsplit(url).netloc for url in gateways]
        self._key = key
        self._stop = stop
        self._defects = defects
        self._turn = 0

    def call(
        self, method: str, path: str, body: object = None, *, key: str | None = None, patience: float = PATIENCE
    ) -> Answer:
        """The answer, after as many tries as it takes.

        Args:
            key: the Idempotency-Key.

        Raises:
            NoAnswer: there is none.
            Stopped: the harness ends.
        """
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        data = None if body is None else json.dumps(body).encode()
        deadline, tries, last = time.monotonic() + patience, 0, "nothing"
        while time.monotonic() < deadline:
            if self._stop.is_set():
                raise Stopped
            tries += 1
            self._turn += 1
            try:
                answer = self._once(method, path, data, headers, tries)
            except (OSError, http.client.HTTPException) as exc:
                last = repr(exc)
            else:
                if answer.status not in AGAIN:
                    return answer
                last = f"{answer.status} {answer.body[:300]!r}"
                if answer.status == 500:
                    self._defects.append(f"{method} {path}: {last}")
            self._stop.wait(PAUSE)
        raise NoAnswer(f"{method} {path}: no answer for {patience:.0f} s, {tries} tries; the last: {last}")

    def items(self, path: str) -> list[Any]:
        """All items of a list, page by page."""
        found: list[Any] = []
        cursor = ""
        while True:
            page = self.call("GET", f"{path}{'&' if '?' in path else '?'}limit=200{cursor}").json
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def _once(self, method: str, path: str, data: bytes | None, headers: Mapping[str, str], tries: int) -> Answer:
        connection = http.client.HTTPConnection(self._hosts[self._turn % len(self._hosts)], timeout=TIMEOUT)
        try:
            connection.request(method, f"/api/v1{path}", data, dict(headers))
            response = connection.getresponse()
            body = response.read()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, body, tries)
        finally:
            connection.close()
