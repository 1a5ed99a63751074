"""How many tests of platforms or webhooks a tenant may run concurrently."""

from contextlib import ExitStack

import pytest

from services.delivery.errors import TooManyTests
from services.delivery.running_tests import MAX_TESTS, RunningTests


def test_one_test_too_many_is_refused_and_other_tenants_are_not() -> None:
    running = RunningTests()
    with ExitStack() as stack:
        for _ in range(MAX_TESTS):
            stack.enter_context(running.one_more("a"))
        with pytest.raises(TooManyTests), running.one_more("a"):
            pass
        with running.one_more("b"):
            pass


def test_a_test_that_has_ended_or_failed_makes_room() -> None:
    running = RunningTests()
    for _ in range(MAX_TESTS + 1):
        with pytest.raises(OSError, match="no answer"), running.one_more("a"):
            raise OSError("no answer")
    with running.one_more("a"):
        pass
