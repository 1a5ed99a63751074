"""The life of a process: configure logs, build everything, wait for a signal, take it down in reverse order."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import structlog
from pydantic import ValidationError

from services.chassis import logs
from services.chassis.settings import ProcessSettings

S = TypeVar("S", bound=ProcessSettings)

log = structlog.get_logger()


def run(service: str, read: Callable[[], S], build: Callable[[S], AbstractAsyncContextManager[object]]) -> None:
    """Read the settings, run what `build` makes of them until a signal comes, and exit.

    A wrong setting exits with 2 and names the variable; a part that cannot start exits with 1.
    """
    try:
        settings = read()
    except ValidationError as exc:
        for problem in exc.errors():
            variable = "_".join(str(part) for part in problem["loc"]).upper()
            print(f"{service}: setting {variable}: {problem['msg']}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    logs.configure(service, level=settings.log_level, form=settings.log_format)
    asyncio.run(_serve(settings, build))


async def _serve(settings: S, build: Callable[[S], AbstractAsyncContextManager[object]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with build(settings):
            log.info("started", action="start")
            await stop.wait()
            log.info("stopping", action="stop")
    except OSError as exc:
        log.error("cannot_start", action="start", reason=str(exc))  # noqa: TRY400  the reason says it all
        sys.exit(1)
    log.info("stopped", action="stop")
