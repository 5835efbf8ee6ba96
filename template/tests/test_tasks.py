import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import write_env

ROOT = Path(__file__).parents[1]
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


def test_what_is_set_already_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("APP_ONE=file\nAPP_TWO=file\n")
    show = "import os, sys; print(os.environ['APP_ONE'], os.environ['APP_TWO'], *sys.argv[1:])"
    task = f"from tasks import with_env; with_env({sys.executable!r}, '-c', {show!r})"

    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", task, "--more"],
        cwd=tmp_path,
        env={**os.environ, "APP_ONE": "set", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
    )

    assert done.stdout == "set file --more\n"
