"""Runs the gateway: `python -m services.gateway`."""

from services.chassis.process import run
from services.gateway.app import build
from services.gateway.settings import GatewaySettings

run("gateway", GatewaySettings, build)
