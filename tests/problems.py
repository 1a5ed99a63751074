"""Checks the form of problems."""

from typing import Any

from tests.rest import Answer

TRACES = (b"Traceback", b'File "', b".py", b"site-packages")


def problem(answer: Answer, status: int, code: str, field: str | None = None, words: str = "") -> dict[str, Any]:
    """The problem in a response, after checks that it is the expected one, follows RFC 9457 and reveals no internals.

    Args:
        field: the first field in `errors`; None: there are no `errors`.
        words: must be part of `detail`.
    """
    assert answer.status == status, answer
    assert answer.headers["content-type"].split(";")[0] == "application/problem+json"
    found: dict[str, Any] = answer.json
    assert found["status"] == status
    assert found["code"] == code, found
    assert found["type"] == f"urn:catalog-exports:problem:{code}"
    assert found["title"]
    assert words in found["detail"], found
    assert found["request_id"] == answer.headers["x-request-id"]
    assert [error["field"] for error in found.get("errors", [])][:1] == ([] if field is None else [field]), found
    assert not [trace for trace in TRACES if trace in answer.body], found
    return found
