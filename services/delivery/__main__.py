"""Runs the delivery service: `python -m services.delivery`."""

from services.chassis.process import run
from services.delivery.app import build
from services.delivery.settings import DeliverySettings

run("delivery", DeliverySettings, build)
