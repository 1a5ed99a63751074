"""Generates the client `sync` from the client `aio`: `python -m deploy.sync_client [--check]`.

The two differ in a handful of words only. The package `sync` is committed; `--check` says whether it is current.
"""

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parent.parent / "catalog_exports" / "client"
SOURCE, TARGET = CLIENT / "aio", CLIENT / "sync"
BY_HAND = "runtime.py"
NOTE = "# Generated from ../aio by `make client`; do not edit.\n"
WORDS = (
    (r"\bawait |\basync (?=def|with|for)", ""),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\baclosing\b", "closing"),
    (r"\ba(close|read|iter_lines|iter_raw)\(", r"\1("),
    (r"\bAsync([A-Z])", r"\1"),
    (r"\bclient\.aio\b", "client.sync"),
    (r"\bfor asyncio\b", "for programs without asyncio"),
)


def generated(source: str) -> str:
    """The synchronous counterpart of a module."""
    for pattern, replacement in WORDS:
        source = re.sub(pattern, replacement, source)
    return _ruff("format", _ruff("check", NOTE + source, "--quiet", "--select=I", "--fix"))


def _ruff(command: str, source: str, *flags: str) -> str:
    words = [sys.executable, "-m", "ruff", command, *flags, "--stdin-filename", str(TARGET / "module.py"), "-"]
    return subprocess.run(words, input=source, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Exit code 1 if `--check` finds a module that is not current."""
    names = [path.name for path in sorted(SOURCE.glob("*.py")) if path.name != BY_HAND]
    wanted = {TARGET / name: generated((SOURCE / name).read_text()) for name in names}
    if "--check" not in sys.argv:
        for path, text in wanted.items():
            path.write_text(text)
        return 0
    stale = [path.name for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if stale:
        print(f"not current: {', '.join(stale)}; run `make client`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
