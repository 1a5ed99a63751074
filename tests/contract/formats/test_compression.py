"""Compressed files: what other tools find in them, and what does not change their bytes."""

import gzip
import random
import shutil
import subprocess
from collections.abc import Callable, Generator
from typing import Any

import bson
import pytest
import zstandard

from services.chassis.faults import BadRequest
from services.exporter.catalogue.columns import Selection
from services.exporter.formats import formats
from services.exporter.formats.compression import MEDIA_TYPES, SUFFIXES, gzipped, zstandardized
from services.exporter.formats.contract import Format, Sheet
from services.exporter.requests.request import check_request
from services.exporter.transcode import Tally

COMPRESSIBLE = [form for form in formats().values() if "compression" in form.Options.model_fields]
OTHERS = [form for form in formats().values() if form not in COMPRESSIBLE]
COMPRESSIONS = ("gzip", "zstd")

Compress = Callable[..., Generator[bytes, None, None]]


def unpacked(compression: str, file: bytes) -> bytes:
    if compression == "gzip":
        return gzip.decompress(file)
    with zstandard.ZstdDecompressor().stream_reader(file) as reader:  # reads one frame only
        return reader.read()


def unpacked_by_tool(compression: str, file: bytes) -> bytes:
    if shutil.which(compression) is None:
        pytest.skip(f"{compression} is not installed")
    return subprocess.run([compression, "-dc"], input=file, capture_output=True, check=True, timeout=60).stdout


def file_of(form: Format, options: dict[str, Any]) -> bytes:
    batches = [bson.encode({"_id": n, "name": "ü" * n}) for n in range(40)]
    sheet = Sheet("products", ("id", "name"), Selection(), iter(batches))
    tally = Tally()
    file = b"".join(form.encode([sheet], form.Options.model_validate(options), tally))
    assert tally.records == {"products": 40}
    return file


def test_csv_json_and_xml_can_be_compressed() -> None:
    assert {form.name for form in COMPRESSIBLE} >= {"csv", "json"}
    assert {form.name for form in OTHERS} >= {"zip", "excel"}


@pytest.mark.parametrize("form", COMPRESSIBLE, ids=lambda form: form.name)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_compressed_file_has_the_same_content(form: Format, compression: Any) -> None:
    plain, file = file_of(form, {}), file_of(form, {"compression": compression})
    assert unpacked(compression, file) == plain
    assert unpacked_by_tool(compression, file) == plain
    assert file_of(form, {"compression": compression}) == file


@pytest.mark.parametrize("form", COMPRESSIBLE, ids=lambda form: form.name)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_its_name_and_media_type_are_those_of_its_compression(form: Format, compression: Any) -> None:
    plain, options = form.Options(), form.Options.model_validate({"compression": compression})
    assert form.extension(options) == form.extension(plain) + SUFFIXES[compression]
    assert form.media_type(options) == MEDIA_TYPES[compression]
    assert form.media_type(options) in form.media_types


@pytest.mark.parametrize("compress", [gzipped, zstandardized])
def test_neither_threads_nor_cuts_of_the_content_change_the_bytes(compress: Compress) -> None:
    dice = random.Random(1)
    words = [dice.randbytes(4).hex() for _ in range(2_000)]
    content = " ".join(dice.choice(words) for _ in range(3_000_000)).encode()  # zstd cuts 8 MiB
    expected = b"".join(compress(cut(content, 1 << 16), threads=1))
    for threads, size in ((1, 1 << 22), (2, 99_991), (4, len(content))):
        assert b"".join(compress(cut(content, size), threads=threads)) == expected
    assert unpacked("gzip" if compress is gzipped else "zstd", expected) == content


def cut(content: bytes, size: int) -> Generator[bytes, None, None]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_empty_content_makes_a_valid_file(compression: str) -> None:
    compress = gzipped if compression == "gzip" else zstandardized
    file = b"".join(compress(cut(b"", 1)))
    assert unpacked(compression, file) == unpacked_by_tool(compression, file) == b""


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_content_ends_when_the_file_is_given_up(compression: str) -> None:
    compress, closed = gzipped if compression == "gzip" else zstandardized, []

    def endless() -> Generator[bytes, None, None]:
        try:
            while True:
                yield random.randbytes(1 << 16)
        finally:
            closed.append(True)

    file = compress(endless())
    for _ in range(3):
        next(file)
    file.close()
    assert closed == [True]


@pytest.mark.parametrize("form", OTHERS, ids=lambda form: form.name)
def test_formats_that_are_compressed_already_say_so(form: Format) -> None:
    with pytest.raises(BadRequest) as refused:
        check_request(formats(), form.name, '{"compression": "gzip", "file_name": 5}')
    found = {violation.field: violation.message for violation in refused.value.violations}
    assert set(found) == {"compression", "file_name"}
    assert "compressed already" in found["compression"]


@pytest.mark.parametrize("form", COMPRESSIBLE, ids=lambda form: form.name)
@pytest.mark.parametrize("wrong", ['"bzip2"', "true", '""'])
def test_another_compression_is_refused(form: Format, wrong: str) -> None:
    with pytest.raises(BadRequest):
        check_request(formats(), form.name, f'{{"compression": {wrong}}}')
