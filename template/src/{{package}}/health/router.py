from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from .. import modules
from .probes import check

router = APIRouter(prefix="/health", tags=["health"])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


@router.get("/live", summary="Does the process answer")
async def live() -> Health:
    """200 as long as the process answers, whatever else is down."""
    return Health()


@router.get("/ready", summary="Do the services behind it answer")
async def ready(request: Request) -> Health:
    """200 if they all do; 503 names the one that does not."""
    await check(modules.probes, request)
    return Health()
