"""Questions on a terminal: each prompt is erased, and a line with the answer stays.

They raise KeyboardInterrupt on Ctrl-C and Ctrl-D.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import typer

from .screen import folded

if TYPE_CHECKING:
    from questionary import Choice, Question


@dataclass(frozen=True)
class Option:
    """One of the answers to choose from."""

    value: str
    title: str
    refusal: str = ""
    """Why it cannot be chosen now."""


def object_to(said: str) -> None:
    """Show what is wrong with the last answer."""
    print("\n".join(folded(" ".join(said.split()), first="  ✗ ")), flush=True)


def remark(said: str) -> None:
    """Show a consequence of the last answer."""
    print("\n".join(folded(said, first="  · ")), flush=True)


def text(label: str, hint: str, typed: str) -> str:
    """Ask for text; `hint` says what to type, `typed` is a text to edit."""
    import questionary  # takes 0.1 s, which only prompts need

    instruction = f"({hint})" if hint else None
    asked = questionary.text(label, typed, qmark="?", instruction=instruction, erase_when_done=True)
    return str(_answer(asked)).strip()


def one(label: str, options: Sequence[Option], default: str | None) -> str:
    """Ask for the value of one of `options`."""
    import questionary

    offered = [each.value for each in options if not each.refusal]
    asked = questionary.select(
        label, _choices(options), default if default in offered else None, qmark="?",
        instruction="(arrow keys, then enter)", erase_when_done=True,
    )  # fmt: skip
    return str(_answer(asked))


def several(label: str, options: Sequence[Option], chosen: Sequence[str]) -> list[str]:
    """Ask for the values of any of `options`."""
    import questionary

    asked = questionary.checkbox(
        label, _choices(options, chosen), qmark="?",
        instruction="(space selects, enter continues)", erase_when_done=True,
    )  # fmt: skip
    return cast("list[str]", _answer(asked))


def confirm(question: str, *, otherwise: str = "nothing was changed.") -> None:
    """Ask whether to continue; Enter is yes, and a no prints `otherwise`.

    Raises:
        Exit: the answer is no, which is not an interrupt.
        KeyboardInterrupt: Ctrl-C.
    """
    import questionary

    if not _answer(questionary.confirm(question, qmark="?")):
        print(f"  {otherwise}")
        raise typer.Exit(1)


def answered(label: str, words: str) -> None:
    """Leave a question with its answer on the screen."""
    import questionary

    start = f"? {label}  "
    questionary.print(start, style="bold", end="")
    lines = folded(words, first=start, rest="    ")
    questionary.print("\n".join(lines)[len(start) :], style="fg:ansicyan")


def _answer(asked: "Question") -> object:
    try:
        return asked.unsafe_ask()
    except EOFError as closed:  # Ctrl-D
        raise KeyboardInterrupt from closed


def _choices(options: Sequence[Option], chosen: Sequence[str] = ()) -> list["Choice"]:
    from questionary import Choice

    mark = " » ○ "
    return [
        Choice(
            "\n".join(folded(each.title, first=mark))[len(mark) :],
            each.value,
            disabled=each.refusal or None,
            checked=each.value in chosen,
        )
        for each in options
    ]
