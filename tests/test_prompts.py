"""`new-service` on a pseudo-terminal: keys in, a service out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from conftest import COMMAND, clean_environment

DOWN, ENTER, CTRL_C = "\x1b[B", "\r", "\x03"
Start = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def start(template: Path, tmp_path: Path) -> Start:
    """The command in a terminal of 80 columns."""

    def spawn(*arguments: str) -> pexpect.spawn[str]:
        environment = clean_environment() | {
            "NEW_SERVICE_TEMPLATE": str(template),
            "TERM": "xterm",
        }
        return pexpect.spawn(
            COMMAND, list(arguments), cwd=tmp_path, env=environment, encoding="utf-8", timeout=60,
            dimensions=(40, 80),
        )  # fmt: skip

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
    terminal.send(" Really." + ENTER)
    terminal.expect("Lowest Python version")
    terminal.send(DOWN + DOWN + ENTER)
    terminal.expect("pyproject.toml")
    terminal.expect("Create it")
    terminal.send("y")

    assert finish(terminal) == 0
    answers = (tmp_path / "orders-api" / ".copier-answers.yml").read_text("utf-8")
    assert "description: The orders-api service. Really.\n" in answers
    assert "python_version: '3.13'\n" in answers


def test_without_a_command_it_creates(start: Start) -> None:
    terminal = start()
    terminal.expect("Service name")
    terminal.send(CTRL_C)

    assert finish(terminal) == 130


def test_what_flags_answer_is_not_asked(start: Start, tmp_path: Path) -> None:
    terminal = start("create", "orders-api", "--no-lock", "--data", "python_version=3.12")
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


@pytest.mark.parametrize("prompts", [0, 1, 2, 3])
def test_interrupt_at_any_prompt_leaves_nothing(prompts: int, start: Start, tmp_path: Path) -> None:
    terminal = start("create", "--no-lock")
    steps = [("Service name", "orders-api"), ("What does it do", ""), ("Lowest Python version", "")]
    for prompt, answer in steps[:prompts]:
        terminal.expect(prompt)
        terminal.send(answer + ENTER)
    terminal.expect([*(prompt for prompt, _ in steps), "Create it"][prompts])
    terminal.send(CTRL_C)

    assert finish(terminal) == 130
    assert list(tmp_path.iterdir()) == []


def test_no_leaves_nothing(start: Start, tmp_path: Path) -> None:
    terminal = start("create", "orders-api", "--no-lock", "--data", "python_version=3.12")
    terminal.expect("What does it do")
    terminal.send(ENTER)
    terminal.expect("Create it")
    terminal.send("n")

    assert finish(terminal) == 130
    assert list(tmp_path.iterdir()) == []
