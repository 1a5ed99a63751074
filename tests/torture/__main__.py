"""Runs the torture: `python -m tests.torture --faults 1000 --seed 7`."""

import argparse
import random
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.processes.children import NotReady
from deploy.local.processes.signals import interruptible
from tests.torture import report
from tests.torture.disk import enter_namespace
from tests.torture.run import Size, tortured

INTERRUPTED = 130
FAULTS = 100


def say(message: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {message}", flush=True)


def main() -> int:
    """Exit code 0 if every promise was kept, 1 if not, 2 if the stack did not start, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description="Faults, and the account of them.")
    parser.add_argument("--faults", type=int, default=FAULTS)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--replicas", type=int, default=2, help="processes of each service")
    asked = parser.parse_args()
    enter_namespace()
    seed = random.SystemRandom().randrange(1_000_000) if asked.seed is None else asked.seed
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    say(f"seed {seed}; logs are in {folder / 'logs'}")
    started = time.monotonic()
    try:
        interruptible()
        result = tortured(folder, asked.faults, seed, Size(replicas=asked.replicas), say)
    except KeyboardInterrupt:
        print("interrupted; everything is stopped", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        return INTERRUPTED
    except (NotReady, OSError) as exc:
        print(f"{exc}\nthe logs are kept in {folder / 'logs'}", file=sys.stderr)
        return 2
    minutes = (time.monotonic() - started) / 60
    skipped = {fault.kind for fault in result.skipped}
    print(f"\n{len(result.caused)} faults, seed {seed}, {minutes:.1f} minutes", end="")
    print(f"; not possible on this machine: {', '.join(sorted(skipped))}" if skipped else "")
    print(f"\n{report.account_table(result.account)}\n\n{report.recovery_table(result.account, result.caused)}\n")
    if result.account.findings:
        print(f"{report.findings(result.account)}\n\nseed {seed}; the logs are kept in {folder / 'logs'}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
