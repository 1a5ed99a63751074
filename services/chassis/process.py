"""Runs a process: read settings, configure logs, build the service, wait for a signal, shut down in reverse order."""

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
    """Read the settings, run what `build` opens until a signal arrives, and exit.

    The exit code is 2 for an invalid setting, whose variable is named, and 1 when a part cannot start.
    """
    try:
        settings = read()
    except ValidationError as exc:
        for problem in exc.errors():
            variable = "_".join(str(part) for part in problem["loc"]).upper()
            where = (
                f"setting {variable}" if variable else "settings"
            )  # a rule about several variables names them itself
            print(f"{service}: {where}: {problem['msg']}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    logs.configure(service, level=settings.log_level, form=settings.log_format)
    with exporting(service, settings):
        asyncio.run(_serve(settings, build))


async def _serve(settings: S, build: Callable[[S], AbstractAsyncContextManager[object]]) -> None:
    life = asyncio.create_task(_live(settings, build))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # The first signal stops the process, even while it starts; a second one must not interrupt the shutdown.
        loop.add_signal_handler(number, lambda: life.cancelling() or life.cancel())
    try:
        await life
    except asyncio.CancelledError:
        pass
    except (OSError, Unavailable) as exc:
        log.error("cannot_start", action="start", reason=str(exc))  # noqa: TRY400  the reason is enough
        sys.exit(1)
    log.info("stopped", action="stop")


async def _live(settings: S, build: Callable[[S], AbstractAsyncContextManager[object]]) -> None:
    async with build(settings):
        log.info("started", action="start")
        try:
            await asyncio.Event().wait()
        finally:
            log.info("stopping", action="stop")
