from string import hexdigits
from typing import Annotated

from limits import RateLimitItem, parse_many
from pydantic import AfterValidator, Field, SecretStr

from ...settings import CommaSeparated, EnvironmentSettings

SERVICE = __name__.partition(".")[0]
# How long 256 random bits are; and what they never have, fewer than 12 different characters.
BASE64_LENGTH, HEX_LENGTH, FEWEST = 43, 64, 12
MAKE_ONE = "make one with: uv run poe secret"


def _strong(secret: str) -> str:
    length = HEX_LENGTH if set(secret) <= set(hexdigits) else BASE64_LENGTH
    if len(secret) < length or len(set(secret)) < FEWEST:
        raise ValueError("it is too weak to sign tokens")
    return secret


def _strong_secret(secret: SecretStr) -> SecretStr:
    _strong(secret.get_secret_value())
    return secret


def _all_strong(secrets: list[str]) -> list[str]:
    return [_strong(secret) for secret in secrets]


def _limit(text: str) -> str:
    if any(each.amount < 1 for each in parse_many(text)):
        raise ValueError("it lets nobody in")
    return text


Limit = Annotated[str, AfterValidator(_limit)]


class AccountsSettings(EnvironmentSettings, env_prefix="AUTH_"):
    """How accounts are kept and how long tokens live."""

    secret: Annotated[SecretStr, AfterValidator(_strong_secret)] = Field(description=MAKE_ONE)
    previous_secrets: Annotated[CommaSeparated, AfterValidator(_all_strong)] = Field(
        default=[], repr=False, description=MAKE_ONE
    )
    issuer: str = SERVICE
    audience: str = SERVICE
    access_token_minutes: int = Field(default=10, gt=0, le=60)
    session_days: int = Field(default=30, gt=0, le=365)
    registration: bool = True
    new_account_scopes: CommaSeparated = Field(default=[])
    hashes_at_once: int = Field(default=4, gt=0)
    limits_url: SecretStr = SecretStr("memory://")
    account_limit: Limit = Field(default="10/minute", description="write it as 10/minute")
    client_limit: Limit = Field(default="60/minute", description="write it as 60/minute")

    @property
    def account_limits(self) -> list[RateLimitItem]:
        """How often one account may be tried."""
        return parse_many(self.account_limit)

    @property
    def client_limits(self) -> list[RateLimitItem]:
        """How often one client may try."""
        return parse_many(self.client_limit)
