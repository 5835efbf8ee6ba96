from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, TypedDict
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from sqlalchemy import select

from ...database.session import Session, Sessions
from ...errors import ServiceError
from ...health.probes import Probe
from ..dependencies import CurrentUser
from ..users import denied
from . import keys, logins
from .authentication import FreshUser, LoginId, Opened, get_accounts, uuid_of
from .limiting import Limiter, client_of
from .models import Login
from .passwords import Passwords
from .schemas import (
    AccountRead,
    Credentials,
    KeyCreated,
    KeyRead,
    KeyWrite,
    LoginRead,
    PasswordChange,
    Refresh,
    Registered,
    Registration,
    Tokens,
)
from .service import Accounts
from .settings import AccountsSettings
from .tokens import AccessTokens


class State(TypedDict):
    accounts: Accounts


class LoginNotFound(ServiceError):
    status = HTTPStatus.NOT_FOUND


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
    """Open the accounts; raises InvalidSettings."""
    settings = AccountsSettings.load()
    accounts = Accounts(
        settings=settings,
        tokens=AccessTokens(settings),
        passwords=Passwords(settings.hashes_at_once),
        limiter=Limiter(settings.limits_url),
    )
    yield {"accounts": accounts}


async def _keep_out_of_caches(answer: Response) -> None:
    answer.headers["Cache-Control"] = "no-store"  # RFC 6749, section 5.1


router = APIRouter(
    prefix="/auth",
    tags=["auth"],
    lifespan=lifespan,
    dependencies=[Depends(_keep_out_of_caches)],
    max_body_size=2048,  # bytes: it is read before anybody knows whose it is
)
own = APIRouter(responses=denied)

Client = Annotated[str, Depends(client_of)]
UserAgent = Annotated[str, Header()]


@router.post("/register", status_code=HTTPStatus.ACCEPTED)
async def register(
    new: Registration, accounts: Opened, sessions: Sessions, client: Client
) -> Registered:
    """Make an account; the answer is the same if the address has one already."""
    await accounts.register(sessions, new, client)
    return Registered(email=new.email)


@router.post("/login", responses={401: denied[401]})
async def log_in(
    given: Credentials,
    accounts: Opened,
    sessions: Sessions,
    client: Client,
    user_agent: UserAgent = "",
) -> Tokens:
    """Exchange an address and its password for tokens."""
    return await accounts.log_in(sessions, given, client, user_agent[:200])


@router.post("/refresh", responses={401: denied[401]})
async def refresh(given: Refresh, accounts: Opened, sessions: Sessions, client: Client) -> Tokens:
    """Exchange a refresh token, which works once: a second time ends the login."""
    return await accounts.refresh(sessions, given.refresh_token, client)


@own.post("/logout", status_code=HTTPStatus.NO_CONTENT)
async def log_out(user: CurrentUser, login_id: LoginId, session: Session) -> None:
    """End this login; its access token expires within minutes."""
    await logins.revoke(session, uuid_of(user.id), Login.id == login_id)


@own.post("/logout-everywhere", status_code=HTTPStatus.NO_CONTENT)
async def log_out_everywhere(account: FreshUser, login_id: LoginId, session: Session) -> None:
    """End all logins of the account, this one too."""
    await logins.revoke(session, account.id)


@own.get("/me")
async def read_me(account: FreshUser) -> AccountRead:
    """The account that the token belongs to."""
    return AccountRead.model_validate(account)


@own.put("/password", status_code=HTTPStatus.NO_CONTENT, max_body_size=4096)
async def change_password(
    change: PasswordChange,
    accounts: Opened,
    account: FreshUser,
    login_id: LoginId,
    sessions: Sessions,
) -> None:
    """Set a new password, which ends all other logins."""
    await accounts.change_password(sessions, account, login_id, change)


@own.get("/sessions")
async def list_logins(account: FreshUser, login_id: LoginId, session: Session) -> list[LoginRead]:
    """The logins of the account, such as those in other browsers."""
    statement = select(Login).where(Login.account_id == account.id).order_by(Login.id)
    return [
        LoginRead.model_validate(each).model_copy(update={"is_current": each.id == login_id})
        for each in await session.scalars(statement)
    ]


@own.delete("/sessions/{session_id}", status_code=HTTPStatus.NO_CONTENT)
async def revoke_login(
    session_id: UUID, account: FreshUser, login_id: LoginId, session: Session
) -> None:
    """End a login, such as one in another browser."""
    if not await logins.revoke(session, account.id, Login.id == session_id):
        raise LoginNotFound(f"There is no login {session_id}.")


@own.post("/keys", status_code=HTTPStatus.CREATED, max_body_size=16_384)
async def create_key(
    new: KeyWrite, user: CurrentUser, account: FreshUser, login_id: LoginId, session: Session
) -> KeyCreated:
    """Make an API key; it is shown in this answer and never again."""
    key, text = await keys.create(session, account, user, new)
    return KeyCreated(**KeyRead.model_validate(key).model_dump(), key=text)


@own.get("/keys")
async def list_keys(account: FreshUser, login_id: LoginId, session: Session) -> list[KeyRead]:
    """The API keys of the account, without the keys themselves."""
    return [KeyRead.model_validate(key) for key in await keys.list_of(session, account)]


@own.delete("/keys/{key_id}", status_code=HTTPStatus.NO_CONTENT)
async def revoke_key(key_id: UUID, account: FreshUser, login_id: LoginId, session: Session) -> None:
    """End an API key at once."""
    await keys.revoke(session, account, key_id)


router.include_router(own)


async def can_count(request: Request) -> None:
    """Raises if attempts cannot be counted."""
    await (await get_accounts(request)).limiter.check()


probes = [Probe("limits", can_count)]
