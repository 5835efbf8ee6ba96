from pathlib import Path
from typing import Literal

from ..settings import EnvironmentSettings


class MetricsSettings(EnvironmentSettings, env_prefix="METRICS_"):
    window: Literal["minute", "hour"] = "minute"
    store: Path = Path("counts.json")
