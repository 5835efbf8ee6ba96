"""How often somebody may try, by account and by client."""

import math
from collections.abc import Iterable
from hashlib import sha256
from http import HTTPStatus
from ipaddress import IPv4Address, ip_address, ip_network
from time import time

import structlog
from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import ConfigurationError, StorageError
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from ...errors import ServiceError
from ...settings import InvalidSettings

logger = structlog.get_logger(__name__)

# Whoever has one address of IPv6 usually has all of such a network.
IPV6_PREFIX = 64
REDIS_SECONDS = 2.0
UNREADABLE = (ConfigurationError, ValueError)


class TooManyAttempts(ServiceError):
    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many attempts; try again in {seconds} seconds.")
        self.headers["Retry-After"] = str(seconds)


class LimitsUnavailable(ServiceError):
    """Where attempts cannot be counted, none is allowed."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class Limiter:
    """Counts attempts in a moving window: `memory://` in this process, `redis://` for all."""

    def __init__(self, url: SecretStr) -> None:
        """Raises InvalidSettings; nothing connects yet."""
        self._storage = _storage(url.get_secret_value())
        self._window = MovingWindowRateLimiter(self._storage)

    async def check(self) -> None:
        """Raises if the storage does not answer."""
        if not await self._storage.check():
            raise LimitsUnavailable("Attempts cannot be counted just now.")

    async def hit(self, limits: Iterable[RateLimitItem], *subject: str) -> None:
        """Count an attempt on `subject`; raises TooManyAttempts or LimitsUnavailable."""
        try:
            for limit in limits:
                if not await self._window.hit(limit, *subject):
                    logger.warning("too many attempts", subject=subject)
                    reset_at, _ = await self._window.get_window_stats(limit, *subject)
                    raise TooManyAttempts(max(1, math.ceil(reset_at - time())))
        except StorageError as error:
            logger.warning("limits unavailable", exc_info=True)
            raise LimitsUnavailable("Attempts cannot be counted just now.") from error


def _storage(address: str) -> MemoryStorage | RedisStorage:
    if address == "memory://":
        return MemoryStorage()
    if not address.startswith(("redis://", "rediss://")):
        raise InvalidSettings("AUTH_LIMITS_URL: use memory:// or redis://host/0")
    try:
        # redis-py waits for ever unless told otherwise, and its errors would repeat the password.
        return RedisStorage(
            f"async+{address}",
            wrap_exceptions=True,
            implementation="redispy",
            socket_connect_timeout=REDIS_SECONDS,
            socket_timeout=REDIS_SECONDS,
        )
    except UNREADABLE:
        raise InvalidSettings("AUTH_LIMITS_URL: it is no URL like redis://host:6379/0") from None


async def client_of(connection: HTTPConnection) -> str:
    """Who sent a request, as far as the server can tell: by its address.

    Behind a proxy that is the proxy's, unless APP_TRUSTED_PROXIES names it.
    """
    host = connection.client.host if connection.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ip_network((address, IPV6_PREFIX), strict=False))


def account_of(email: str) -> str:
    """A name for an account, whether it exists or not, that says nothing of its owner."""
    return sha256(email.encode()).hexdigest()
