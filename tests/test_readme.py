"""Every command that the README shows is run, and its pictures are true."""

import os
import re
import string
import sys
from pathlib import Path

import pytest

from conftest import ROOT, UV, Required, Run, clone_of_this, run
from screens import pictures, words

README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line]
PIPELINES = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
INSTALL = "uv tool install git+https://git.example.com/platform/new-service.git"
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


def test_the_command_is_installed_from_a_teams_repository(clone: Path, tmp_path: Path) -> None:
    url = INSTALL.removeprefix("uv tool install git+")
    env = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{clone}.insteadOf",
        "GIT_CONFIG_VALUE_0": url,
        "PATH": f"{Path(UV).parent}{os.pathsep}{os.environ['PATH']}",
        "UV_TOOL_DIR": str(tmp_path / "tools"),
        "UV_TOOL_BIN_DIR": str(tmp_path / "bin"),
    }
    run("sh", "-c", INSTALL, cwd=tmp_path, env=env)

    listed = run(tmp_path / "bin" / "new-service", "modules", cwd=tmp_path).stdout
    assert "database" in listed


def test_the_other_commands_do_what_they_say(
    new_service: Run, edited: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    shown = [line for line in COMMANDS[2:] if line.startswith("new-service ")]
    assert set(COMMANDS[2:]) - set(shown) == {
        # A test of its own, below.
        INSTALL,
        # It asks: test_prompts.py answers.
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


def test_the_pipelines_take_the_parts_that_they_name(new_service: Run) -> None:
    variables = {"PART": "2", "CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "6"}
    found = [
        string.Template(line).substitute(variables).replace('"', "").split()
        for block in PIPELINES
        for line in re.findall(r"uv run new-service (smoke .*)", block)
    ]
    assert [arguments[3:5] for arguments in found] == [["--shard", "2/6"]] * 2
    for arguments in found:
        assert new_service(*arguments, "--list").stdout


def test_the_pipelines_pin_the_actions_that_our_own_pin() -> None:
    ours = "".join(each.read_text("utf-8") for each in (ROOT / ".github/workflows").glob("*.yaml"))
    actions = re.findall(r"uses: .*", "".join(PIPELINES))
    assert actions
    assert [action for action in actions if action not in ours] == []


def test_the_pictures_show_what_a_terminal_shows(required: Required, tmp_path: Path) -> None:
    for path, svg in pictures(tmp_path):
        shown = words(svg)
        reachable = None if "not locked" in " ".join(shown) else True
        required.of(reachable, "no package index can be reached")

        kept = words(path.read_text("utf-8"))
        assert shown == kept, f"{path.name} is of another day: uv run python tests/screens.py"
