"""Opens the database with the service; there are no routes."""

from fastapi import APIRouter

from .session import lifespan

router = APIRouter(lifespan=lifespan)
