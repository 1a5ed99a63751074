"""API keys of the local stack: `python -m deploy.local.key create|list|revoke`.

Finds the stack's MongoDB and runs the gateway's own command.
"""

import os
import subprocess
import sys

from deploy.local.processes.children import ROOT
from deploy.local.secrets import KEYS
from deploy.local.settings import LocalSettings
from deploy.local.state import running


def mongodb_uri(settings: LocalSettings) -> str | None:
    """MONGODB_URI, or the MongoDB of the stack that runs in LOCAL_DIR; None if there is neither."""
    if settings.mongodb_uri:
        return settings.mongodb_uri
    state = running(settings.local_dir)
    return state.mongodb_uri if state else None


def main() -> int:
    settings = LocalSettings.read()
    uri = mongodb_uri(settings)
    if uri is None:
        text = f"no stack is running in {settings.local_dir}: start one with `make up`, or set MONGODB_URI"
        print(text, file=sys.stderr)
        return 1
    return subprocess.run([*KEYS, *sys.argv[1:]], cwd=ROOT, env={**os.environ, "MONGODB_URI": uri}).returncode


if __name__ == "__main__":
    sys.exit(main())
