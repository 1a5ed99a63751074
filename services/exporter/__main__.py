"""Runs the exporter: `python -m services.exporter`."""

from services.chassis.process import run
from services.exporter.app import build
from services.exporter.settings import ExporterSettings

run("exporter", ExporterSettings, build)
