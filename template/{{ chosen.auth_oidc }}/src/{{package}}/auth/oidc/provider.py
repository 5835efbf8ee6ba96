"""The OpenID provider: where it signs in, and the keys that it signs with."""

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address
from time import monotonic
from urllib.parse import urlsplit

import httpx2
import structlog
from joserfc.jwk import JWKRegistry, Key, RSAKey
from pydantic import BaseModel

from ...errors import ServiceError

logger = structlog.get_logger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
# Seconds. A key that the provider withdraws is accepted until the next refresh.
REFRESH, RETRY = 300.0, 5.0
# Tokens with unknown keys, which anybody can make, cause no more than one refresh in that time.
COOL_DOWN = 10.0
LARGEST_ANSWER = 1_048_576  # bytes
SMALLEST_RSA_KEY = 2048  # bits: NIST SP 800-131A


class Metadata(BaseModel):
    """What is needed of OpenID Connect Discovery 1.0, section 3."""

    issuer: str
    jwks_uri: str
    token_endpoint: str


class KeySet(BaseModel):
    """A JSON Web Key Set (RFC 7517, section 5), of which any member may be a new kind of key."""

    keys: list[object]


class ProviderUnavailable(ServiceError):
    """No token can be checked without the provider's keys, so none is accepted."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class Provider:
    """Keys are fetched in the background and kept: requests do not wait for the provider.

    `timeout`, for all that a refresh fetches, and `cool_down` are in seconds.
    """

    def __init__(
        self,
        issuer: str,
        client: httpx2.AsyncClient,
        timeout: float = 5,
        cool_down: float = COOL_DOWN,
    ) -> None:
        self.issuer = issuer
        self.origins: list[str] = []
        self._client = client
        self._timeout = timeout
        self._cool_down = cool_down
        self._keys: Mapping[str, Key] = {}
        self._tried_at = float("-inf")
        self._refreshing = asyncio.Lock()

    def known_keys(self) -> Mapping[str, Key]:
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
        try:
            async with asyncio.timeout(self._timeout):
                await self._fetch()
        except Exception as error:  # a provider may answer anything, and must not stop the service
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            logger.error("OpenID provider unavailable", AUTH_ISSUER=self.issuer, reason=reason)
        finally:
            self._tried_at = monotonic()

    async def _fetch(self) -> None:
        url = self.issuer.rstrip("/") + DISCOVERY
        metadata = Metadata.model_validate_json(await self._get(url))
        if metadata.issuer != self.issuer:
            raise ValueError(f"it calls itself {metadata.issuer}")
        keys = _usable(KeySet.model_validate_json(await self._get(metadata.jwks_uri)))
        if not keys:
            raise ValueError("it has no key to check signatures with")
        self.origins = sorted({origin(self.issuer), origin(metadata.token_endpoint)})
        self._keys = keys

    async def _get(self, url: str) -> bytes:
        origin(url)
        # Not compressed, so that what is read is no larger than what is sent.
        headers = {"Accept-Encoding": "identity"}
        async with self._client.stream("GET", url, headers=headers) as response:
            response.raise_for_status()
            if "Content-Encoding" in response.headers:
                raise ValueError(f"{url} compresses its answer, unasked")
            content = b""
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > LARGEST_ANSWER:
                    raise ValueError(f"{url} answers more than {LARGEST_ANSWER} bytes")
            return content


def origin(url: str) -> str:
    """Scheme, host and port of `url` (RFC 6454).

    Raises ValueError if somebody could read or change what is fetched from there: it takes https,
    or this machine. Content-Security-Policy gets it, so there is nothing in it but a plain host.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError(f"{url} is not https, which only a loopback address need not be")
    if not re.fullmatch(r"[a-z0-9.-]+|[0-9a-f:.]+", host):
        raise ValueError(f"{url} has no plain host")
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _usable(found: KeySet) -> dict[str, Key]:
    """The public keys for signatures, by their ids; others are for other uses, or too new."""
    keys: dict[str, Key] = {}
    for each in found.keys:
        if not isinstance(each, dict) or each.get("kty") == "oct" or each.get("use") == "enc":
            continue
        try:
            key = JWKRegistry.import_key(each)
            if isinstance(key, RSAKey) and key.raw_value.key_size < SMALLEST_RSA_KEY:
                raise ValueError("it is too small")
            keys[str(each["kid"])] = key
        except Exception as error:  # one key that is none must not cost the others
            reason = f"{type(error).__name__}: {error}"
            logger.warning("key of the OpenID provider ignored", reason=reason)
    return keys
