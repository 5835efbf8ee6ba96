"""How progress and results look: on a terminal, in a pipe, and with --json."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType

_COLOURS = {"✓": "32", "✗": "31", "!": "33", "·": "2"}


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
    """Says what is running and how long it took.

    On stdout; on stderr where stdout is kept for one JSON document.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.stream = sys.stderr if as_json else sys.stdout
        # A user who likes no colours (https://no-color.org) likes no moving lines either.
        wanted = not os.environ.get("NO_COLOR") and not _is_dumb()
        self.is_lively = self.stream.isatty() and wanted

    @property
    def obstacle(self) -> str:
        """Why nobody can be asked anything; empty if somebody can."""
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            return "there is nobody to ask"
        if self.as_json:
            return "with --json nothing is asked"
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

    def document(self, content: object) -> None:
        """Print the one JSON document, if it was asked for."""
        if self.as_json:
            print(json.dumps(content, indent=2), flush=True)


def _is_dumb() -> bool:
    """Whether the terminal can print lines, and nothing else."""
    return os.environ.get("TERM") == "dumb"
