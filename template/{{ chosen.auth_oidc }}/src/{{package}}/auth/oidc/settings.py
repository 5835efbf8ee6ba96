from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from ...settings import CommaSeparated, EnvironmentSettings, split

# Asymmetric ones: a public key that is taken for a shared secret would let anybody sign.
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"
]
Algorithms = Annotated[list[Algorithm], NoDecode, BeforeValidator(split)]


class OIDCSettings(EnvironmentSettings, env_prefix="AUTH_"):
    """Which provider's tokens are accepted; times are in seconds."""

    issuer: str = Field(description="the address of the OpenID provider")
    audience: str = Field(description="what the provider calls this service in its tokens")
    required_scopes: CommaSeparated = Field(default=[])
    roles_claim: str | None = None
    algorithms: Algorithms = Field(default=["RS256", "PS256", "ES256"], min_length=1)
    token_types: CommaSeparated = Field(default=["at+jwt"], min_length=1)
    docs_client_id: str | None = None
    leeway: int = Field(default=30, ge=0, le=300)
    timeout: float = Field(default=5, gt=0)
