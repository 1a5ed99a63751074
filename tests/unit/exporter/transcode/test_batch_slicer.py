"""Batches cut to what still fits."""

import bson
import pytest

from services.exporter.transcode import BatchSlicer


def documents(*numbers: int) -> bytes:
    return b"".join(bson.encode({"_id": number}) for number in numbers)


def numbers(piece: bytes) -> list[int]:
    return [document["_id"] for document in bson.decode_all(piece)]


@pytest.mark.parametrize("most", [1, 2, 3, 4, 1_000])
def test_every_document_is_taken_once_and_in_order(most: int) -> None:
    pieces = BatchSlicer(iter([documents(1, 2, 3), b"", documents(4), documents(5, 6, 7, 8), b""]))
    taken = []
    while pieces.more():
        taken.append(numbers(pieces.take(most)))
    assert [number for piece in taken for number in piece] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert all(1 <= len(piece) <= most for piece in taken)


@pytest.mark.parametrize("size", [-1, 0, 4, 1_000])
def test_damage_goes_to_the_transcoder_with_all_that_follows(size: int) -> None:
    damage = size.to_bytes(4, "little", signed=True) + bytes(20)
    pieces = BatchSlicer(iter([documents(1, 2) + damage]))
    assert pieces.more()
    assert numbers(pieces.take(2)) == [1, 2]
    assert pieces.take(2) == damage
