"""How long the command takes, beside the least that could do the same."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from measure import Ratio, in_turns

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent

BARE = """
import typer

app = typer.Typer()


@app.command()
def one(name: str = "x") -> None:
    "Do one thing."


@app.command()
def two(name: str = "x") -> None:
    "Do another."


app()
"""


def seconds(*command: str | Path) -> float:
    """Run a command and tell how long it took, in milliseconds."""
    started = perf_counter()
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return (perf_counter() - started) * 1000


def help_of_the_command() -> Ratio:
    """`new-service --help` beside a Typer app of two commands."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        bare.write_text(BARE)
        pairs = in_turns(
            lambda: seconds(BIN / "new-service", "--help"),
            lambda: seconds(sys.executable, bare, "--help"),
            rounds=15,
        )
    return Ratio.of("new-service --help", pairs, "ms", 1.2)


def create() -> Ratio:
    """`create` without lock and git beside plain `copier copy` of the same template."""
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder, "template")
        subprocess.run(["git", "clone", "--quiet", ROOT, template], check=True)
        target = Path(folder, "out", "orders-api")
        target.parent.mkdir()

        def ours() -> float:
            shutil.rmtree(target, ignore_errors=True)
            return seconds(
                *(BIN / "new-service", "create", "orders-api", "--yes", "--no-lock", "--no-git"),
                *("--output-dir", target.parent, "--template", template),
            )

        def theirs() -> float:
            shutil.rmtree(target, ignore_errors=True)
            return seconds(
                *(BIN / "copier", "copy", "--defaults", "--quiet", "--vcs-ref", "HEAD"),
                *("--data", "service_name=orders-api", template, target),
            )

        pairs = in_turns(ours, theirs, rounds=15)
    return Ratio.of("create to copier copy", pairs, "ms", 0.95)
