"""From the token of a request to its user."""

from fastapi.openapi.models import OpenIdConnect
from fastapi.security.base import SecurityBase
from joserfc.jwt import Claims
from starlette.requests import HTTPConnection

from ..tokens import UnknownKey, Verifier, words
from ..users import Forbidden, Unauthenticated, User, token_of
from .provider import DISCOVERY, Provider
from .settings import OIDCSettings


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
        claims = await self._claims_of(token)
        scopes = words(claims.get("scope")) | words(claims.get("scp"))
        if missing := self._required - scopes:
            raise Forbidden(f"It needs the scope {' '.join(sorted(missing))}.", *sorted(missing))
        return User(claims["sub"], scopes, self._roles(claims), claims)

    async def _claims_of(self, token: str) -> Claims:
        try:
            return self._verifier.verify(token, self.provider.known_keys())
        except UnknownKey:
            await self.provider.refresh_for_unknown_key()
        try:
            return self._verifier.verify(token, self.provider.known_keys())
        except UnknownKey:
            raise Unauthenticated("The token is not valid.") from None

    def _roles(self, claims: Claims) -> frozenset[str]:
        """From the claim that the settings name, such as `roles` or `realm_access.roles`."""
        found: object = claims
        for name in self._roles_claim.split(".") if self._roles_claim else []:
            found = found.get(name) if isinstance(found, dict) else None
        return words(found) if self._roles_claim else frozenset()


def authentication_of(connection: HTTPConnection) -> Authentication:
    """What the service accepts, as it was opened with it."""
    authentication: Authentication = connection.state.authentication
    return authentication


class Authenticate(SecurityBase):
    """A dependency that is the scheme itself: one call, since it is made for each request."""

    def __init__(self) -> None:
        self.scheme_name = "OpenIdConnect"
        self.describe(DISCOVERY)

    def describe(self, url: str, client_id: str | None = None) -> None:
        """Say where the provider describes itself, and as which client the docs pages sign in."""
        described = {"openIdConnectUrl": url, "x-defaultClientId": client_id}
        self.model = OpenIdConnect.model_validate(described)

    async def __call__(self, connection: HTTPConnection) -> User:
        """Who sent the request; raises Unauthenticated, Forbidden or ProviderUnavailable."""
        return await authentication_of(connection).user(token_of(connection))


authenticate = Authenticate()
