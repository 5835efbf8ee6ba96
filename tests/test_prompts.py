"""`new-service` on a pseudo-terminal: keys in, a service out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from conftest import on_terminal

DOWN, ENTER, CTRL_C = "\x1b[B", "\r", "\x03"
KNOWN = ("--data", "python_version=3.12", "--data", "ci=none")
Start = Callable[..., "pexpect.spawn[str]"]


MINIMAL = ["--preset", "minimal"]  # what to start from is asked in test_modules.py


@pytest.fixture
def start(template: Path, tmp_path: Path) -> Start:
    """The command in a terminal of 80 columns."""

    def spawn(*arguments: str, colours: bool = False) -> pexpect.spawn[str]:
        command = [*arguments, *(MINIMAL if arguments else [])]
        ours = {"NEW_SERVICE_TEMPLATE": str(template)}
        return on_terminal(*command, cwd=tmp_path, env=ours, colours=colours)

    return spawn


def finish(terminal: pexpect.spawn[str]) -> int | None:
    terminal.expect(pexpect.EOF)
    terminal.close()
    return terminal.exitstatus


def test_keys_make_the_service_that_they_choose(start: Start, tmp_path: Path) -> None:
    terminal = start("create", "--no-lock")
    terminal.expect("Service name")
    terminal.send("orders-api" + ENTER)
    terminal.expect("What does it do")
    terminal.send("Takes orders." + ENTER)
    terminal.expect("Lowest Python version")
    terminal.send(DOWN + DOWN + ENTER)
    terminal.expect("Where its checks run")
    terminal.send(DOWN + ENTER)
    terminal.expect("src/orders_api/")
    terminal.expect("Create it")
    terminal.send("y")

    assert finish(terminal) == 0
    answers = (tmp_path / "orders-api" / ".copier-answers.yml").read_text("utf-8")
    assert "description: Takes orders.\n" in answers
    assert "python_version: '3.13'\n" in answers
    assert "ci: gitlab\n" in answers


def test_without_a_command_it_creates(start: Start) -> None:
    terminal = start()
    terminal.expect("Start from")
    terminal.send(CTRL_C)

    assert finish(terminal) == 130


def test_what_flags_answer_is_not_asked(start: Start, tmp_path: Path) -> None:
    terminal = start("create", "orders-api", "--no-lock", *KNOWN)
    terminal.expect("What does it do")
    terminal.send(ENTER)
    assert terminal.expect(["Create it", "Lowest Python version"]) == 0
    terminal.send(ENTER)

    assert finish(terminal) == 0
    assert (tmp_path / "orders-api").is_dir()


def test_a_bad_name_is_told_at_the_prompt_and_can_be_mended(start: Start) -> None:
    terminal = start("create", "--no-lock")
    terminal.expect("Service name")
    terminal.send("celery" + ENTER)
    terminal.expect("the name 'celery'")
    terminal.send("-jobs" + ENTER)
    terminal.expect("What does it do")
    terminal.send(CTRL_C)

    assert finish(terminal) == 130


@pytest.mark.parametrize("prompts", [0, 1, 2, 3, 4])
def test_interrupt_at_any_prompt_leaves_nothing(prompts: int, start: Start, tmp_path: Path) -> None:
    terminal = start("create", "--no-lock")
    steps = [
        ("Service name", "orders-api"),
        ("What does it do", ""),
        ("Lowest Python version", ""),
        ("Where its checks run", ""),
    ]
    for prompt, answer in steps[:prompts]:
        terminal.expect(prompt)
        terminal.send(answer + ENTER)
    terminal.expect([*(prompt for prompt, _ in steps), "Create it"][prompts])
    terminal.send(CTRL_C)

    assert finish(terminal) == 130
    assert list(tmp_path.iterdir()) == []


def test_no_leaves_nothing(start: Start, tmp_path: Path) -> None:
    terminal = start("create", "orders-api", "--no-lock", *KNOWN)
    terminal.expect("What does it do")
    terminal.send(ENTER)
    terminal.expect("Create it")
    terminal.send("n")
    terminal.expect("nothing was created")

    assert finish(terminal) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("colours", [True, False])
def test_colours_unless_the_user_wants_none(colours: bool, start: Start) -> None:
    terminal = start("create", "orders-api", "--no-lock", colours=colours)
    said = ""
    for prompt, answer in (
        ("What does it do", ENTER),
        ("Lowest Python version", ENTER),
        ("Where its checks run", ENTER),
        ("Create it", "y"),
    ):
        terminal.expect(prompt)
        said += terminal.before or ""
        terminal.send(answer)
    terminal.expect(pexpect.EOF)
    said += terminal.before or ""

    coloured = re.findall(r"\x1b\[(?:[0-9;]*;)?(?:3[0-9]|4[0-9]|9[0-7])(?:;[0-9;]*)?m", said)
    assert bool(coloured) == colours
    assert "✓" in said


def test_yes_asks_nothing_on_a_terminal(start: Start, tmp_path: Path) -> None:
    terminal = start("create", "orders-api", "--no-lock", "--yes")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert "? " not in (terminal.before or "")
    assert terminal.exitstatus == 0
    assert (tmp_path / "orders-api").is_dir()


def test_no_color_gives_plain_lines(start: Start) -> None:
    terminal = start("create", "orders-api", "--no-lock", "--yes")
    terminal.expect(pexpect.EOF)

    assert "✓ rendered" in (terminal.before or "")
    assert "\x1b" not in (terminal.before or "")


def test_preview_counts_the_files_that_are_made(start: Start, tmp_path: Path) -> None:
    terminal = start("create", "orders-api", "--no-lock", "--data", "description=x")
    for prompt in ("Lowest Python version", "Where its checks run"):
        terminal.expect(prompt)
        terminal.send(ENTER)
    terminal.expect(r"(\d+) files; --dry-run lists them")
    counted = int(terminal.match[1])  # type: ignore[index]
    terminal.expect("Create it")
    assert max(map(len, (terminal.before or "").splitlines())) <= 80
    assert not (tmp_path / "orders-api").exists()
    terminal.send("y")

    assert finish(terminal) == 0
    made = tmp_path / "orders-api"
    files = [path for path in made.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert len([path for path in files if path.name != ".env"]) == counted


def test_a_wish_that_cannot_be_met_is_told_before_anything_is_asked(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "orders-api").mkdir()
    terminal = start("create", "orders-api", "--no-lock")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 2
    assert "exists already" in (terminal.before or "")
    assert "What does it do" not in (terminal.before or "")
