"""Migrations by command, also where the service is installed without its checkout."""

import sys
from argparse import ArgumentParser
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script.revision import ResolutionError
from alembic.util.exc import CommandError

from .migrations import configured


def main() -> None:
    """Run the command that `sys.argv` has."""
    parser = ArgumentParser(prog=f"python -m {__package__}")
    commands = parser.add_subparsers(dest="command", required=True)
    upgrade = commands.add_parser("upgrade", help="run the migrations that have not run yet")
    upgrade.add_argument("revision", nargs="?", default="heads")
    downgrade = commands.add_parser("downgrade", help="take back all migrations after one")
    downgrade.add_argument("revision", help="the one that stays the last; base takes back all")
    revision = commands.add_parser("revision", help="write a migration from what changed in models")
    revision.add_argument("--empty", action="store_false", dest="autogenerate", help="to fill in")
    revision.add_argument("message", help="what it does")
    commands.add_parser("current", help="show the last migrations that have run")
    given = parser.parse_args()
    config = configured(Config(toml_file=Path("pyproject.toml"), cmd_opts=given))
    try:
        match given.command:
            case "upgrade":
                command.upgrade(config, given.revision)
            case "downgrade" if given.revision.startswith("-"):
                parser.error("say of which line, as in orders_0001@-1")
            case "downgrade":
                command.downgrade(config, given.revision)
            case "revision":
                command.revision(config, given.message, autogenerate=given.autogenerate)
            case "current":
                command.current(config)
    except CommandError as error:
        sys.exit(_words(error))


def _words(error: CommandError) -> str:
    if isinstance(error.__cause__, ResolutionError):
        missing = error.__cause__.argument
        return f"This service has no migration {missing}; run the version of it that has."
    words = " ".join(str(error).split())
    return words.replace("not up to date.", "not up to date; run first: uv run poe migrate")


if __name__ == "__main__":
    main()
