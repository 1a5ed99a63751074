"""Which process waits when there are not enough cores for all: in Kubernetes the requests for CPU say it, here this."""

import os
from contextlib import suppress
from pathlib import Path

NICENESS = 10
"""About a tenth of the share that others get while they want it."""


def give_way(pid: int) -> None:
    """Let a process that was just started, and what it starts, run when others leave a core to it.

    Most Linux desktops and servers weigh sessions, not processes (man 7 sched, "The autogroup feature"): each child is
    a session of its own, so its group has to be told, too.
    """
    os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    with suppress(OSError):  # no such feature here
        Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS))
