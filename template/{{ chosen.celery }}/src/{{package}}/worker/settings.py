import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from ..settings import EnvironmentSettings

SERVICE = __name__.partition(".")[0]
HOST = r"([^/]*@)?(\[[\da-f:]+\]|[^/@:\[\]]+)(:[1-9]\d*)?"
BROKER = re.compile(rf"filesystem:///+[^/].*|rediss?://{HOST}(/\d*)?(\?.*)?|amqps?://{HOST}(/.*)?")
FORMS = "filesystem:///FOLDER, redis://HOST/0, rediss://HOST/0, amqp://HOST// and amqps://HOST//"


def _check(url: SecretStr) -> SecretStr:
    if not BROKER.fullmatch(url.get_secret_value()):  # it is not repeated: it has a password
        raise ValueError(f"it does not look like one of {FORMS}")
    return url


class CelerySettings(EnvironmentSettings, env_prefix="CELERY_"):
    """Where messages wait, and for how long jobs are kept, in seconds."""

    needed_in_production = ("broker_url",)
    broker_url: Annotated[SecretStr, AfterValidator(_check)] = SecretStr("filesystem:///data/queue")
    task_default_queue: str = SERVICE
    result_expires: int = Field(default=86_400, gt=0)
    grace: float = Field(default=10, gt=0)
    lease: float = Field(default=30, gt=0)

    @property
    def broker(self) -> SplitResult:
        """The parts of the broker's URL."""
        return urlsplit(self.broker_url.get_secret_value())
