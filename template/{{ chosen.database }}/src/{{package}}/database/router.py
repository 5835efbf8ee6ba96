"""Opens the database with the service; there are no routes."""

from fastapi import APIRouter

from . import probes, session

router = APIRouter(lifespan=session.lifespan)
router.include_router(APIRouter(lifespan=probes.lifespan))
