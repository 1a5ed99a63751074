"""Limits of a body: members, depth, and the time it takes to check one."""

import asyncio
import json
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from services.chassis.faults import BadRequest, Fault, Violation
from services.gateway.http import problems
from services.gateway.http.bodies import (
    BODY_TIMEOUT,
    LARGE_BODY,
    LARGE_BODY_SLOTS,
    MAX_BRACKETS,
    MAX_DEPTH,
    MAX_MEMBERS,
    json_object,
)

MIB = 1024 * 1024
JSON = {"Content-Type": "application/json"}


async def post(raw: bytes, *, slots: int = 1, timeout: float = 10.0) -> tuple[int, str, float]:
    """Status, body and CPU seconds on the event loop of a response to this body."""

    async def handle(request: web.Request) -> web.Response:
        started = time.thread_time()
        try:
            status, text = 200, await json_object(request)
        except Fault as fault:
            response = problems.from_fault(fault)
            status, text = response.status, response.text or ""
        return web.Response(status=status, text=text, headers={"Seconds": str(time.thread_time() - started)})

    app = web.Application(client_max_size=MIB)
    app[BODY_TIMEOUT] = timeout
    app[LARGE_BODY_SLOTS] = asyncio.Semaphore(slots)
    app.router.add_post("/", handle)
    async with TestClient(TestServer(app)) as client, client.post("/", data=raw, headers=JSON) as response:
        return response.status, await response.text(), float(response.headers["Seconds"])


def nested(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def keys(count: int, *, repeat: bool = False) -> bytes:
    members = [f'"{number:x}":0' for number in range(count)]
    return ("{" + ",".join(members + members[-1:] * repeat) + "}").encode()


async def test_members_up_to_the_limit_are_accepted() -> None:
    status, text, _ = await post(keys(MAX_MEMBERS))
    assert (status, text.encode()) == (200, keys(MAX_MEMBERS))


@pytest.mark.parametrize(
    "raw",
    [
        keys(MAX_MEMBERS + 1),
        keys(100_000, repeat=True),
        json.dumps({"a": [{"b": 1, "c": 2}] * (MAX_MEMBERS // 2)}).encode(),
        json.dumps({str(n): {str(m): 0 for m in range(1_000)} for n in range(10)}).encode(),
    ],
)
async def test_more_members_are_rejected_without_blocking_the_event_loop(raw: bytes) -> None:
    status, text, seconds = await post(raw)
    assert status == 422
    assert json.loads(text)["errors"] == [{"field": "body", "message": "has more than 10,000 members"}]
    assert seconds < 0.5


async def test_large_bodies_wait_for_a_slot_and_small_ones_do_not() -> None:
    small, large = (b'{"a":"' + b"x" * (size - 8) + b'"}' for size in (LARGE_BODY, LARGE_BODY + 1))
    assert (await post(small, slots=0))[0] == 200
    assert (await post(large, slots=1))[0] == 200
    status, text, _ = await post(large, slots=0, timeout=0.1)
    assert (status, json.loads(text)["code"]) == (408, "request_timeout")


async def test_depth_up_to_the_limit_is_accepted_and_one_level_more_is_not() -> None:
    assert (await post(nested(MAX_DEPTH)))[0] == 200
    status, text, _ = await post(nested(MAX_DEPTH + 1))
    assert (status, json.loads(text)["code"]) == (400, "not_json")


async def test_brackets_up_to_the_limit_are_accepted_and_many_more_are_rejected_quickly() -> None:
    assert (await post(b'{"a":[' + b"[]," * (MAX_BRACKETS - 3) + b"[]]}"))[0] == 200
    status, text, seconds = await post(b'{"a":[' + b"[]," * 349_000 + b"[]]}")
    assert status == 422
    assert json.loads(text)["errors"] == [{"field": "body", "message": "has more than 10,000 brackets, [ or {"}]
    assert seconds < 0.5


@pytest.mark.parametrize("count", [1, 20, 21, 1_000])
def test_a_response_lists_at_most_twenty_violations(count: int) -> None:
    response = problems.from_fault(BadRequest([Violation("x" * 5_000, "is unknown " * 500)] * count))
    body = json.loads(response.text or "")
    assert len(body["errors"]) == min(count, 20)
    assert len(response.text or "") < 30_000
    assert ("of 1,000 errors" in body["detail"]) is (count == 1_000)
