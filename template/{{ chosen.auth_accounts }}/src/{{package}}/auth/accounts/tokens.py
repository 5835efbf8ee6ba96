"""The access tokens of this service, signed with a secret that all its processes know."""

import hmac
import secrets
import time
from hashlib import sha256

from joserfc import jwt
from joserfc.jwk import OctKey

from ..tokens import TYPE, UnknownKey, Verifier, words
from ..users import ADMIN, Unauthenticated, User
from .models import Account, Login
from .settings import AccountsSettings

ALGORITHM = "HS256"


class AccessTokens:
    """Issues access tokens with the secret, and accepts those of the previous ones as well."""

    def __init__(self, settings: AccountsSettings) -> None:
        secret = settings.secret.get_secret_value()
        self._keys = {key_id(each): _key(each) for each in (secret, *settings.previous_secrets)}
        self._key_id = key_id(secret)
        self._settings = settings
        self.seconds = settings.access_token_minutes * 60
        self._verifier = Verifier(
            issuer=settings.issuer, audience=settings.audience, algorithms=[ALGORITHM]
        )

    def issue(self, account: Account, login: Login) -> str:
        """A token for `account`, as it is now."""
        issued_at = int(time.time())
        claims = {
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "sub": str(account.id),
            "sid": str(login.id),
            "jti": secrets.token_urlsafe(16),
            "iat": issued_at,
            "exp": issued_at + self.seconds,
            "scope": " ".join(account.scopes),
            "roles": [ADMIN] if account.is_admin else [],
        }
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": self._key_id}
        return jwt.encode(header, claims, self._keys[self._key_id], [ALGORITHM])

    def user(self, token: str) -> User:
        """Who a token was issued for; raises Unauthenticated."""
        try:
            claims = self._verifier.verify(token, self._keys)
        except UnknownKey:
            raise Unauthenticated("The token is not valid.") from None
        scopes, roles = words(claims.get("scope")), words(claims.get("roles"))
        return User(claims["sub"], scopes, roles, claims)


def _key(secret: str) -> OctKey:
    return OctKey.import_key(secret)


def key_id(secret: str) -> str:
    """How tokens name the secret that signed them."""
    # It tells secrets apart and tells nothing of them.
    return hmac.digest(secret.encode(), b"key id", sha256).hex()[:16]
