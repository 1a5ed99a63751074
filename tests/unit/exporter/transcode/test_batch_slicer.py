"""Batches are cut into slices of whole documents."""

import bson
import pytest

from services.exporter.transcode import BatchSlicer


def documents(*numbers: int) -> bytes:
    return b"".join(bson.encode({"_id": number}) for number in numbers)


def numbers(batch: bytes) -> list[int]:
    return [document["_id"] for document in bson.decode_all(batch)]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 1_000])
def test_every_document_is_taken_once_and_in_order(limit: int) -> None:
    slicer = BatchSlicer(iter([documents(1, 2, 3), b"", documents(4), documents(5, 6, 7, 8), b""]))
    taken = []
    while slicer.more():
        taken.append(numbers(slicer.take(limit)))
    assert [number for piece in taken for number in piece] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert all(1 <= len(piece) <= limit for piece in taken)


@pytest.mark.parametrize("size", [-1, 0, 4, 1_000])
def test_a_damaged_document_and_everything_after_it_are_one_slice(size: int) -> None:
    damage = size.to_bytes(4, "little", signed=True) + bytes(20)
    slicer = BatchSlicer(iter([documents(1, 2) + damage]))
    assert slicer.more()
    assert numbers(slicer.take(2)) == [1, 2]
    assert slicer.take(2) == damage
