"""Runs a process: read settings, configure logs, build the service, wait for a signal, shut down in reverse order."""

import asyncio
import difflib
import gc
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import structlog
from pydantic import ValidationError

from services.chassis.faults import Unavailable, plain_message
from services.chassis.settings import ProcessSettings
from services.chassis.telemetry import logs
from services.chassis.telemetry.tracing_export import exporting

S = TypeVar("S", bound=ProcessSettings)

SIMILARITY = 0.9
"""Of a misspelt variable to a setting, from 0 to 1: WORKER_JOB to WORKER_JOBS has 0.95. Settings of other services, and
what Kubernetes adds to the environment, have less."""

GC_THRESHOLDS = (50_000, 20, 50)
"""Python's defaults (700, 10, 10) look at all objects so often that ten thousand waiting clients are answered in twice
the time. Almost everything is freed by its count of references anyway."""

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
            print(f"{service}: {where}: {plain_message(problem['type'], problem['msg'])}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    if old := outdated(os.environ, settings.renamed):
        for variable, name in old.items():
            print(f"{service}: setting {variable}: is now {name}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    logs.configure(service, level=settings.log_level, form=settings.log_format)
    for variable, similar in misspelt(os.environ, {name.upper() for name in type(settings).model_fields}).items():
        log.warning("setting_unknown", action="start", variable=variable, similar=similar)
    gc.set_threshold(*GC_THRESHOLDS)
    with exporting(service, settings):
        asyncio.run(_serve(settings, build))


def outdated(environment: Mapping[str, str], renamed: Mapping[str, str]) -> dict[str, str]:
    """The variables that have been renamed and are set under their old names only, with the new names.

    Both may be set, for a time in which old and new versions run.
    """
    return {old: new for old, new in renamed.items() if environment.get(old) and not environment.get(new)}


def misspelt(variables: Iterable[str], settings: Collection[str]) -> dict[str, list[str]]:
    """The variables that look like settings but are not, each with the settings it resembles."""
    found = {
        name: difflib.get_close_matches(name, settings, cutoff=SIMILARITY)
        for name in sorted(variables)
        if name not in settings and name == name.upper()
    }
    return {name: similar for name, similar in found.items() if similar}


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
