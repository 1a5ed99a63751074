"""Counts of what is running, by owner."""

from services.chassis.running import Running


def test_each_owner_is_counted_until_the_end_of_its_block_also_after_an_error() -> None:
    running = Running()
    with running.one_more("a"), running.one_more("a"), running.one_more("b"):
        assert (running.of("a"), running.of("b"), running.of("c"), running.total()) == (2, 1, 0, 3)
        try:
            with running.one_more("c"):
                assert running.total() == 4
                raise OSError
        except OSError:
            assert running.of("c") == 0
    assert running.total() == 0
    assert not running._counts
