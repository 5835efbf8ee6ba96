"""How questions look on a terminal. The answer stays there in words, whatever was pressed."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from questionary import Choice, Question


@dataclass(frozen=True)
class Option:
    """One of the answers to choose from."""

    value: str
    title: str
    refusal: str = ""
    """Why it cannot be chosen now."""


class Prompts(Protocol):
    """Asks; each raises KeyboardInterrupt on Ctrl-C and Ctrl-D."""

    def text(self, label: str, hint: str, typed: str) -> str:
        """Text; `hint` says what to type, or what an empty answer means."""

    def one(self, label: str, options: Sequence[Option], default: str | None) -> str:
        """The value of one of `options`."""

    def several(self, label: str, options: Sequence[Option], chosen: Sequence[str]) -> list[str]:
        """The values of any of `options`."""

    def yes(self, label: str) -> bool:
        """Yes or no; Enter is yes."""


def prompts() -> Prompts:
    """The prompts that fit the terminal."""
    return _Typed() if os.environ.get("TERM", "").lower() in {"dumb", "unknown"} else _Pressed()


def columns() -> int:
    """The columns that lines may take: those of the terminal, at most 80."""
    return min(80, shutil.get_terminal_size().columns)


def folded(text: str, *, first: str = "  ", rest: str | None = None) -> list[str]:
    """`text` in lines that fit, after `first`; the others begin with `rest`, as wide by default."""
    rest = " " * len(first) if rest is None else rest
    lines = wrap(
        text, columns(), initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
    return lines or [first.rstrip()]


def object_to(said: str) -> None:
    """Show what is wrong with the last answer."""
    print("\n".join(folded(" ".join(said.split()), first="  ✗ ")), flush=True)


class _Pressed:
    """Prompts that react to keys, and are replaced by their answer."""

    def text(self, label: str, hint: str, typed: str) -> str:
        import questionary  # 0.1 s that only a prompt needs

        instruction = f"({hint})" if hint else None
        asked = questionary.text(
            label, typed, qmark="?", instruction=instruction, erase_when_done=True
        )
        return str(_answer(asked)).strip()

    def one(self, label: str, options: Sequence[Option], default: str | None) -> str:
        import questionary

        offered = [each.value for each in options if not each.refusal]
        asked = questionary.select(
            label, _choices(options), default if default in offered else None, qmark="?",
            instruction="(arrow keys, then enter)", erase_when_done=True,
        )  # fmt: skip
        return str(_answer(asked))

    def several(self, label: str, options: Sequence[Option], chosen: Sequence[str]) -> list[str]:
        import questionary

        asked = questionary.checkbox(
            label, _choices(options, chosen), qmark="?",
            instruction="(space chooses, enter goes on)", erase_when_done=True,
        )  # fmt: skip
        return cast("list[str]", _answer(asked))

    def yes(self, label: str) -> bool:
        import questionary

        return bool(_answer(questionary.confirm(label, qmark="?")))


class _Typed:
    """Prompts for a terminal whose cursor does not move: each answer is a line."""

    def text(self, label: str, hint: str, typed: str) -> str:  # noqa: ARG002  nothing to edit
        return _line(label, hint)

    def one(self, label: str, options: Sequence[Option], default: str | None) -> str:
        offered = [each.value for each in options if not each.refusal]
        default = default if default in offered else None
        hint = ", ".join(offered) + (f"; Enter: {default}" if default else "")
        while True:
            given = _line(label, hint) or default
            if given in offered:
                return given
            object_to(f"{given or 'nothing'} is not among {', '.join(offered)}.")

    def several(self, label: str, options: Sequence[Option], chosen: Sequence[str]) -> list[str]:
        offered = [each.value for each in options if not each.refusal]
        hint = f"{', '.join(offered)}; with commas between; Enter: {', '.join(chosen) or 'none'}"
        while True:
            given = [part.strip() for part in _line(label, hint).split(",") if part.strip()]
            unknown = [each for each in given if each not in offered]
            if not unknown:
                return given or list(chosen)
            object_to(f"{', '.join(unknown)} is not among {', '.join(offered)}.")

    def yes(self, label: str) -> bool:
        while (given := _line(label, "Y/n").lower()) not in {"", "y", "yes", "n", "no"}:
            object_to("answer y or n.")
        return given in {"", "y", "yes"}


def answered(label: str, words: str) -> None:
    """Leave a question with its answer on the screen."""
    if isinstance(prompts(), _Typed):
        return  # it is there already
    import questionary

    start = f"? {label}  "
    questionary.print(start, style="bold", end="")
    lines = folded(words, first=start, rest="    ")
    questionary.print("\n".join(lines)[len(start) :], style="fg:ansicyan")


def _line(label: str, hint: str) -> str:
    print("\n".join(folded(f"{label} ({hint}):" if hint else f"{label}:", first="? ")), end=" ")
    try:
        return input().strip()
    except EOFError as closed:
        raise KeyboardInterrupt from closed


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
