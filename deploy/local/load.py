"""Loads a file into the stack that runs here: `python -m deploy.local.load products.jsonl`.

Passes the address of the stack's MongoDB to the loader, which does the rest.
"""

import os
import sys

from deploy.local.key import mongodb_uri
from deploy.local.settings import LocalSettings


def main() -> None:
    settings = LocalSettings.read()
    uri = mongodb_uri(settings)
    if uri is None:
        where = f"no stack runs in {settings.local_dir}"
        print(f"{where}: start one with `make up` in another terminal, or set MONGODB_URI", file=sys.stderr)
        sys.exit(2)
    command = [sys.executable, "-m", "loader", *sys.argv[1:]]
    # Replaces this process, so that signals reach the loader.
    os.execve(sys.executable, command, {**os.environ, "MONGODB_URI": uri})  # noqa: S606


if __name__ == "__main__":
    main()
