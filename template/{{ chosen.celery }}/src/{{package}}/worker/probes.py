from uuid import uuid4

from fastapi import Request

from ..health.probes import Probe
from .jobs import Jobs


async def takes_messages(request: Request) -> None:
    """Raises if the broker does not answer."""
    jobs: Jobs = request.state.jobs
    await jobs.reach()


async def keeps_results(request: Request) -> None:
    """Raises if results can be neither kept nor read."""
    jobs: Jobs = request.state.jobs
    await jobs.call(jobs.app.backend.get_state, str(uuid4()))


probes = [Probe("broker", takes_messages), Probe("results", keeps_results)]
