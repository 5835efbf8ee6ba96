"""Access tokens: JSON Web Tokens (RFC 7519), in the profile of RFC 9068."""

from collections.abc import Collection, Mapping
from typing import Annotated

import structlog
from joserfc import jwt
from joserfc.errors import ExpiredTokenError
from joserfc.jwk import GuestProtocol, Key
from joserfc.jws import JWSRegistry
from joserfc.jwt import Claims, JWTClaimsRegistry
from pydantic import BaseModel, Field
from pydantic_core import to_json

from .users import Unauthenticated

logger = structlog.get_logger(__name__)

TYPE = "at+jwt"


class UnknownKey(Exception):
    """A token names a key that is not known."""


class WrongType(Exception):
    """A token of another type, such as an ID token."""


class Form(BaseModel):
    """The form of the claims that are used: a service may not sign what another one writes."""

    # OpenID Connect Core 1.0, section 2; PostgreSQL stores no NUL character.
    sub: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
    scope: str | list[str] | None = None
    scp: str | list[str] | None = None


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
        # Members of a header that are not known are ignored (RFC 7515, section 4).
        self._jws = JWSRegistry(algorithms=list(algorithms), strict_check_header=False)
        short = {each.lower() for each in types}
        self._types = short | {f"application/{each}" for each in short}
        self._claims = JWTClaimsRegistry(
            leeway=leeway,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )

    def verify(self, token: str, keys: Mapping[str, Key]) -> Claims:
        """The claims of `token`, signed by one of `keys`, which are by their ids.

        Raises UnknownKey, or Unauthenticated for everything else.
        """
        try:
            claims = self._signed(token, keys)
            self._claims.validate(claims)
        except UnknownKey:
            raise
        except ExpiredTokenError:
            raise Unauthenticated("The token has expired.") from None
        except Exception as error:  # whatever is wrong with it; anybody can send anything
            logger.info("token refused", reason=type(error).__name__)
            raise Unauthenticated("The token is not valid.") from None
        return claims

    def _signed(self, token: str, keys: Mapping[str, Key]) -> Claims:
        def find(jws: GuestProtocol) -> Key:
            key_id = jws.headers().get("kid")
            if not isinstance(key_id, str) or key_id not in keys:
                raise UnknownKey
            return keys[key_id]

        decoded = jwt.decode(token, find, registry=self._jws)
        if str(decoded.header.get("typ")).lower() not in self._types:
            raise WrongType
        Form.model_validate(decoded.claims)
        to_json(decoded.claims)  # what cannot be written again would fail in an answer
        return decoded.claims


def words(claim: object) -> frozenset[str]:
    """The parts of a claim that is a list, or a text separated by spaces."""
    if isinstance(claim, str):
        return frozenset(claim.split())
    if isinstance(claim, list):
        return frozenset(each for each in claim if isinstance(each, str))
    return frozenset()
