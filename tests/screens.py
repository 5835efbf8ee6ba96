"""The README's pictures: the last screen of a real session on a terminal, as SVG.

`uv run python tests/screens.py` renews them.
"""

from __future__ import annotations

import html
import io
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import pexpect
import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

from conftest import ROOT, copy_template, on_terminal, repository

FOLDER = ROOT / ".github" / "screens"
COLUMNS, ROWS = 80, 120  # nothing scrolls away
ENTER, DOWN = "\r", "\x1b[B"
Keys = list[tuple[str, str]]  # what is waited for, and what is typed then
CREATE: Keys = [
    ("Start from", DOWN + ENTER),
    ("Service name", "orders-api" + ENTER),
    ("What does it do", "Takes and tracks orders" + ENTER),
    ("Lowest Python version", ENTER),
    ("Where its checks run", ENTER),
    ("Create it", "y"),
]
# Rich's own fetches a font. At 21 pixels the lines of a tree meet, in cells as wide as letters.
FORMAT = """\
<svg viewBox="0 0 {width} {height:g}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: 21px ui-monospace, Menlo, "DejaVu Sans Mono", Consolas, monospace }}
.{unique_id}-title {{ font: bold 16px system-ui, sans-serif }}
{styles}
</style>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}<g class="{unique_id}-matrix">
{matrix}
</g></g></svg>
"""


def session(command: str, keys: Keys, folder: Path, template: Path) -> pyte.Screen:
    """The last screen of a `new-service` command in `folder`, answered by `keys`."""
    ours = {"NEW_SERVICE_TEMPLATE": str(template)}
    terminal = on_terminal(*command.split()[1:], cwd=folder, env=ours, colours=True, rows=ROWS)
    screen = pyte.Screen(COLUMNS, ROWS)
    # Prompts ask where the cursor is.
    screen.write_process_input = terminal.send  # type: ignore[method-assign,assignment]
    stream = pyte.Stream(screen)
    stream.feed(f"$ \x1b[1m{command}\x1b[0m\r\n")
    left = list(keys)
    with suppress(pexpect.EOF, pexpect.TIMEOUT):
        while True:
            stream.feed(terminal.read_nonblocking(4096))
            if left and any(left[0][0] in line for line in screen.display):
                terminal.send(left.pop(0)[1])
    terminal.close()
    assert (terminal.exitstatus, left) == (0, []), "\n".join(screen.display).rstrip()
    return screen


def style(char: Char) -> Style:
    """How Rich says what pyte says of a character."""
    names = (re.sub("^(?=[0-9a-f]{6}$)", "#", each) for each in (char.fg, char.bg))
    front, back = (each.replace("brown", "yellow") for each in names)
    return Style(color=front, bgcolor=back, bold=char.bold, reverse=char.reverse)


def picture(screen: pyte.Screen, name: str) -> str:
    """A screen as SVG, without the empty rows at its end."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    for row in range(max(at for at, line in enumerate(screen.display) if line.strip()) + 1):
        runs = groupby((screen.buffer[row][at] for at in range(COLUMNS)), style)
        text = Text.assemble(*(("".join(char.data for char in run), how) for how, run in runs))
        text.rstrip()
        console.print(text)
    svg = console.export_svg(
        title="new-service", theme=MONOKAI, code_format=FORMAT, font_aspect_ratio=0.632,
        unique_id=name,
    )  # fmt: skip
    # Rich makes a text of each line end, and clips lines, which all fit.
    svg = re.sub(r'<text[^>]*>\n</text>| clip-path="[^"]*"', "", svg)
    svg = svg.replace("</text><text", "</text>\n<text")
    return "".join(f"{line.strip()}\n" for line in svg.splitlines() if line.strip())


def words(svg: str) -> list[str]:
    """The words of a picture, with all numbers made equal: seconds, counts, versions."""
    texts = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    return re.sub(r"\d+(\.\d+)*", "0", html.unescape(texts)).split()


def pictures(folder: Path) -> Iterator[tuple[Path, str]]:
    """Where each picture is kept, and a new one, of a service made in `folder`."""
    template = repository(copy_template(folder / "template"), tag="v1.0.0")
    screen = session("new-service", CREATE, folder, template)
    yield FOLDER / "create.svg", picture(screen, "create")
    screen = session("new-service add docker", [], folder / "orders-api", template)
    yield FOLDER / "change.svg", picture(screen, "change")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for path, svg in pictures(Path(scratch)):
            path.write_text(svg, "utf-8")
