"""Runs the scheduler: `python -m services.scheduler`."""

from services.chassis.process import run
from services.scheduler.app import build
from services.scheduler.settings import SchedulerSettings

run("scheduler", SchedulerSettings, build)
