"""Output: progress, results and long lines, on a terminal, in a pipe, and with --json."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from textwrap import wrap
from types import TracebackType

_COLOURS = {"✓": "32", "✗": "31", "!": "33", "·": "2"}


def columns() -> int:
    """The columns that lines may take: those of the terminal, at most 80."""
    return min(80, shutil.get_terminal_size().columns)


def folded(text: str, *, first: str = "  ", rest: str | None = None) -> list[str]:
    """`text` in lines that fit, after `first` and then `rest`, by default as many spaces."""
    rest = " " * len(first) if rest is None else rest
    lines = wrap(
        text, columns(), initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
    return lines or [first.rstrip()]


def fitting(start: str, items: Sequence[str]) -> str:
    """A line of `start` and as many `items` as fit, and the number of the others."""
    for count in range(len(items), 0, -1):
        more = f" and {len(items) - count} more" if count < len(items) else ""
        line = f"{start}{', '.join(items[:count])}{more}"
        if len(line) <= columns():
            return line
    more = f" and {len(items) - 1} more" if len(items) > 1 else ""
    room = columns() - len(start) - len(more) - 1
    return f"{start}…{items[0][-room:]}{more}"  # the end of a path tells most


def counted(count: int, noun: str = "file") -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


@dataclass
class Step:
    """One line of progress, timed while it is entered; `detail` is filled meanwhile."""

    name: str
    detail: str = ""
    mark: str = "✓"
    seconds: float | None = None
    _started: float = field(default=0.0, repr=False)

    def __enter__(self) -> "Step":
        self._started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self._started


class Report:
    """Prints what runs and how long it took.

    It prints to stdout, or to stderr if stdout is kept for one JSON document.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.stream = sys.stderr if as_json else sys.stdout
        # Whoever wants no colours (https://no-color.org) wants no moving lines either.
        wanted = not os.environ.get("NO_COLOR") and not _is_dumb()
        self.is_lively = self.stream.isatty() and wanted

    @property
    def obstacle(self) -> str:
        """Why no question can be asked; empty if questions can be asked."""
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            return "nothing can be asked without a terminal"
        if self.as_json:
            return "nothing is asked with --json"
        if _is_dumb():
            return "this terminal shows no prompts (TERM=dumb)"
        return ""

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time a step and print its line; one that raises prints none."""
        with self.waiting(name), Step(name) as step:
            yield step
        self.line(step)

    def waiting(self, text: str) -> AbstractContextManager[object]:
        """A spinner on a terminal, nothing elsewhere."""
        if not self.is_lively:
            return nullcontext()
        from rich.console import Console  # only a terminal needs it

        return Console(file=self.stream).status(f"  {text}")

    def line(self, step: Step) -> None:
        """Print a step: mark, name, seconds, detail."""
        seconds = "" if step.seconds is None else f"{step.seconds:.1f} s"
        text = f"{step.name:<12} {seconds:>7}   {step.detail}".rstrip()
        self.say(f"  {self._coloured(step.mark)} {text}")

    def _coloured(self, mark: str) -> str:
        if not self.is_lively:
            return mark
        return f"\033[{_COLOURS[mark]}m{mark}\033[0m"

    def say(self, text: str = "") -> None:
        """Print a line of progress."""
        print(text, file=self.stream, flush=True)

    def steps(self, steps: Sequence[tuple[str, str]]) -> None:
        """Print commands for the user to run, each with what it is for."""
        width = max(len(command) for command, _ in steps)
        for command, purpose in steps:
            self.say(f"  {command:<{width}}   {purpose}")

    def document(self, content: object) -> None:
        """Print the one JSON document, if it was asked for."""
        if self.as_json:
            print(json.dumps(content, indent=2), flush=True)


def _is_dumb() -> bool:
    """Whether the terminal can only print lines."""
    return os.environ.get("TERM") == "dumb"
