"""From the token of a request to its user and, where it must be certain, to their account."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from sqlalchemy import select
from starlette.requests import HTTPConnection

from ...database.models import now
from ...database.session import Sessions, transaction
from ..users import Forbidden, Unauthenticated, User, token_of
from . import keys
from .models import Account, Login
from .service import Accounts


async def get_accounts(connection: HTTPConnection) -> Accounts:
    """The accounts, as they were opened with the service."""
    accounts: Accounts = connection.state.accounts
    return accounts


Opened = Annotated[Accounts, Depends(get_accounts)]


class Authenticate(SecurityBase):
    """A dependency that is the scheme itself: one call, since it is made for each request."""

    def __init__(self) -> None:
        self.model = HTTPBearer(description="An access token, or an API key.")
        self.scheme_name = "Bearer"

    async def __call__(self, connection: HTTPConnection, sessions: Sessions) -> User:
        """Who sent the request; raises Unauthenticated. Only an API key takes a query."""
        token = token_of(connection)
        if token.startswith(keys.MARK):
            return await keys.user_of(sessions, token)
        return (await get_accounts(connection)).tokens.user(token)


authenticate = Authenticate()


def uuid_of(claim: object) -> UUID:
    """An id in a token; raises Unauthenticated if it is not one."""
    try:
        return UUID(str(claim))
    except ValueError:
        raise Unauthenticated("The token is not valid.") from None


async def get_fresh_user(
    user: Annotated[User, Depends(authenticate)], sessions: Sessions
) -> Account:
    """The account of the user, if it and the login are still there; raises Unauthenticated."""
    statement = select(Account).where(Account.id == uuid_of(user.id))
    if "sid" in user.claims:
        login_id = uuid_of(user.claims["sid"])
        statement = statement.join(Login, Login.account_id == Account.id).where(
            Login.id == login_id, Login.expires_at > now()
        )
    async with transaction(sessions) as session:
        account: Account | None = await session.scalar(statement)
    if account is None:
        raise Unauthenticated("The login has ended.")
    return account


# Queried: revocation and new scopes count at once. For what must not wait for a token to expire.
FreshUser = Annotated[Account, Depends(get_fresh_user)]


async def get_login_id(user: Annotated[User, Depends(authenticate)]) -> UUID:
    """The login of the user; raises Forbidden for API keys, which are not to manage accounts."""
    if "sid" not in user.claims:
        raise Forbidden("An API key cannot do this: log in.")
    return uuid_of(user.claims["sid"])


LoginId = Annotated[UUID, Depends(get_login_id)]
