"""Compares what the tests' REST clients have changed with the audit log."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.rest import Answer, Rest
from tests.system import System, eventually

# Refused before the gateway knows who calls, or that there is such a route.
UNADMITTED = {"missing_key", "invalid_key", "key_revoked", "key_expired", "too_many_attempts", "rate_limited"}
UNROUTED = {"not_found", "method_not_allowed", "bad_host", "bad_request"}
CHANGE_NOTHING = ("/schedules/preview", "/profiles/from-header", "/preflight")
RESULTS = {"ok": range(200, 400), "refused": range(400, 500), "failed": range(500, 600)}


@contextmanager
def observed() -> Iterator[list[Answer]]:
    """The answers to all requests of `Rest` in the block that may change something and were admitted."""
    seen: list[Answer] = []
    call = Rest.call

    def observing(client: Rest, method: str, path: str, *args: Any, **named: Any) -> Answer:
        answer = call(client, method, path, *args, **named)
        changes = method not in ("GET", "HEAD", "OPTIONS") and not any(one in path for one in CHANGE_NOTHING)
        if changes and _is_admitted(answer):
            seen.append(answer)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rest, "call", observing)
        yield seen


def _is_admitted(answer: Answer) -> bool:
    if answer.status < 400:
        return True
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return False
    return answer.json["code"] not in UNADMITTED | UNROUTED


def assert_recorded(system: System, answers: Sequence[Answer]) -> None:
    """Each answer has its result in the log, and every job, profile, platform, schedule and key its creation."""
    if not answers:
        return
    with system.mongo() as client:
        entries = client["audit"]["entries"]
        ids = [answer.headers["x-request-id"] for answer in answers]

        def results() -> dict[str, set[str]] | None:
            found: dict[str, set[str]] = {}
            for one in entries.find({"request_id": {"$in": ids}, "result": {"$exists": True}}):
                found.setdefault(one["request_id"], set()).add(one["result"])
            return found if set(found) >= set(ids) else None

        recorded = eventually("all results are recorded", results)
        for answer in answers:
            found = recorded[answer.headers["x-request-id"]]  # of all attempts, if a service was restarted
            assert any(answer.status in RESULTS[result] for result in found), (answer, found)
        for database, collection, action, kind in (
            ("exporter", "jobs", "job.create", "job"),
            ("exporter", "profiles", "profile.create", "profile"),
            ("delivery", "platforms", "platform.create", "platform"),
            ("scheduler", "schedules", "schedule.create", "schedule"),
            ("gateway", "keys", "key.create", "key"),
        ):
            created = set(client[database][collection].distinct("_id"))
            known = set(entries.distinct("resources.id", {"action": action, "resources.type": kind}))
            assert created <= known, (collection, created - known)
