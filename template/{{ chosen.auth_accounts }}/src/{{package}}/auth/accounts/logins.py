"""Logins and their refresh tokens, each of which can be used once.

A refresh token is `FAMILY.SECRET`, 256 random bits each; the database has only their hashes.
"""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ...database.models import now
from ...database.session import SessionMaker, transaction
from ..users import Unauthenticated
from .models import Account, Login

logger = structlog.get_logger(__name__)


def digest(secret: str) -> str:
    """A hash of 256 random bits: nobody can guess those, so it need not be slow."""
    return sha256(secret.encode()).hexdigest()


async def begin(
    session: AsyncSession, account: Account, user_agent: str, days: int
) -> tuple[Login, str]:
    """A new login and its first refresh token; those of the account that have expired go."""
    await session.execute(
        delete(Login).where(Login.account_id == account.id, Login.expires_at <= now())
    )
    family, secret = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    login = Login(
        account_id=account.id,
        family_hash=digest(family),
        token_hash=digest(secret),
        user_agent=user_agent,
        expires_at=now() + timedelta(days=days),
    )
    session.add(login)
    await session.flush()
    return login, f"{family}.{secret}"


async def find(sessions: SessionMaker, refresh_token: str) -> tuple[Account, Login]:
    """The login that a refresh token belongs to, used or not; raises Unauthenticated."""
    family, _, _ = refresh_token.partition(".")
    async with transaction(sessions) as session:
        found = await session.execute(
            select(Account, Login)
            .join(Login, Login.account_id == Account.id)
            .where(Login.family_hash == digest(family), Login.expires_at > now())
        )
        row = found.one_or_none()
    if row is None:
        raise Unauthenticated("The refresh token is not valid.")
    return row[0], row[1]


async def exchange(
    sessions: SessionMaker, login: Login, refresh_token: str, arrived_at: datetime
) -> str:
    """The refresh token that follows; raises Unauthenticated.

    One that was used before has been stolen, from its owner or by them: the login ends. Of requests
    that were on their way at the same time one gets the next token, and the others get nothing.
    """
    family, _, secret = refresh_token.partition(".")
    used, following = digest(secret), secrets.token_urlsafe(32)
    if used == login.token_hash:
        async with transaction(sessions) as session:
            taken = await session.scalar(
                update(Login)
                .where(Login.id == login.id, Login.token_hash == used)
                .values(token_hash=digest(following), previous_hash=used, refreshed_at=now())
                .returning(Login.id)
            )
        if taken is not None:
            return f"{family}.{following}"
    elif used != login.previous_hash or login.refreshed_at < arrived_at:
        async with transaction(sessions) as session:
            await session.execute(delete(Login).where(Login.id == login.id))
        logger.warning("refresh token reused", account=str(login.account_id), login=str(login.id))
        raise Unauthenticated("The refresh token was used before, so this login has ended.")
    raise Unauthenticated("The refresh token has just been used.")


async def revoke(session: AsyncSession, account_id: UUID, *conditions: ColumnElement[bool]) -> bool:
    """End the logins of an account that meet `conditions`; False if there are none."""
    statement = delete(Login).where(Login.account_id == account_id, *conditions)
    revoked = list(await session.scalars(statement.returning(Login.id)))
    for each in revoked:
        logger.info("login revoked", account=str(account_id), login=str(each))
    return bool(revoked)
