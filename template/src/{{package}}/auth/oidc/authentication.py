"""From the token of a request to its user."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OpenIdConnect
from fastapi.security.utils import get_authorization_scheme_param
from joserfc.jwt import Claims

from ..tokens import UnknownKey, Verifier, words
from ..users import Forbidden, Unauthenticated, User
from .provider import DISCOVERY, Provider
from .settings import OIDCSettings

# Which provider it is becomes known when the service starts.
scheme = OpenIdConnect(openIdConnectUrl=DISCOVERY, auto_error=False)


class Authentication:
    """Accepts the access tokens of one provider."""

    def __init__(self, settings: OIDCSettings, provider: Provider) -> None:
        self.provider = provider
        self._required = frozenset(settings.required_scopes)
        self._roles_claim = settings.roles_claim
        self._verifier = Verifier(
            issuer=settings.issuer,
            audience=settings.audience,
            algorithms=settings.algorithms,
            types=settings.token_types,
            leeway=settings.leeway,
        )

    async def user(self, token: str) -> User:
        """Who a token was issued for.

        Raises Unauthenticated, Forbidden without the required scopes, ProviderUnavailable.
        """
        claims = await self._claims(token)
        scopes = words(claims.get("scope")) | words(claims.get("scp"))
        if missing := self._required - scopes:
            raise Forbidden(f"It needs the scope {' '.join(sorted(missing))}.", *sorted(missing))
        return User(claims["sub"], scopes, self._roles(claims), claims)

    async def _claims(self, token: str) -> Claims:
        try:
            return self._verifier.verify(token, self.provider.keys)
        except UnknownKey:
            await self.provider.refresh_for_unknown_key()
        try:
            return self._verifier.verify(token, self.provider.keys)
        except UnknownKey:
            raise Unauthenticated("The token is not valid.") from None

    def _roles(self, claims: Claims) -> frozenset[str]:
        """From the claim that the settings name, such as `roles` or `realm_access.roles`."""
        found: object = claims
        for name in self._roles_claim.split(".") if self._roles_claim else []:
            found = found.get(name) if isinstance(found, dict) else None
        return words(found) if self._roles_claim else frozenset()


async def authenticate(request: Request, header: Annotated[str | None, Depends(scheme)]) -> User:
    """Who sent the request; raises Unauthenticated, Forbidden or ProviderUnavailable."""
    kind, token = get_authorization_scheme_param(header)
    if kind.lower() != "bearer" or not token:
        raise Unauthenticated
    authentication: Authentication = request.state.authentication
    return await authentication.user(token)
