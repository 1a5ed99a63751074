"""An FTP server in a process of its own: `python -m tests.torture.receivers.ftp ROOT PORT`."""

import sys
from pathlib import Path

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

from tests.torture.receivers.account import PASSWORD, USER


def serve(root: Path, port: int) -> None:
    """Serve the folder until the process ends."""
    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, str(root), perm="elradfmwMT")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer, "permit_foreign_addresses": True})
    FTPServer(("127.0.0.1", port), handler).serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
