"""CPU priority of the worker when there are too few cores; in Kubernetes the CPU requests do this."""

import os
from contextlib import suppress
from pathlib import Path

NICENESS = 10
"""About a tenth of the CPU share of the other processes."""


def give_way(pid: int) -> None:
    """Lower the priority of a process that was just started, and of its children.

    Most Linux systems schedule sessions rather than processes (man 7 sched, "The autogroup feature"). Each child is its
    own session, so the priority of its group has to be lowered too.
    """
    os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    with suppress(OSError):  # no autogroup on this system
        Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS))
