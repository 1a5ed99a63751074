"""Runs the local stack in the foreground: `python -m deploy.local up`."""

import argparse
import signal
import sys
import time

from pydantic import ValidationError

from deploy.local.children import NotReady
from deploy.local.settings import LocalSettings
from deploy.local.stack import Stack
from deploy.local.state import AlreadyRunning

TEND_EVERY = 0.1
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def tell(sentence: str) -> None:
    """Print at once, also into a pipe."""
    print(sentence, flush=True)


def up(settings: LocalSettings) -> int:
    """Run the stack until a signal comes; the exit code."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    stack = Stack(
        settings.local_dir,
        settings.gateway_port,
        mongodb_uri=settings.mongodb_uri,
        nats_url=settings.nats_url,
        tell=tell,
    )
    try:
        tell(f"starting; data and logs in {settings.local_dir}")
        stack.start()
        tell(_welcome(stack))
        while True:
            time.sleep(TEND_EVERY)
            stack.tend()
    except (NotReady, AlreadyRunning) as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        tell("\nstopping")
        return 0
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        stack.stop()


def _welcome(stack: Stack) -> str:
    return f"""
Catalog Exports is up.

  address   {stack.url}/api/v1    (reference: {stack.url}/docs)
  API key   {stack.api_key}    (also in {stack.folder / "api-key"})

Load a catalogue with `make load FILE=products.jsonl`, then try:

  curl -X POST {stack.url}/api/v1/exports/csv/products \\
    -H "Authorization: Bearer $(cat '{stack.folder / "api-key"}')" -H 'Content-Type: application/json' -d '{{}}'

Ctrl-C stops everything."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="The local stack.")
    parser.add_argument("command", choices=["up"], help="run everything in the foreground")
    parser.parse_args()
    try:
        settings = LocalSettings()
    except ValidationError as exc:
        for problem in exc.errors():
            print(f"setting {'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}", file=sys.stderr)
        return 2
    return up(settings)


if __name__ == "__main__":
    sys.exit(main())
