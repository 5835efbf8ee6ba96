"""The OpenID provider: where it signs in, and the keys that it signs with."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address
from time import monotonic
from urllib.parse import urlsplit

import httpx2
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key
from pydantic import BaseModel

from ...errors import ServiceError

logger = structlog.get_logger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
# Seconds. A key that the provider withdraws is accepted until the next refresh.
REFRESH, RETRY = 300.0, 5.0
# Tokens with unknown keys, which anybody can make, cause no more than one refresh in that time.
COOL_DOWN = 10.0


class Metadata(BaseModel):
    """What is needed of OpenID Connect Discovery 1.0, section 3."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str
    token_endpoint: str


class KeySet(BaseModel):
    """A JSON Web Key Set (RFC 7517, section 5)."""

    keys: list[dict[str, object]]


class ProviderUnavailable(ServiceError):
    """No token can be checked without the provider's keys, so none is accepted."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class Provider:
    """Keys are fetched in the background and kept: requests do not wait for the provider."""

    def __init__(
        self, issuer: str, client: httpx2.AsyncClient, cool_down: float = COOL_DOWN
    ) -> None:
        self.issuer = issuer
        self.metadata: Metadata | None = None
        self._client = client
        self._cool_down = cool_down
        self._keys: Mapping[str, Key] = {}
        self._tried_at = float("-inf")
        self._refreshing = asyncio.Lock()

    @property
    def keys(self) -> Mapping[str, Key]:
        """The keys, by their ids; raises ProviderUnavailable as long as there have been none."""
        if not self._keys:
            raise ProviderUnavailable("The OpenID provider does not answer.")
        return self._keys

    async def keep_fresh(self) -> None:
        """Refresh again and again, until cancelled."""
        while True:
            await asyncio.sleep(REFRESH if self._keys else RETRY)
            await self.refresh()

    async def refresh_for_unknown_key(self) -> None:
        """Refresh, unless that was tried just now."""
        async with self._refreshing:
            if monotonic() - self._tried_at >= self._cool_down:
                await self.refresh()

    async def refresh(self) -> None:
        """Fetch metadata and keys; if that fails, those that are known stay."""
        self._tried_at = monotonic()
        try:
            metadata = Metadata.model_validate_json(
                await self._get(self.issuer.rstrip("/") + DISCOVERY)
            )
            if metadata.issuer != self.issuer:
                raise ValueError(f"it calls itself {metadata.issuer}")
            keys = _usable(KeySet.model_validate_json(await self._get(metadata.jwks_uri)))
            if not keys:
                raise ValueError("it has no key to check signatures with")
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            logger.error("OpenID provider unavailable", AUTH_ISSUER=self.issuer, reason=str(error))
            return
        self.metadata, self._keys = metadata, keys

    async def _get(self, url: str) -> bytes:
        if not is_private(url):
            raise ValueError(f"{url} is not https, which only a loopback address need not be")
        response = await self._client.get(url)
        response.raise_for_status()
        return response.content


def is_private(url: str) -> bool:
    """Whether nobody can read or change what is fetched: by https, or from this machine."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        return parts.scheme == "https"
    host = parts.hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def origin(url: str) -> str:
    """Scheme, host and port (RFC 6454)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _usable(found: KeySet) -> dict[str, Key]:
    """The public keys for signatures, by their ids; others are for other uses, or too new."""
    keys: dict[str, Key] = {}
    for each in found.keys:
        key_id = each.get("kid")
        if not isinstance(key_id, str) or each.get("kty") == "oct" or each.get("use") == "enc":
            continue
        try:
            keys[key_id] = JWKRegistry.import_key(
                {name: value for name, value in each.items() if isinstance(value, str | list)}
            )
        except (JoseError, ValueError) as error:
            logger.warning("key of the OpenID provider ignored", key=key_id, reason=str(error))
    return keys
