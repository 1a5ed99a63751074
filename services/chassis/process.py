"""The life of a process: configure logs, build everything, wait for a signal, take it down in reverse order."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import structlog
from pydantic import ValidationError

from services.chassis.faults import Unavailable
from services.chassis.settings import ProcessSettings
from services.chassis.telemetry import logs
from services.chassis.telemetry.tracing_export import exporting

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
            where = f"setting {variable}" if variable else "settings"  # what lies between several names them itself
            print(f"{service}: {where}: {problem['msg']}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    logs.configure(service, level=settings.log_level, form=settings.log_format)
    with exporting(service, settings):
        asyncio.run(_serve(settings, build))


async def _serve(settings: S, build: Callable[[S], AbstractAsyncContextManager[object]]) -> None:
    life = asyncio.create_task(_live(settings, build))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # The first signal ends it, also while it is being built; a second one must not cut the orderly end short.
        loop.add_signal_handler(number, lambda: life.cancelling() or life.cancel())
    try:
        await life
    except asyncio.CancelledError:
        pass
    except (OSError, Unavailable) as exc:
        log.error("cannot_start", action="start", reason=str(exc))  # noqa: TRY400  the reason says it all
        sys.exit(1)
    log.info("stopped", action="stop")


async def _live(settings: S, build: Callable[[S], AbstractAsyncContextManager[object]]) -> None:
    async with build(settings):
        log.info("started", action="start")
        try:
            await asyncio.Event().wait()
        finally:
            log.info("stopping", action="stop")
