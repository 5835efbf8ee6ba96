"""Registering, logging in, changing a password: what takes a password, and what gives tokens."""

from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ...database.models import now
from ...database.session import SessionMaker, transaction
from ...errors import ServiceError
from ..users import Unauthenticated
from . import logins
from .limiting import Limiter, account_of
from .models import Account, Login
from .passwords import Passwords
from .schemas import Credentials, PasswordChange, Registration, Tokens
from .settings import AccountsSettings
from .tokens import AccessTokens

logger = structlog.get_logger(__name__)


class WrongPassword(ServiceError):
    status = HTTPStatus.FORBIDDEN


class RegistrationClosed(ServiceError):
    status = HTTPStatus.FORBIDDEN


@dataclass(frozen=True)
class Accounts:
    """What the accounts of a service need; opened with the service.

    No transaction is open while a password is hashed: on SQLite it would hold up all others.
    """

    settings: AccountsSettings
    tokens: AccessTokens
    passwords: Passwords
    limiter: Limiter

    async def register(self, sessions: SessionMaker, new: Registration, client: str) -> None:
        """Make an account, unless the address has one, which nobody is told.

        Raises RegistrationClosed, PasswordTooCommon, TooManyAttempts.
        """
        if not self.settings.registration:
            raise RegistrationClosed("Registration is switched off.")
        await self.limiter.hit(self.settings.client_limits, "register", client)
        await self.passwords.check_new(new.password, new.email)
        account = Account(
            email=new.email,
            password_hash=await self.passwords.hash(new.password),
            scopes=self.settings.new_account_scopes,
        )
        if await add(sessions, account):
            logger.info("account registered", account=str(account.id), client=client)
        else:
            logger.info("registered address has an account already", client=client)

    async def log_in(
        self, sessions: SessionMaker, given: Credentials, client: str, user_agent: str
    ) -> Tokens:
        """Tokens for whoever knows the password; raises Unauthenticated or TooManyAttempts."""
        await self.limiter.hit(self.settings.client_limits, "login", client)
        await self.limiter.hit(self.settings.account_limits, "login", account_of(given.email))
        account = await find(sessions, given.email)
        # Verifies also for unknown accounts: an answer that is as slow hides who exists.
        right, better = await self.passwords.verify(
            given.password, account.password_hash if account else None
        )
        if account is None or not right:
            logger.warning("login failed", account=account and str(account.id), client=client)
            raise Unauthenticated("The e-mail address or the password is wrong.")
        async with transaction(sessions) as session:
            account = await _unchanged(session, account)
            account.password_hash = better or account.password_hash
            days = self.settings.session_days
            login, refresh_token = await logins.begin(session, account, user_agent, days)
        logger.info("login", account=str(account.id), login=str(login.id), client=client)
        return self._tokens(account, login, refresh_token)

    async def refresh(self, sessions: SessionMaker, refresh_token: str, client: str) -> Tokens:
        """The next tokens of a login; raises Unauthenticated or TooManyAttempts."""
        arrived_at = now()
        await self.limiter.hit(self.settings.client_limits, "refresh", client)
        account, login = await logins.find(sessions, refresh_token)
        await self.limiter.hit(self.settings.account_limits, "refresh", str(account.id))
        following = await logins.exchange(sessions, login, refresh_token, arrived_at)
        return self._tokens(account, login, following)

    async def change_password(
        self, sessions: SessionMaker, account: Account, login_id: UUID, change: PasswordChange
    ) -> None:
        """Set a new password, which ends all other logins of the account.

        API keys stay. Raises WrongPassword, PasswordTooCommon, TooManyAttempts, Unauthenticated.
        """
        await self.limiter.hit(self.settings.account_limits, "password", str(account.id))
        right, _ = await self.passwords.verify(change.current_password, account.password_hash)
        if not right:
            logger.warning("password change failed", account=str(account.id))
            raise WrongPassword("The current password is wrong.")
        await self.passwords.check_new(change.new_password, account.email)
        hashed = await self.passwords.hash(change.new_password)
        async with transaction(sessions) as session:
            account = await _unchanged(session, account)
            account.password_hash = hashed
            await logins.revoke(session, account.id, Login.id != login_id)
        logger.info("password changed", account=str(account.id))

    def _tokens(self, account: Account, login: Login, refresh_token: str) -> Tokens:
        return Tokens(
            access_token=self.tokens.issue(account, login),
            refresh_token=refresh_token,
            expires_in=self.tokens.seconds,
        )


async def _unchanged(session: AsyncSession, seen: Account) -> Account:
    """The account as it is now, locked; raises Unauthenticated if it has another password by now.

    While the one that was given was hashed, its owner may have changed it.
    """
    account: Account | None = await session.scalar(
        select(Account)
        .where(Account.id == seen.id, Account.password_hash == seen.password_hash)
        .with_for_update()
    )
    if account is None:
        raise Unauthenticated("The password has just been changed.")
    return account


async def find(sessions: SessionMaker, email: str) -> Account | None:
    """The account of an address."""
    async with transaction(sessions) as session:
        account: Account | None = await session.scalar(
            select(Account).where(Account.email == email)
        )
    return account


async def add(sessions: SessionMaker, account: Account) -> bool:
    """Store a new account; False if its address has one."""
    async with transaction(sessions) as session:
        try:
            async with session.begin_nested():
                session.add(account)
        except IntegrityError:
            return False
    return True
