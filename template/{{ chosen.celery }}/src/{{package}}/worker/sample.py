"""The route of the sample job, to be deleted with it, its test and its line in router.py."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from ..database.session import Session
from ..strict import Strict
from . import tasks
from .jobs import enqueue
from .schemas import GetViewer, JobCreated, Viewer


class Steps(Strict):
    steps: int = Field(ge=1, le=1000, strict=True)


def add_sample(router: APIRouter, writer: GetViewer) -> None:
    @router.post("", status_code=HTTPStatus.ACCEPTED)
    async def create_job(
        work: Steps, session: Session, user: Annotated[Viewer, Depends(writer)], answer: Response
    ) -> JobCreated:
        job_id = await enqueue(session, tasks.take_steps, {"steps": work.steps}, owner=user.id)
        answer.headers["Location"] = f"/api/v1/jobs/{job_id}"
        return JobCreated(id=job_id)
