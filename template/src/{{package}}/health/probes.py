import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from fastapi import Request

from ..errors import ServiceError

logger = structlog.get_logger(__name__)

REASON = 500  # characters


@dataclass(frozen=True)
class Probe:
    """Asks one thing that the service depends on; `check` raises if it is not ready."""

    name: str
    check: Callable[[Request], Awaitable[None]]
    seconds: float = 2.0


class NotReady(ServiceError):
    """Something that the service depends on is not ready."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


async def check(probes: Sequence[Probe], request: Request) -> None:
    """Ask all at once, each within its time; raises NotReady, which names those that failed."""
    answers = await asyncio.gather(*(_reason(probe, request) for probe in probes))
    reasons = {probe.name: why for probe, why in zip(probes, answers, strict=True) if why}
    # Orchestrators ask often, so what has changed is logged.
    before: set[str] = getattr(request.app.state, "failing", set())
    request.app.state.failing = set(reasons)
    for name in reasons.keys() - before:
        logger.warning("probe failed", probe=name, reason=reasons[name])
    for name in before - reasons.keys():
        logger.info("probe succeeded again", probe=name)
    if reasons:
        raise NotReady(f"Not ready: {', '.join(reasons)}.", failing=list(reasons))


async def _reason(probe: Probe, request: Request) -> str | None:
    """Why it is not ready."""
    try:
        async with asyncio.timeout(probe.seconds):
            await probe.check(request)
    except Exception as error:  # whatever it is, the answer is no
        return f"{type(error).__name__}: {error}".splitlines()[0][:REASON]
    return None
