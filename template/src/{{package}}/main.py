"""The application: `create_app` puts it together, `app` is what a server loads."""

from importlib.metadata import metadata

from fastapi import APIRouter, FastAPI

from . import errors, middleware
from .docs import pages
from .health.router import router as health
from .lifespan import lifespan
from .modules import routers, tags
from .openapi import DescribedAPI, operation_id
from .settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application; without `settings` they are read from the environment."""
    settings = settings or Settings.load()
    package = metadata(__name__.partition(".")[0])
    app = DescribedAPI(
        title=package["Name"],
        version=package["Version"],
        summary=package["Summary"],
        openapi_tags=tags,
        generate_unique_id_function=operation_id,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs else None,
        lifespan=lifespan(settings),
        responses=errors.documented,
    )
    api = APIRouter(prefix="/api/v1", max_body_size=settings.max_body_size)
    for router in routers:
        api.include_router(router)
    # Your own routers: api.include_router(...)
    app.include_router(health)
    app.include_router(api)
    if settings.docs:
        pages.install(app)
    errors.install(app)
    middleware.install(app, settings)
    return app


app = create_app()
