import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from fastapi import Request

from ..errors import ServiceError

logger = structlog.get_logger(__name__)


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
    answers = await asyncio.gather(*(_answers(probe, request) for probe in probes))
    failing = [probe.name for probe, ok in zip(probes, answers, strict=True) if not ok]
    if failing:
        raise NotReady(f"Not ready: {', '.join(failing)}.", failing=failing)


async def _answers(probe: Probe, request: Request) -> bool:
    try:
        async with asyncio.timeout(probe.seconds):
            await probe.check(request)
    except Exception:  # whatever it is, the answer is no; the log has the cause
        logger.warning("probe failed", probe=probe.name, exc_info=True)
        return False
    return True
