"""What can go wrong, as exceptions with fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from catalog_exports.client.models import FieldError, Model, Problem

if TYPE_CHECKING:
    import httpx

    from catalog_exports.client.models import JobData


Answer = TypeVar("Answer", bound=Model)


class CatalogExportsError(Exception):
    """Base of all errors of this package."""


class Unreachable(CatalogExportsError):
    """There was no answer, or it was cut off; a request that creates something may have been carried out."""


class ApiError(CatalogExportsError):
    """The API refused or failed.

    Attributes:
        problem: status, code, detail, errors of single fields, request id (RFC 9457).
        retry_after: seconds after which it may be tried again; None: the API does not say.
    """

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def code(self) -> str:
        """What happened, for programs; see docs/api.md."""
        return self.problem.code

    @property
    def errors(self) -> tuple[FieldError, ...]:
        """The fields that are not valid."""
        return self.problem.errors


class KeyRejected(ApiError):
    """The API key is missing, unknown, revoked or expired (401), or does not allow the request (403)."""


class Unavailable(ApiError):
    """Too many requests, or a service is down (429, 502, 503, 504); repeated requests had no other answer."""


class JobNotCompleted(CatalogExportsError):
    """A job ended without a file.

    Attributes:
        job: its last state; `status` is failed, cancelled or expired.
    """

    def __init__(self, job: JobData) -> None:
        why = f": {job.error.message} ({job.error.code})" if job.error and job.status == "failed" else ""
        super().__init__(f"export {job.id} is {job.status}{why}")
        self.job = job


class WaitTimedOut(CatalogExportsError):
    """A job is still running when the time is up; it goes on.

    Attributes:
        job: its last state.
    """

    def __init__(self, job: JobData) -> None:
        super().__init__(f"export {job.id} is still running")
        self.job = job


class UnexpectedAnswer(CatalogExportsError):
    """The answer is not one of this API: the URL may be that of another server."""


class ChecksumMismatch(CatalogExportsError):
    """A downloaded file is not the one that was exported."""


_KINDS: dict[int, type[ApiError]] = {
    401: KeyRejected,
    403: KeyRejected,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def api_error(response: httpx.Response) -> ApiError:
    """The error in a response whose body has been read; a proxy's may be no problem document."""
    after = response.headers.get("Retry-After", "")
    kind = _KINDS.get(response.status_code, ApiError)
    return kind(_problem(response), float(after) if after.isascii() and after.isdigit() else None)


def parsed(model: type[Answer], response: httpx.Response) -> Answer:
    """A successful answer as its model.

    Raises:
        UnexpectedAnswer: it is something else.
    """
    try:
        return model.model_validate_json(response.content)
    except ValidationError as exc:
        raise UnexpectedAnswer(f"{response.url} is not the API of Catalog Exports: check the URL") from exc


def _problem(response: httpx.Response) -> Problem:
    body: Any = None
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        try:
            body = json.loads(response.content)
        except ValueError:
            body = None
    status, phrase = response.status_code, response.reason_phrase
    if not isinstance(body, dict) or "detail" not in body:
        to = f", which leads to {response.headers['Location']}" if response.is_redirect else ""
        body = {"detail": f"The server answered {status} {phrase}{to}."}
    return Problem.model_validate({"title": phrase, "code": f"http_{status}", **body, "status": status})
