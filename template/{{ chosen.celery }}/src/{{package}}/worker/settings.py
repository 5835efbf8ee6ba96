from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from ..settings import EnvironmentSettings, InvalidSettings

SERVICE = __name__.partition(".")[0]
BROKERS = ("filesystem", "redis", "rediss", "amqp", "amqps")
RESULTS = ("redis", "rediss", "db+sqlite", "db+postgresql")
OF_REDIS = {"redis", "rediss"}


def _parts(url: SecretStr, schemes: tuple[str, ...]) -> SplitResult:
    """The parts of a URL; errors never repeat it: it has a password."""
    try:
        parts = urlsplit(url.get_secret_value())
        readable = parts.port != 0
    except ValueError:
        readable = False
    if not readable or not parts.scheme:
        raise ValueError("it is no URL like redis://user:password@host:6379/0")
    if parts.scheme not in schemes:
        raise ValueError(f"{parts.scheme} is not supported; use one of {', '.join(schemes)}")
    return parts


def _broker(url: SecretStr) -> SecretStr:
    parts = _parts(url, BROKERS)
    if parts.scheme == "filesystem":
        if parts.netloc or not parts.path.strip("/"):
            raise ValueError("files need a folder here, as in filesystem:///data/queue")
    elif not parts.hostname:
        raise ValueError(f"it names no host, as in {parts.scheme}://host")
    if parts.scheme in OF_REDIS:
        _check_number(parts)
    return url


def _results(url: SecretStr) -> SecretStr:
    parts = _parts(url, RESULTS)
    if parts.scheme in OF_REDIS:
        _check_number(parts)
    if parts.scheme == "db+sqlite" and not parts.path.strip("/"):
        raise ValueError("SQLite needs a file here, as in db+sqlite:///data/results.db")
    if parts.scheme == "db+postgresql" and find_spec("psycopg") is None:
        raise ValueError("PostgreSQL needs its driver: uv add 'psycopg[binary]'")
    return url


def _check_number(parts: SplitResult) -> None:
    if not (parts.path.strip("/") or "0").isdecimal():
        raise ValueError("Redis numbers its databases, as in redis://host/0")


def make_folder(folder: Path, variable: str) -> Path:
    """`folder`, made if it is not there; raises InvalidSettings, which names its `variable`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSettings(f"CELERY_{variable}: {folder}: {error.strerror}") from None
    return folder


class CelerySettings(EnvironmentSettings, env_prefix="CELERY_"):
    """Where jobs wait, what they may take, and where results are kept; times are in seconds."""

    broker_url: Annotated[SecretStr, AfterValidator(_broker)] = SecretStr(
        "filesystem:///data/queue"
    )
    # Services that share a broker do not get each other's tasks.
    task_default_queue: str = SERVICE
    result_backend: Annotated[SecretStr, AfterValidator(_results)] | None = None
    result_expires: int = Field(default=86_400, gt=0)
    broker_connection_timeout: float = Field(default=2, gt=0)
    task_soft_time_limit: float = Field(default=300, gt=0)
    task_time_limit: float = Field(default=330, gt=0)
    state_folder: Path = Path("data")

    @field_validator("task_time_limit")
    @classmethod
    def _above_the_soft_one(cls, limit: float, info: ValidationInfo) -> float:
        if limit <= info.data.get("task_soft_time_limit", 0):
            raise ValueError("it is not above CELERY_TASK_SOFT_TIME_LIMIT, which gives a warning")
        return limit

    @property
    def broker(self) -> SplitResult:
        """The parts of the broker's URL."""
        return urlsplit(self.broker_url.get_secret_value())

    @property
    def results_url(self) -> str:
        """Where results are kept unless one is named: on a broker that can, else in a file."""
        if self.result_backend is not None:
            return self.result_backend.get_secret_value()
        if self.broker.scheme in OF_REDIS:
            return self.broker_url.get_secret_value()
        return f"db+sqlite:///{self.state_folder / 'results.db'}"
