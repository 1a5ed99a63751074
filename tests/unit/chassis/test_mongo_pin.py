"""Reads that are pinned come from one member, chosen like the driver chooses, while it is suitable."""

import threading

from pymongo.hello import Hello
from pymongo.server_description import ServerDescription

from services.chassis.mongo_pin import Pin, select


def member(port: int, seconds: float = 0.001) -> ServerDescription:
    hello: Hello[dict[str, object]] = Hello({"ok": 1, "secondary": True, "setName": "rs0", "hosts": []})
    return ServerDescription(("127.0.0.1", port), hello, round_trip_time=seconds)


def test_without_a_pin_every_suitable_member_stays() -> None:
    members = [member(1), member(2)]
    assert select(members) == members


def test_all_reads_of_a_pin_come_from_the_member_of_the_first() -> None:
    pin, members = Pin(), [member(1), member(2), member(3)]
    with pin.held():
        chosen = {select(members)[0].address for _ in range(50)}
    assert len(chosen) == 1
    assert select(members) == members


def test_each_pin_chooses_anew_among_the_nearest() -> None:
    members = [member(1), member(2, 0.010), member(3, 0.100)]
    chosen = set()
    for _ in range(100):
        with Pin().held():
            [one] = select(members)
        chosen.add(one.address[1])
    assert chosen == {1, 2}


def test_another_member_is_pinned_when_the_first_is_no_longer_suitable() -> None:
    pin = Pin()
    with pin.held():
        assert select([member(1)])[0].address[1] == 1
        assert select([]) == []
        assert select([member(2)])[0].address[1] == 2
        assert select([member(1), member(2)])[0].address[1] == 2


def test_a_pin_is_held_by_its_thread_only_and_the_one_before_comes_back() -> None:
    outer, inner, members = Pin(), Pin(), [member(1), member(2)]
    seen: list[int] = []
    with outer.held():
        [first] = select(members)
        with inner.held():
            select([member(3)])
        assert list(select([*members, member(3)])) == [first]
        thread = threading.Thread(target=lambda: seen.append(len(select(members))))
        thread.start()
        thread.join()
    assert seen == [2]
