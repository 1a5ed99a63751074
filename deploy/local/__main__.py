"""Runs the local stack in the foreground: `python -m deploy.local up`."""

import argparse
import contextlib
import sys
import time

from deploy.local.processes.children import NotReady
from deploy.local.processes.signals import interruptible, raise_if_stopped
from deploy.local.settings import LocalSettings
from deploy.local.stack import Stack
from deploy.local.state import AlreadyRunning

CHECK_SECONDS = 0.1


def report(message: str) -> None:
    """Print without buffering. A closed pipe is ignored, so that the children are still stopped."""
    with contextlib.suppress(OSError):
        print(message, flush=True)


def up(settings: LocalSettings) -> int:
    """Run the stack until a signal arrives; returns the exit code."""
    stack = Stack(
        settings.local_dir,
        settings.gateway_port,
        mongodb_uri=settings.mongodb_uri,
        nats_url=settings.nats_url,
        report=report,
    )
    try:
        interruptible()
        report(f"starting; data and logs are in {settings.local_dir}")
        stack.start()
        report(_welcome(stack))
        while True:
            time.sleep(CHECK_SECONDS)
            raise_if_stopped()
            stack.check()
    except (NotReady, AlreadyRunning, OSError) as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        report("\nstopping")
        return 0
    finally:
        stack.stop()


def _welcome(stack: Stack) -> str:
    return f"""
Catalog Exports is up.

  address   {stack.url}/api/v1    (reference: {stack.url}/docs)
  API key   {stack.api_key}    (also in {stack.folder / "api-key"})

Load a catalogue with `make load FILE=products.jsonl`, then try the command line (docs/cli.md) or curl:

  export CATALOG_EXPORTS_URL={stack.url} CATALOG_EXPORTS_KEY=$(cat '{stack.folder / "api-key"}')
  .venv/bin/catalog-exports export csv

  curl -X POST {stack.url}/api/v1/exports/csv/products \\
    -H "Authorization: Bearer $(cat '{stack.folder / "api-key"}')" -H 'Content-Type: application/json' -d '{{}}'

To deliver files and to run exports on a schedule, see docs/deliveries.md and docs/schedules.md.
Ctrl-C stops everything."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="The local stack.")
    parser.add_argument("command", choices=["up"], help="run everything in the foreground")
    parser.parse_args()
    return up(LocalSettings.read())


if __name__ == "__main__":
    sys.exit(main())
