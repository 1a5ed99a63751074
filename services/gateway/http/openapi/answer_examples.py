"""Examples of what is returned: of the models of answers, and of the problem with each status."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from services.gateway.http.openapi.examples import PLATFORM_ID
from services.gateway.http.openapi.schemas import Schemas

_JOB_ID = "60562a38-7852-5b55-b159-d74a0dfc149e"
_SCHEDULE_ID = "0b5f4a0c-6e55-4f0f-9c56-3e3b2a5d5c11"
_PROFILE_ID = "5d1f8f0e-44a1-4c55-9a5e-8f2a6a0c7b1d"
_FILE = f"https://exports.example.com/api/v1/exports/jobs/{_JOB_ID}/download"
_LINK = f"tenant=default&key=9c2f41d07ab3&expires=1795654800&signature={'18c66b1c9eb0b5a0' * 4}"
_ACCEPTED = {"id": _JOB_ID, "status": "processing", "format": "csv", "created_at": "2026-11-25T00:42:23.803Z"}
_REGISTERED = {
    "id": PLATFORM_ID,
    "name": "Shop",
    "platform_type": "sftp",
    "is_active": True,
    "created_at": "2026-11-25T01:44:12.373Z",
}
_MADE = {
    "id": _SCHEDULE_ID,
    "schedule_name": "Price list",
    "cron_expression": "0 6 * * MON-FRI",
    "timezone": "Europe/Paris",
    "is_active": True,
    "created_at": "2026-11-25T01:45:00.112Z",
    "next_run_at": "2026-11-25T05:00:00.000Z",
}
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "Accepted": _ACCEPTED,
    "Job": {
        **_ACCEPTED,
        "status": "completed",
        "total_records": 2,
        "records": {"products": 2},
        "file_url": f"{_FILE}?{_LINK}",
        "file_name": "products_2026-11-25_004223.csv",
        "file_size": 99,
        "sha256": "20722c4f78b91a21337214241f21fe92b6382699ee103df679cb15a45325fea2",
        "completed_at": "2026-11-25T00:42:23.873Z",
        "finished_at": "2026-11-25T00:42:23.873Z",
        "expires_at": "2026-12-02T00:42:23.873Z",
        "warnings": [],
        "deliveries": [],
        "options": {"filters": {"price": {"gte": 30}}, "utf8_bom": False},
    },
    "RegisteredPlatform": _REGISTERED,
    "SftpPlatform": {
        **_REGISTERED,
        "config": {"host": "sftp.example.com", "username": "shop", "password": "********", "path": "incoming"},
        "updated_at": "2026-11-25T01:44:12.373Z",
    },
    "PlatformTest": {
        "ok": False,
        "failed_step": "authenticate",
        "steps": [
            {"step": "resolve", "ok": True, "seconds": 0.012},
            {"step": "connect", "ok": True, "seconds": 0.087},
            {
                "step": "authenticate",
                "ok": False,
                "seconds": 0.31,
                "code": "wrong_credentials",
                "message": "The server does not accept the username with this password.",
            },
        ],
    },
    "CsvProfile": {
        "id": _PROFILE_ID,
        "name": "Price list",
        "format": "csv",
        "options": {"include_fields": ["sku", "price"], "delimiter": ";"},
        "version": 1,
        "created_at": "2026-11-25T01:43:10.002Z",
        "updated_at": "2026-11-25T01:43:10.002Z",
    },
    "MadeSchedule": _MADE,
    "CsvSchedule": {
        **_MADE,
        "platform_id": PLATFORM_ID,
        "format": "csv",
        "options": {"include_fields": ["sku", "price"]},
        "misfire": "latest",
        "overlap": "skip",
        "jitter_seconds": 0,
        "updated_at": "2026-11-25T01:45:00.112Z",
    },
    "Run": {
        "id": _JOB_ID,
        "status": "submitted",
        "fire_at": "2026-11-25T05:00:00.000Z",
        "started_at": "2026-11-25T05:00:00.241Z",
        "job_id": _JOB_ID,
        "is_manual": False,
    },
}
_PROBLEMS: Mapping[int, tuple[str, str]] = {
    400: ("not_json", "The body is not JSON: Expecting value at line 1, column 1."),
    401: ("missing_key", "Send an API key: `Authorization: Bearer cx_...`."),
    403: ("missing_scope", "This API key does not have the scope exports:write."),
    404: ("job_not_found", f"There is no job {_JOB_ID!r}."),
    405: ("method_not_allowed", "Method not allowed. Allowed methods: GET, HEAD, POST."),
    408: ("request_timeout", "The body was not received within 60 seconds."),
    409: ("job_not_finished", "The export is not finished; try again later."),
    410: ("file_expired", "The file was removed after its retention period; create a new export."),
    413: ("body_too_large", "The body is larger than 1048576 bytes."),
    415: (
        "unsupported_media_type",
        "The media type text/xml is not supported; send JSON with Content-Type: application/json.",
    ),
    416: ("range_not_satisfiable", "The range is empty or starts beyond the end of the file."),
    422: ("unknown_field", "filters.pirce: no product has the field 'pirce'; did you mean price?"),
    429: ("rate_limited", "This API key is limited to 600 requests per minute."),
    500: ("internal", "The gateway failed. The operator can find the cause in its log by the request id."),
    503: ("exporter_unavailable", "The exporter does not answer; try again shortly."),
}


def problem(status: int) -> dict[str, Any]:
    """The example of a problem with a status; empty if there is none."""
    if status not in _PROBLEMS:
        return {}
    code, detail = _PROBLEMS[status]
    made: dict[str, Any] = {
        "type": f"urn:catalog-exports:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "be8b045e464245af9fb3e76fee03e9ed",
    }
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        field, _, message = detail.partition(": ")
        made["errors"] = [{"field": field, "message": message}]
    return {"example": made}


def attached(schemas: Schemas) -> Schemas:
    """The schemas, changed in place: those of answers have their example."""
    for name, example in ANSWERS.items():
        if name in schemas:
            schemas[name]["examples"] = [dict(example)]
    return schemas
