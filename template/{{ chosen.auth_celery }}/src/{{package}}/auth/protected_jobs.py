"""Jobs are for users: each sees their own, by the scopes `jobs:read` and `jobs:write`."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import select

from ..database.session import Session
from ..strict import Strict
from ..worker.models import Job
from ..worker.router import job_routes
from ..worker.schemas import JobRead, JobState, Viewer
from .dependencies import require
from .users import ADMIN, User, denied


async def reader(user: Annotated[User, require("jobs:read")]) -> Viewer:
    """Administrators see all jobs, also those of nobody."""
    return Viewer(user.id, sees_all=ADMIN in user.roles)


async def writer(user: Annotated[User, require("jobs:write")]) -> Viewer:
    """As a reader, and may revoke what they see."""
    return Viewer(user.id, sees_all=ADMIN in user.roles)


class JobListed(JobRead):
    """A job in the list of administrators."""

    task: str
    owner: str | None
    tries: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class JobQuery(Strict):
    """Which jobs to list, the newest first. `before` is the last id of the page before."""

    state: JobState | None = None
    task: str | None = Field(default=None, max_length=255)
    owner: str | None = Field(default=None, max_length=255)
    before: UUID | None = None
    limit: int = Field(default=50, ge=1, le=100)


class JobPage(BaseModel):
    items: list[JobListed]


router = APIRouter(responses=denied)
router.include_router(job_routes(reader, writer))


@router.get("/jobs", tags=["jobs"], dependencies=[require("jobs:read", role=ADMIN)])
async def list_jobs(query: Annotated[JobQuery, Query()], session: Session) -> JobPage:
    """All jobs, the newest first, for administrators."""
    filters: dict[str, Any] = query.model_dump(
        include={"state", "task", "owner"}, exclude_none=True
    )
    found = select(Job).filter_by(**filters).order_by(Job.id.desc()).limit(query.limit)
    if query.before is not None:
        found = found.where(Job.id < query.before)
    items = await session.scalars(found)
    return JobPage(items=[JobListed.model_validate(each) for each in items])
