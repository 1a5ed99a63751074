"""Free ports: processes that look for one at the same time find different ones."""

import itertools
import sys

import pytest

from deploy.local.servers import free_port, ports


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reserves ports")
def test_a_port_that_was_chosen_and_is_not_used_yet_is_not_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = free_port()
    monkeypatch.setattr(ports, "_walk", itertools.count(chosen - ports._PORTS.start))
    assert free_port() != chosen


def test_a_process_reserves_a_bounded_number_of_ports() -> None:
    for _ in range(2 * ports._RESERVED):
        free_port()
    assert len(ports._reservations) <= ports._RESERVED
