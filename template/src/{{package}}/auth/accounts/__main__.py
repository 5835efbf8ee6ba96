"""Commands for whoever runs the service: `poe create-admin`, `poe grant`."""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from getpass import getpass

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import async_sessionmaker

from ...database.engine import create_engine
from ...database.session import DatabaseUnavailable, SessionMaker, transaction
from ...database.settings import DatabaseSettings
from ...errors import ServiceError
from . import service
from .models import Account
from .passwords import Passwords
from .schemas import Email, NewPassword, Scope

EMAIL, PASSWORD, SCOPES = TypeAdapter(Email), TypeAdapter(NewPassword), TypeAdapter(list[Scope])


def main() -> None:
    """Run the command that `sys.argv` has."""
    parser = ArgumentParser(prog="poe")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create-admin", description="Make an account an administrator.")
    create.add_argument("email", help="its address; if there is no account, one is made")
    grant = commands.add_parser("grant", description="Set the scopes of an account.")
    grant.add_argument("email", help="its address")
    grant.add_argument("scopes", nargs="*", help="all that it shall have, such as orders:write")
    try:
        print(asyncio.run(_run(parser.parse_args())))
    except ValidationError as invalid:
        sys.exit("\n".join(error["msg"] for error in invalid.errors(include_url=False)))
    except DatabaseUnavailable:
        sys.exit("The database does not answer as it should. Has `poe migrate` run?")
    except ServiceError as error:
        sys.exit(error.detail)


async def _run(given: Namespace) -> str:
    email = EMAIL.validate_python(given.email)
    engine = create_engine(DatabaseSettings.load())
    sessions = async_sessionmaker(engine.execution_options(writes=True), expire_on_commit=False)
    try:
        if given.command == "create-admin":
            return await create_admin(sessions, email)
        return await grant_scopes(sessions, email, SCOPES.validate_python(given.scopes))
    finally:
        await engine.dispose()


async def create_admin(sessions: SessionMaker, email: str) -> str:
    """Make the account of `email` an administrator; without one, ask for a password and make it.

    Raises PasswordTooCommon.
    """
    account = await service.find(sessions, email)
    if account is None:
        password = PASSWORD.validate_python(_ask_for_password())
        passwords = Passwords(at_once=1)
        await passwords.check_new(password, email)
        account = Account(email=email, password_hash=await passwords.hash(password), scopes=[])
    async with transaction(sessions) as session:
        account = await session.merge(account)
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
    account = await service.find(sessions, email)
    if account is None:
        sys.exit(f"{email} has no account.")
    async with transaction(sessions) as session:
        account = await session.merge(account)
        account.scopes = sorted(set(scopes))
    return f"{email} has {', '.join(account.scopes) or 'no scope'}, from the next token on."


if __name__ == "__main__":
    main()
