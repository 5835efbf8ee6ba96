"""Every migration runs up, down and up again, and the result is what the models say."""

from pathlib import Path

import pytest
from alembic import command

from tests.database.fixtures import ALEMBIC, ON_POSTGRESQL, empty_database


@pytest.mark.parametrize("dialect", ["sqlite", ON_POSTGRESQL])
def test_migrations_run_up_and_down_and_make_what_the_models_say(
    dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with empty_database(dialect, tmp_path) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        command.upgrade(ALEMBIC, "heads")
        command.downgrade(ALEMBIC, "base")
        command.upgrade(ALEMBIC, "heads")
        command.check(ALEMBIC)
