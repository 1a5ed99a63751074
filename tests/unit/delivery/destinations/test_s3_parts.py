"""How a file is cut into parts for S3."""

import base64
import hashlib
from collections.abc import AsyncIterator

import pytest

from services.delivery.destinations.s3.objects import Body, Piece
from services.delivery.destinations.s3.upload import MAX_PARTS, PART_BYTES, part_size, pieces

MIB = 1024 * 1024
TIB = MIB * MIB
DATA = b"abcdefghij"
SHA256 = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.mark.parametrize("size", [1, PART_BYTES * MAX_PARTS, PART_BYTES * MAX_PARTS + 1, TIB, 5 * TIB])
def test_no_file_has_more_parts_than_s3_allows(size: int) -> None:
    part = part_size(size)
    assert -(-size // part) <= MAX_PARTS
    assert part >= PART_BYTES
    assert part % MIB == 0


def test_parts_are_not_larger_than_necessary() -> None:
    assert part_size(PART_BYTES * MAX_PARTS) == PART_BYTES
    assert part_size(PART_BYTES * MAX_PARTS + 1) == PART_BYTES + MIB


@pytest.mark.parametrize("chunk", [1, 3, 4, 7, 10, 100])
@pytest.mark.parametrize("size", [1, 4, 5, 10, 11])
async def test_pieces_are_the_source_in_equal_sizes_whatever_it_yields(chunk: int, size: int) -> None:
    async def source() -> AsyncIterator[bytes]:
        for start in range(0, len(DATA), chunk):
            yield DATA[start : start + chunk]

    digest = hashlib.sha256()
    found = [piece.data async for piece in pieces(source(), size, digest)]
    assert found == [DATA[start : start + size] for start in range(0, len(DATA), size)]
    assert digest.digest() == hashlib.sha256(DATA).digest()


async def test_an_empty_source_has_no_piece() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b""

    assert [piece async for piece in pieces(source(), 4, hashlib.sha256())] == []


@pytest.mark.parametrize(
    ("told", "same"),
    [
        ({"ChecksumSHA256": SHA256, "ETag": '"whatever"'}, True),
        ({"ChecksumSHA256": base64.b64encode(bytes(32)).decode(), "ETag": f'"{MD5}"'}, False),
        ({"ETag": f'"{MD5}"'}, True),
        ({"ETag": f'"{"0" * 32}"'}, False),
        ({"ETag": f'"{"0" * 32}"', "ServerSideEncryption": "aws:kms"}, True),
        ({"ETag": '"not-an-md5-1"'}, True),
        ({"ETag": f'"{MD5}"', "Size": 10}, True),
        ({"ETag": f'"{MD5}"', "Size": 9}, False),
    ],
)
def test_a_part_is_recognised_by_checksum_else_by_etag(told: dict[str, object], *, same: bool) -> None:
    assert Piece.of(DATA).matches(told) is same


def test_a_body_reports_every_read() -> None:
    told: list[bool] = []
    body = Body(DATA, lambda: told.append(True))
    assert (body.read(4), body.read(), len(told)) == (b"abcd", b"efghij", 2)
