"""Limits of the downloads at a time."""

import pytest

from services.chassis.faults import Unavailable
from services.gateway.errors import TooManyDownloads
from services.gateway.routes.downloads import DownloadSlots


def test_a_key_cannot_have_more_downloads_than_its_limit_until_one_ends() -> None:
    slots = DownloadSlots(total=10, per_key=2)
    with slots.hold("a"):
        with slots.hold("a"):
            with pytest.raises(TooManyDownloads) as rejected, slots.hold("a"):
                pass
            assert rejected.value.retry_after
            with slots.hold("b"):
                pass
        with slots.hold("a"):
            pass


def test_a_process_cannot_have_more_downloads_than_its_limit_until_one_ends() -> None:
    slots = DownloadSlots(total=2, per_key=2)
    with slots.hold("a"):
        with slots.hold("b"), pytest.raises(Unavailable) as rejected, slots.hold("c"):
            pass
        assert rejected.value.code == "downloads_busy"
        with slots.hold("c"):
            pass


def test_a_failed_download_gives_its_slot_back() -> None:
    slots = DownloadSlots(total=1, per_key=1)
    with pytest.raises(ConnectionResetError), slots.hold("a"):
        raise ConnectionResetError
    with slots.hold("b"):
        pass
