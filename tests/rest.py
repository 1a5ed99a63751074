"""A plain REST client for tests: what a user's script would do, with the standard library alone."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.waiting import DEADLINE, eventually

ENDED = {"completed", "failed", "cancelled", "expired"}


@dataclass(frozen=True)
class Answer:
    """Status, headers (lower-case names) and body of a response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Rest:
    """Calls one gateway with one key."""

    url: str
    key: str

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        raw: bytes | None = None,
    ) -> Answer:
        target = path if path.startswith("http") else f"{self.url}/api/v1{path}"
        sent = {"Content-Type": "application/json", **(headers or {})}
        if self.key:
            sent.setdefault("Authorization", f"Bearer {self.key}")
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(target, data=data, method=method, headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return _answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as exc:
            with exc:
                return _answer(exc.code, exc.headers, exc.read())

    def export(self, form: str, body: object = None, *, key: str | None = None) -> Answer:
        """Ask for an export; the answer is not checked."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.call("POST", f"/exports/{form}/products", {} if body is None else body, headers=headers)

    def job(self, job_id: str) -> Any:
        answer = self.call("GET", f"/exports/jobs/{job_id}")
        assert answer.status == 200, answer
        return answer.json

    def ended(self, job_id: str, within: float = DEADLINE) -> Any:
        """The job once it has ended."""

        def ended() -> Any:
            job = self.job(job_id)
            return job if job["status"] in ENDED else None

        return eventually(f"job {job_id} has ended", ended, within)

    def download(self, job_id: str, **headers: str) -> Answer:
        return self.call("GET", f"/exports/jobs/{job_id}/download", headers=headers)

    def file(self, form: str, body: object = None, within: float = DEADLINE) -> tuple[Any, bytes]:
        """A finished export: the job, and its file."""
        accepted = self.export(form, body)
        assert accepted.status == 202, accepted
        job = self.ended(accepted.json["id"], within)
        assert job["status"] == "completed", job
        answer = self.download(job["id"])
        assert answer.status == 200, answer
        return job, answer.body


def _answer(status: int, headers: Any, body: bytes) -> Answer:
    return Answer(status, {name.lower(): value for name, value in headers.items()}, body)
