"""Access tokens: JSON Web Tokens (RFC 7519), in the profile of RFC 9068."""

from collections.abc import Collection, Mapping

import structlog
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import Key
from joserfc.jwt import Claims, JWTClaimsRegistry

from .users import Unauthenticated

logger = structlog.get_logger(__name__)

TYPE = "at+jwt"


class UnknownKey(Exception):
    """A token names a key that is not known."""


class Verifier:
    """Says what a token claims, if all about it is right.

    What the token says of itself decides nothing: neither which algorithms and types are allowed,
    nor where keys come from. `leeway` is in seconds.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        algorithms: Collection[str],
        types: Collection[str] = (TYPE,),
        leeway: int = 0,
    ) -> None:
        self._algorithms = list(algorithms)
        self._types = {form for each in types for form in (each.lower(), f"application/{each}")}
        self._registry = JWTClaimsRegistry(
            leeway=leeway,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
            exp={"essential": True},
        )

    def verify(self, token: str, keys: Mapping[str, Key]) -> Claims:
        """The claims of `token`, signed by one of `keys`, which are by their ids.

        Raises UnknownKey, or Unauthenticated for everything else.
        """
        try:
            decoded = jwt.decode(token, lambda jws: _key(jws.headers(), keys), self._algorithms)
            if str(decoded.header.get("typ")).lower() not in self._types:
                raise JoseError("another type of token")
            self._registry.validate(decoded.claims)
        except ExpiredTokenError:
            raise Unauthenticated("The token has expired.") from None
        except (JoseError, ValueError) as error:
            logger.info("token refused", reason=str(error))
            raise Unauthenticated("The token is not valid.") from None
        return decoded.claims


def _key(header: Mapping[str, object], keys: Mapping[str, Key]) -> Key:
    key_id = header.get("kid")
    if not isinstance(key_id, str) or key_id not in keys:
        raise UnknownKey
    return keys[key_id]


def words(claim: object) -> frozenset[str]:
    """The parts of a claim that is a list, or a text separated by spaces."""
    if isinstance(claim, str):
        return frozenset(claim.split())
    if isinstance(claim, list):
        return frozenset(each for each in claim if isinstance(each, str))
    return frozenset()
