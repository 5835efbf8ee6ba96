"""Passwords: argon2id (RFC 9106), in threads, a bounded number at once."""

import re
import secrets
from functools import lru_cache
from http import HTTPStatus

from anyio import CapacityLimiter, to_thread
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from zxcvbn import zxcvbn

from ...errors import ServiceError

# zxcvbn takes seconds for long passwords that somebody makes up for that.
LOOKED_AT = 16
TOO_COMMON = 1  # of 4: fewer than a million guesses

ARGON2ID = Argon2Hasher()


class PasswordTooCommon(ServiceError):
    """Whoever tries the commonest passwords first would soon have it."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class Passwords:
    """Hashes and verifies; each takes some 70 ms and 64 MiB, so the event loop does neither."""

    def __init__(self, at_once: int, hasher: Argon2Hasher | None = None) -> None:
        hasher = hasher or ARGON2ID
        self._hasher = PasswordHash([hasher])
        self._hashing, self._guessing = CapacityLimiter(at_once), CapacityLimiter(1)
        self._nobodys = _hash_of_nobody(hasher)

    async def hash(self, password: str) -> str:
        """A hash to store."""
        return await to_thread.run_sync(self._hasher.hash, password, limiter=self._hashing)

    async def check_new(self, password: str, email: str) -> None:
        """Raises PasswordTooCommon."""
        known = [email, *re.split(r"\W+", email)]
        found = await to_thread.run_sync(
            zxcvbn, password[:LOOKED_AT], known, limiter=self._guessing
        )
        if found["score"] <= TOO_COMMON:
            raise PasswordTooCommon("The password is among the first that anyone would guess.")

    async def verify(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        """Whether `stored` is a hash of `password`, and a better hash if there is one by now.

        Without one, for an account that does not exist, it takes just as long and says no.
        """
        return await to_thread.run_sync(
            self._hasher.verify_and_update, password, stored or self._nobodys, limiter=self._hashing
        )


@lru_cache
def _hash_of_nobody(hasher: Argon2Hasher) -> str:
    """Stands in for the hash of an account that does not exist; no password fits to it."""
    return hasher.hash(secrets.token_urlsafe(32))
