"""API keys: `key_PREFIX_SECRET`, of which the database has the prefix and a hash."""

import secrets
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ...database.models import now
from ...database.session import SessionMaker, transaction
from ...errors import ServiceError
from ..users import Forbidden, Unauthenticated, User
from .logins import digest
from .models import Account, ApiKey
from .schemas import KeyWrite

logger = structlog.get_logger(__name__)

MARK = "key_"
# The last use is stored at most that often, so that reading does not become writing.
USE_SECONDS = 60


class KeyNotFound(ServiceError):
    status = HTTPStatus.NOT_FOUND


async def create(
    session: AsyncSession, account: Account, user: User, new: KeyWrite
) -> tuple[ApiKey, str]:
    """A new key, and the text that is shown once; raises Forbidden for scopes that `user` lacks."""
    missing = [scope for scope in new.scopes if not user.may(scope)]
    if missing:
        raise Forbidden("A key cannot do more than its account.", *missing)
    prefix, secret = f"{MARK}{secrets.token_hex(6)}", secrets.token_urlsafe(32)
    key = ApiKey(
        account_id=account.id,
        name=new.name,
        prefix=prefix,
        key_hash=digest(secret),
        scopes=sorted(set(new.scopes)),
        expires_at=now() + timedelta(days=new.expires_in_days),
    )
    session.add(key)
    await session.flush()
    logger.info("key created", account=str(account.id), key=prefix)
    return key, f"{prefix}_{secret}"


async def list_of(session: AsyncSession, account: Account) -> list[ApiKey]:
    statement = select(ApiKey).where(ApiKey.account_id == account.id).order_by(ApiKey.id)
    return list(await session.scalars(statement))


async def revoke(session: AsyncSession, account: Account, key_id: UUID) -> None:
    """Raises KeyNotFound."""
    statement = delete(ApiKey).where(ApiKey.id == key_id, ApiKey.account_id == account.id)
    prefix = await session.scalar(statement.returning(ApiKey.prefix))
    if prefix is None:
        raise KeyNotFound(f"There is no key {key_id}.")
    logger.info("key revoked", account=str(account.id), key=prefix)


async def user_of(sessions: SessionMaker, text: str) -> User:
    """Who a key acts for, with those of its scopes that the account still has.

    Raises Unauthenticated.
    """
    prefix, _, secret = text.removeprefix(MARK).partition("_")
    async with transaction(sessions) as session:
        found = await session.execute(
            select(Account, ApiKey)
            .join(ApiKey, ApiKey.account_id == Account.id)
            .where(ApiKey.prefix == MARK + prefix, ApiKey.expires_at > now())
        )
        row = found.one_or_none()
    if row is None or not secrets.compare_digest(digest(secret), row[1].key_hash):
        logger.info("key refused", known=row is not None)
        raise Unauthenticated("The key is not valid.")
    account, key = row
    await _note_use(sessions, key)
    scopes = frozenset(key.scopes)
    return User(str(account.id), scopes if account.is_admin else scopes & {*account.scopes})


async def _note_use(sessions: SessionMaker, key: ApiKey) -> None:
    """In a transaction that begins with a write: SQLite fails those that read first and wait."""
    before = now() - timedelta(seconds=USE_SECONDS)
    if key.last_used_at is None or key.last_used_at < before:
        used = update(ApiKey).where(ApiKey.id == key.id).values(last_used_at=now())
        async with transaction(sessions) as session:
            await session.execute(used)
