"""Converts schedules and runs to and from MongoDB documents; the only module that knows the stored fields' names."""

from dataclasses import fields

from services.chassis.mongo import Document, load
from services.scheduler.cron.misfire import Policy
from services.scheduler.schedules.schedule import MISSED, Overlap, Run, RunState, Schedule, Timing

TIMING_FIELDS = tuple(f.name for f in fields(Timing) if f.name != "id")
_RUN = tuple(f.name for f in fields(Run) if f.name not in ("id", "state"))


def schedule_document(schedule: Timing) -> Document:
    """A schedule, or its timing, as stored; `due_at` is present only while it has a next fire time."""
    document: Document = {f.name: getattr(schedule, f.name) for f in fields(schedule) if f.name != "id"}
    document |= {"_id": schedule.id, "misfire": schedule.misfire.value}
    if isinstance(schedule, Schedule):
        document["overlap"] = schedule.overlap.value
    if schedule.due_at is not None:
        document["due_at"] = schedule.due_at
    return document


def schedule_from(document: Document) -> Schedule:
    """The schedule in a document."""
    policies = {"misfire": Policy(document["misfire"]), "overlap": Overlap(document["overlap"])}
    return load(Schedule, document, id=document["_id"], **policies)


def timing_from(document: Document) -> Timing:
    """The timing of the schedule in a document."""
    return load(Timing, document, id=document["_id"], misfire=Policy(document["misfire"]))


def run_document(run: Run) -> Document:
    """A run as stored; `due_at` is present while the run has not ended, `is_unreported` while a missed one is news."""
    document: Document = {name: getattr(run, name) for name in _RUN}
    document |= {"_id": run.id, "state": run.state.value}
    if run.state is RunState.WAITING:
        document["due_at"] = run.created_at
    if run.state is RunState.SKIPPED and run.reason == MISSED:
        document["is_unreported"] = True
    return document


def run_from(document: Document) -> Run:
    """The run in a document."""
    return load(Run, document, id=document["_id"], state=RunState(document["state"]))
