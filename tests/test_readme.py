"""Every command that the README shows is run, and its pictures are true."""

import os
import re
import sys
from pathlib import Path

import pytest

from conftest import ROOT, Required, Run, clone_of_this, run
from screens import pictures, words

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line]
# Without the environment of these tests, whose Python has no pip.
FOLDERS = os.environ["PATH"].split(os.pathsep)
NEW_MACHINE = {
    "PATH": os.pathsep.join(each for each in FOLDERS if each != str(Path(sys.executable).parent))
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone in an empty folder."""
    return clone_of_this(tmp_path_factory.mktemp("readme") / "new-service")


def test_first_command_creates_and_validates_a_service(clone: Path) -> None:
    run("sh", "-c", COMMANDS[0], cwd=clone, env=NEW_MACHINE)

    assert (clone.parent / "orders-api" / ".git").is_dir()


def test_second_command_runs_the_tests(clone: Path) -> None:
    """One test of them: all of them are running already."""
    assert COMMANDS[1].endswith("uv run pytest")

    done = run(
        "sh",
        "-c",
        f"{COMMANDS[1]} tests/test_template.py -k needs_no_trust",
        cwd=clone,
        env=NEW_MACHINE,
    )

    assert "1 passed" in done.stdout


def test_the_other_commands_do_what_they_say(
    new_service: Run, edited: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    shown = [line for line in COMMANDS[2:] if line.startswith("new-service ")]
    assert set(COMMANDS[2:]) - set(shown) == {
        # Its address is an example, and the bare command asks: test_prompts.py answers it.
        "uv tool install git+https://git.example.com/platform/new-service.git",
        "new-service",
        # test_releases.py makes releases.
        "bash .ci/release 1.4.0",
        # test_platform.py does this as it stands.
        *(line for line in COMMANDS if line.startswith("for ")),
    }
    for line in shown:
        if "*/" in line or "--template" in line:  # for test_platform.py
            continue
        arguments = re.findall(r"""(?:[^\s"]|"[^"]*")+""", line.removeprefix("new-service "))
        folder = edited if arguments[0] == "validate" else empty
        new_service(*(each.replace('"', "") for each in arguments), cwd=folder)


def test_the_pictures_show_what_a_terminal_shows(required: Required, tmp_path: Path) -> None:
    for path, svg in pictures(tmp_path):
        shown = words(svg)
        reachable = None if "not locked" in " ".join(shown) else True
        required.of(reachable, "no package index can be reached")

        kept = words(path.read_text("utf-8"))
        assert shown == kept, f"{path.name} is of another day: uv run python tests/screens.py"
