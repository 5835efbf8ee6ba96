import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TypedDict

import httpx2
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel

from ...health.probes import Probe
from ..dependencies import CurrentUser
from ..users import denied
from .authentication import Authentication, authenticate, authentication_of
from .provider import DISCOVERY, Provider
from .settings import OIDCSettings


class State(TypedDict):
    authentication: Authentication


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
    """Fetch the provider's keys and keep them fresh; raises InvalidSettings."""
    settings = OIDCSettings.load()
    # The description of the API tells where to sign in, and as which client its pages do.
    authenticate.describe(settings.issuer.rstrip("/") + DISCOVERY, settings.docs_client_id)
    async with httpx2.AsyncClient(timeout=settings.timeout) as client:
        provider = Provider(settings.issuer, client, settings.timeout)
        await provider.refresh()
        refreshing = asyncio.create_task(provider.keep_fresh())
        try:
            yield {"authentication": Authentication(settings, provider)}
        finally:
            refreshing.cancel()
            with suppress(asyncio.CancelledError):
                await refreshing


router = APIRouter(prefix="/auth", tags=["auth"], lifespan=lifespan)


class Me(BaseModel):
    """Who sent the request, as the provider says."""

    id: str
    scopes: list[str]
    roles: list[str]


@router.get("/me", responses=denied)
async def read_me(user: CurrentUser) -> Me:
    """The user that the token belongs to."""
    return Me(id=user.id, scopes=sorted(user.scopes), roles=sorted(user.roles))


async def has_keys(request: Request) -> None:
    """Raises if no token can be checked."""
    authentication_of(request).provider.known_keys()


probes = [Probe("openid provider", has_keys)]


def sign_in_origins(request: Request) -> list[str]:
    """Where the docs pages read about the provider, and where they get their tokens."""
    return authentication_of(request).provider.origins
