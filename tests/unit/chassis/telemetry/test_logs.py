"""Logs say what happened and keep what is secret."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext

from services.chassis.telemetry import logs


@pytest.fixture(params=["json", "console"])
def form(request: pytest.FixtureRequest) -> Iterator[str]:
    """Configures the logs, and takes that back."""
    before, level = logging.root.handlers[:], logging.root.level
    yield str(request.param)
    logging.root.handlers[:], logging.root.level = before, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def fail_with_a_secret() -> None:
    password = "hunter" + "2"
    raise ValueError(f"wrong, {len(password)} letters")


@pytest.mark.parametrize("library", ["structlog", "logging"])
def test_tracebacks_show_no_local_variables(form: str, library: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("test", level="INFO", form=form)
    logger: Any = structlog.get_logger() if library == "structlog" else logging.getLogger("driver")
    try:
        fail_with_a_secret()
    except ValueError:
        logger.exception("call_failed")
    said = capsys.readouterr().err
    assert "fail_with_a_secret" in said and "wrong, 7 letters" in said
    assert "hunter2" not in said


def test_lines_are_json_with_the_fields_that_are_bound(capsys: pytest.CaptureFixture[str], form: str) -> None:
    logs.configure("test", level="INFO", form="json")
    with structlog.contextvars.bound_contextvars(job_id="j"):
        structlog.get_logger().info("job_claimed", action="claim", fence=2)
        logging.getLogger("driver").warning("slow %s", "reply")
    structlog.get_logger().debug("not_this")
    ours, theirs = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (ours["event"], ours["action"], ours["fence"], ours["job_id"]) == ("job_claimed", "claim", 2, "j")
    assert (ours["service"], ours["level"]) == ("test", "info")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("slow reply", "warning", "driver")


def test_lines_within_a_span_carry_its_ids(capsys: pytest.CaptureFixture[str], form: str) -> None:
    logs.configure("test", level="INFO", form="json")
    of = SpanContext(int("4bf92f3577b34da6a3ce929d0e0e4736", 16), int("00f067aa0ba902b7", 16), is_remote=False)
    with trace.use_span(NonRecordingSpan(of)):
        structlog.get_logger().info("job_claimed")
        logging.getLogger("driver").warning("slow reply")
    structlog.get_logger().info("stopped")
    ours, theirs, outside = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    for line in (ours, theirs):
        assert (line["trace_id"], line["span_id"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert not {"trace_id", "span_id"} & set(outside)
