"""The jobs of this service: two to learn from, to be replaced by yours."""

import asyncio

import structlog
from celery.schedules import crontab
from sqlalchemy import func, select

from .jobs import job, job_session, report_progress
from .models import Job

logger = structlog.get_logger(__name__)


@job()
async def take_steps(steps: int) -> dict[str, int]:
    """Take so many steps, and tell of each."""
    for step in range(steps):
        await asyncio.sleep(0.1)
        report_progress({"done": step + 1, "total": steps})
    return {"done": steps, "total": steps}


@job(schedule=crontab())
async def measure_backlog() -> None:
    """Log every minute how many jobs wait for a worker."""
    async with job_session() as session:
        waiting = await session.scalar(
            select(func.count()).select_from(Job).where(Job.state == "queued")
        )
    logger.info("backlog", waiting=waiting)
