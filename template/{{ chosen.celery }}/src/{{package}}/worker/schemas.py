from typing import Literal
from uuid import UUID

from pydantic import BaseModel, JsonValue

from ..errors import Problem
from .tasks import Done

JobState = Literal["queued", "running", "succeeded", "failed", "revoked"]
ENDED: frozenset[JobState] = frozenset({"succeeded", "failed", "revoked"})


class JobCreated(BaseModel):
    """A job that will run."""

    id: UUID
    state: JobState


class JobRead(JobCreated):
    """A job, as far as it is."""

    progress: Done | None = None
    result: JsonValue = None
    problem: Problem | None = None
