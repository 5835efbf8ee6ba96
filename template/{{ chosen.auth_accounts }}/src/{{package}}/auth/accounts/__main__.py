"""Commands for whoever runs the service: `poe create-admin`, `poe grant`."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getpass

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import delete, select
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import async_sessionmaker

from ... import main as _service  # noqa: F401  all models come with the routers
from ...database.engine import create_engine
from ...database.session import DatabaseUnavailable, SessionMaker, transaction
from ...database.settings import DatabaseSettings
from ...errors import ServiceError
from .models import Account, ApiKey, Login
from .passwords import Passwords
from .schemas import Email, NewPassword, Scope

# SQLite and PostgreSQL say in different ways that a table is missing.
NOT_MIGRATED = (DatabaseUnavailable, OperationalError, ProgrammingError)
EMAIL, PASSWORD, SCOPES = TypeAdapter(Email), TypeAdapter(NewPassword), TypeAdapter(list[Scope])


def main() -> None:
    """Run the command that `sys.argv` has."""
    parser = ArgumentParser(prog="poe")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create-admin", description="Make an account an administrator.")
    create.add_argument(
        "email", help="its address; it asks for a password, also if there is an account"
    )
    grant = commands.add_parser("grant", description="Set the scopes of an account.")
    grant.add_argument("email", help="its address")
    grant.add_argument("scopes", nargs="*", help="all that it shall have, such as orders:write")
    try:
        print(asyncio.run(_run(parser.parse_args())))
    except NOT_MIGRATED:
        sys.exit("The database does not answer as it should. Has `poe migrate` run?")
    except ServiceError as error:
        sys.exit(error.detail)


async def _run(given: Namespace) -> str:
    with _or_say(f"{given.email!r} is no e-mail address."):
        email = EMAIL.validate_python(given.email)
    engine = create_engine(DatabaseSettings.load())
    sessions = async_sessionmaker(engine.execution_options(writes=True), expire_on_commit=False)
    try:
        if given.command == "create-admin":
            return await create_admin(sessions, email)
        with _or_say("A scope has no comma, quote or space."):
            scopes = SCOPES.validate_python(given.scopes)
        return await grant_scopes(sessions, email, scopes)
    finally:
        await engine.dispose()


@contextmanager
def _or_say(words: str) -> Iterator[None]:
    try:
        yield
    except ValidationError:
        sys.exit(words)


async def create_admin(sessions: SessionMaker, email: str) -> str:
    """Make the account of `email` an administrator, with a new password; it need not be there.

    If it is, a stranger may have made it: the old password, its logins and its keys end. Raises
    PasswordTooCommon.
    """
    with _or_say("A password has 12 to 128 characters."):
        password = PASSWORD.validate_python(_ask_for_password())
    passwords = Passwords(at_once=1)
    await passwords.check_new(password, email)
    hashed = await passwords.hash(password)
    async with transaction(sessions) as session:
        account = await session.scalar(select(Account).where(Account.email == email))
        if account is None:
            account = Account(email=email, scopes=[])
            session.add(account)
        else:
            for owned in (Login, ApiKey):
                await session.execute(delete(owned).where(owned.account_id == account.id))
        account.password_hash = hashed
        account.is_admin = True
    return f"{email} is an administrator."


def _ask_for_password() -> str:
    """From the terminal, twice; or the first line of a pipe."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass("Password: ")
    if getpass("Again: ") != password:
        sys.exit("The passwords differ.")
    return password


async def grant_scopes(sessions: SessionMaker, email: str, scopes: list[str]) -> str:
    """Let the account of `email` have `scopes` and no others."""
    async with transaction(sessions) as session:
        account = await session.scalar(select(Account).where(Account.email == email))
        if account is None:
            sys.exit(f"{email} has no account.")
        account.scopes = sorted(set(scopes))
    return f"{email} has {', '.join(account.scopes) or 'no scope'}, from the next token on."


if __name__ == "__main__":
    main()
