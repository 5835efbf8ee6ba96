import stat
from pathlib import Path

import pytest

from tasks import write_env

EXAMPLE = """\
# A comment stays, even one that says # generate.
APP_DOCS=true
APP_SECRET=  # generate
OTHER_SECRET= # generate: a key
"""


def values(path: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in path.read_text().splitlines() if line[0] != "#")
    return {name: value for name, _, value in lines}


def test_env_gets_secrets_that_nobody_else_can_read(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE)

    write_env(tmp_path)

    written = values(tmp_path / ".env")
    assert written["APP_DOCS"] == "true"
    assert len(written["APP_SECRET"]) >= 43
    assert written["APP_SECRET"] != written["OTHER_SECRET"]
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_env_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE)
    (tmp_path / ".env").write_text("MINE=1")

    with pytest.raises(SystemExit, match="exists already"):
        write_env(tmp_path)

    assert (tmp_path / ".env").read_text() == "MINE=1"
