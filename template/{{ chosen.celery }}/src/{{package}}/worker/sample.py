"""The route of the sample job, to be deleted with it, its test and its line in router.py."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
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
        work: Steps,
        session: Session,
        user: Annotated[Viewer, Depends(writer)],
        request: Request,
        answer: Response,
    ) -> JobCreated:
        """Start the sample job; `Location` is where to ask for it."""
        job_id = await enqueue(session, tasks.take_steps, {"steps": work.steps}, owner=user.id)
        answer.headers["Location"] = request.url_for("read_job", job_id=job_id).path
        return JobCreated(id=job_id)
