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


def run(task: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", f"from tasks import with_env; {task}", *arguments],
        cwd=folder,
        env={**os.environ, "APP_ONE": "set", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        text=True,
    )


def test_what_is_set_already_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("APP_ONE=file\nAPP_TWO=file\n")
    show = "import os, sys; print(os.environ['APP_ONE'], os.environ['APP_TWO'], *sys.argv[1:])"

    done = run(f"with_env({sys.executable!r}, '-c', {show!r})", "--more", folder=tmp_path)

    assert done.stdout == "set file --more\n"


def test_a_command_that_is_not_installed_is_named(tmp_path: Path) -> None:
    done = run("with_env('no-such-command')", folder=tmp_path)

    assert done.stderr == "no-such-command is not installed; run: uv sync\n"
