"""A NATS server with TLS and a certificate of a private CA."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deploy.local.servers import HOST, NatsServer, nats_program
from services.chassis.jetstream import Stream, connecting
from tests.certificates import Authority, Mount
from tests.integration.exporting import eventually

STREAM = Stream("PRIVATE", "private.>", work_queue=True)


class TlsServer(NatsServer):
    """Takes connections with TLS only."""

    def __init__(self, folder: Path, mount: Mount) -> None:
        super().__init__(folder)
        self._mount = mount

    def launch(self) -> None:
        files: list[str | Path] = [
            "--tlscert",
            self._mount.folder / "tls.crt",
            "--tlskey",
            self._mount.folder / "tls.key",
        ]
        where: list[str | Path] = ["--addr", HOST, "--port", str(self.port), "--store_dir", self.folder / "store"]
        self._listen([nats_program(), "--jetstream", "--tls", *files, *where])


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    authority, made = Authority(), Mount(tmp_path / "tls")
    made.write(authority.issue(), authority.pem)
    return made


@pytest.fixture
def port(tmp_path: Path, mount: Mount) -> Iterator[int]:
    server = TlsServer(tmp_path / "nats", mount)
    server.start()
    yield server.port
    server.stop()


@pytest.mark.parametrize("scheme", ["tls", "nats"])
async def test_it_is_trusted_by_its_private_ca(port: int, mount: Mount, scheme: str) -> None:
    async with connecting(f"{scheme}://{HOST}:{port}", name="tests", ca_file=mount.folder / "ca.crt") as stream:

        async def connected() -> bool:
            return stream.is_connected

        await eventually("it is connected", connected)
        await stream.publish(STREAM, "private.word", b"hello")


async def test_it_is_not_trusted_without_its_ca_and_the_log_says_why(port: int) -> None:
    with capture_logs() as logs:
        async with connecting(f"tls://{HOST}:{port}", name="tests") as stream:

            async def refused() -> bool:
                return any("CERTIFICATE_VERIFY_FAILED" in str(line.get("reason")) for line in logs)

            await eventually("it is refused", refused)
            assert not stream.is_connected


@pytest.mark.parametrize("content", [None, "no PEM"])
async def test_a_file_that_holds_no_ca_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(OSError, match="NATS_CA_FILE"):
        async with connecting("tls://127.0.0.1:4222", name="tests", ca_file=file):
            pass
