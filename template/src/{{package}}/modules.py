"""The parts of this service, in the order in which they start."""

from fastapi import APIRouter

from .health.probes import Probe

routers: list[APIRouter] = []
probes: list[Probe] = []
