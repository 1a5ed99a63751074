"""Schedules and runs to and from their MongoDB documents; the only place that knows the fields' names there."""

from dataclasses import fields

from services.chassis.mongo import Document
from services.scheduler.cron.misfire import Policy
from services.scheduler.schedules.schedule import Overlap, Run, RunState, Schedule

_SCHEDULE = tuple(f.name for f in fields(Schedule) if f.name not in ("id", "misfire", "overlap"))
_RUN = tuple(f.name for f in fields(Run) if f.name not in ("id", "state"))


def schedule_document(schedule: Schedule) -> Document:
    """A schedule as stored; `due_at` is there only while it has to be looked at."""
    document: Document = {name: getattr(schedule, name) for name in _SCHEDULE}
    document |= {"_id": schedule.id, "misfire": schedule.misfire.value, "overlap": schedule.overlap.value}
    if schedule.due_at is not None:
        document["due_at"] = schedule.due_at
    return document


def schedule_of(document: Document) -> Schedule:
    """The schedule in a document."""
    return Schedule(
        id=document["_id"],
        misfire=Policy(document["misfire"]),
        overlap=Overlap(document["overlap"]),
        **{name: document[name] for name in _SCHEDULE},
    )


def run_document(run: Run) -> Document:
    """A run as stored; `due_at` is there while something is to be done about it."""
    document: Document = {name: getattr(run, name) for name in _RUN}
    document |= {"_id": run.id, "state": run.state.value}
    if run.state is RunState.WAITING:
        document["due_at"] = run.created_at
    return document


def run_of(document: Document) -> Run:
    """The run in a document."""
    known = {name: document[name] for name in _RUN if name in document}
    return Run(id=document["_id"], state=RunState(document["state"]), **known)
