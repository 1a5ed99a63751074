"""The result as Markdown: what was accepted and what came of it, and how soon work went on after each fault."""

import statistics
from collections import defaultdict
from collections.abc import Sequence

from tests.torture.account import FINDINGS, Account
from tests.torture.injector import Caused

MAX_FINDINGS = 50


def account_table(account: Account) -> str:
    """Counts and findings."""
    rows = [f"| {name} | {number:,} |" for name, number in sorted(account.counts.items())]
    kinds = [*FINDINGS, *sorted({one.kind for one in account.findings} - set(FINDINGS))]
    rows += [f"| **{kind}** | **{sum(one.kind == kind for one in account.findings):,}** |" for kind in kinds]
    return "\n".join(["| counted from outside | number |", "|---|---:|", *rows])


def recovery_table(account: Account, caused: Sequence[Caused]) -> str:
    """Seconds from each fault until a job requested after it was complete."""
    seconds: dict[str, list[float]] = defaultdict(list)
    numbers: dict[str, int] = defaultdict(int)
    for one in caused:
        numbers[one.fault.kind] += 1
        if (found := account.recovery(one.at)) is not None:
            seconds[one.fault.kind].append(found)
    rows = [_row(kind, numbers[kind], seconds[kind]) for kind in sorted(numbers, key=lambda kind: -numbers[kind])]
    rows.append(_row("**all**", len(caused), [one for some in seconds.values() for one in some]))
    head = ["| fault | number | median | 95 % | longest |", "|---|---:|---:|---:|---:|"]
    return "\n".join([*head, *rows])


def findings(account: Account) -> str:
    """The first findings of each kind, with their facts."""
    lines = [f"{one.kind}: {one.text}" for one in account.findings]
    more = len(lines) - MAX_FINDINGS
    return "\n".join([*lines[:MAX_FINDINGS], *([f"and {more} more"] if more > 0 else [])])


def _row(name: str, number: int, seconds: Sequence[float]) -> str:
    if not seconds:
        return f"| {name} | {number} | | | |"
    p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    return f"| {name} | {number} | {statistics.median(seconds):.1f} | {p95:.1f} | {max(seconds):.1f} |"
