"""An SFTP server in a process of its own: `python -m tests.torture.receivers.sftp ROOT PORT HOST_KEY`."""

import asyncio
import sys
from pathlib import Path

import asyncssh

from tests.torture.receivers.account import PASSWORD, USER


class _Login(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)


async def serve(root: Path, port: int, host_key: Path) -> None:
    """Serve the folder until the process ends."""
    await asyncssh.listen(
        "127.0.0.1",
        port,
        server_factory=_Login,
        server_host_keys=[str(host_key)],
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(root).encode()),
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
