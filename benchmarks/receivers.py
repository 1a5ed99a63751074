"""Servers that receive files, in a separate process: `python -m benchmarks.receivers FOLDER`.

Prints one line of JSON with the platform configs by type, and serves until its standard input is closed.
"""

import contextlib
import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.log import config_logging
from pyftpdlib.servers import FTPServer

from deploy.local.demo.receivers.s3_server import s3_server
from deploy.local.demo.receivers.sftp_server import sftp_server
from deploy.local.servers import HOST

USER, PASSWORD = "bench", "not a secret"


def _ftp(root: Path) -> tuple[FTPServer, dict[str, Any]]:
    root.mkdir(parents=True)
    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, str(root), perm="elradfmwMT")

    class Handler(FTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
        """A subclass, because pyftpdlib stores the authorizer on the class."""

    Handler.authorizer = authorizer
    server = FTPServer((HOST, 0), Handler)
    config = {"host": HOST, "port": server.address[1], "username": USER, "password": PASSWORD, "tls": "none"}
    return server, config


def main() -> int:
    """Serve until standard input is closed."""
    config_logging(level=logging.WARNING)
    root = Path(sys.argv[1])
    ftp, ftp_config = _ftp(root / "ftp")
    threading.Thread(target=ftp.serve_forever, daemon=True).start()
    with contextlib.ExitStack() as stack:
        sftp = stack.enter_context(sftp_server(root / "sftp"))
        s3 = stack.enter_context(s3_server(root / "s3"))
        print(json.dumps({"sftp": sftp.config(), "s3": s3.config(), "ftp": ftp_config}), flush=True)
        sys.stdin.read()
        ftp.close_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
