"""A REST client as the API asks for: what is told to come back later does so, at the time that it was told."""

import threading
import time
from collections import Counter
from typing import Any

from tests.rest import Answer, Rest

PASSING = {429, 503}
WITHIN = 120.0


class Patient:
    """Repeats what is answered 429 or 503 after its Retry-After; anything else that is no success is an error.

    A connection that is refused or breaks off is an error too: behind a Service a client sees none.
    """

    def __init__(self, url: str, key: str) -> None:
        self._rest = Rest(url, key)
        self._counting = threading.Lock()
        self.put_off: Counter[int] = Counter()
        """How often each status made it wait."""

    def call(self, method: str, path: str, body: object = None, *, key: str = "") -> Answer:
        """The answer that is no transient one.

        Args:
            key: an Idempotency-Key, so that a repeated request is the same one.
        """
        headers = {"Idempotency-Key": key} if key else {}
        deadline = time.monotonic() + WITHIN
        while True:
            answer = self._rest.call(method, path, body, headers=headers)
            if answer.status not in PASSING or time.monotonic() > deadline:
                assert 200 <= answer.status < 300, (method, path, answer)
                return answer
            with self._counting:
                self.put_off[answer.status] += 1
            time.sleep(int(answer.headers["retry-after"]))

    def exported(self, form: str, body: object, *, key: str) -> Any:
        """The job of an export once it has ended, asked for as often as Retry-After says."""
        answer = self.call("POST", f"/exports/{form}/products", body, key=key)
        path = answer.headers["location"].removeprefix("/api/v1")
        deadline = time.monotonic() + WITHIN
        while True:
            time.sleep(int(answer.headers["retry-after"]))
            answer = self.call("GET", path)
            if answer.json["status"] != "processing":
                return answer.json
            assert time.monotonic() < deadline, answer
