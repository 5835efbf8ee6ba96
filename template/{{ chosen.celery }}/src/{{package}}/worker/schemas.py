from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, JsonValue

from ..errors import Problem

JobState = Literal["queued", "running", "succeeded", "failed", "revoked"]


@dataclass(frozen=True)
class Viewer:
    """Who asks for jobs: they see their own, or all."""

    id: str | None = None
    sees_all: bool = True


GetViewer = Callable[..., Awaitable[Viewer]]


class JobCreated(BaseModel, from_attributes=True):
    id: UUID
    state: JobState = "queued"


class JobRead(JobCreated):
    """A job, as far as it is."""

    progress: JsonValue = None
    result: JsonValue = None
    problem: Problem | None = None
