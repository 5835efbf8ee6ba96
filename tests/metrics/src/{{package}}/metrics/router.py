from fastapi import APIRouter

from .settings import MetricsSettings

router = APIRouter(prefix="/metrics", tags=["metrics"])


@router.get("")
async def read_metrics() -> dict[str, int]:
    return {MetricsSettings.load().window: 0}
