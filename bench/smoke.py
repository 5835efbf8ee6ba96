"""What trying combinations costs beside their own checks run by hand, and what jobs save."""

import shutil
import subprocess
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from xml.etree import ElementTree

from command import BIN
from measure import Ratio

# Four combinations with all modules but one; on files and SQLite, since no server is named.
PART = ("--strength", "2", "--shard", "2/4")


def smoke() -> Iterator[Ratio]:
    """`smoke` beside the checks of the services that it made, and two jobs beside one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = tried(folder / "one", jobs=1)
        tell(folder / "one")
        by_hand = sum(checked(service) for service in (folder / "one").glob("smoke-*"))
        yield Ratio.of("smoke to checks by hand", [(one, by_hand)], "s", 1.3)
        shutil.rmtree(folder / "one")
        two = tried(folder / "two", jobs=2)
        yield Ratio.of("smoke, one job to two", [(one, two)], "s", 1.6, at_least=True)


def tried(folder: Path, jobs: int) -> float:
    """The seconds that trying them takes; `folder` keeps services and a report."""
    folder.mkdir()
    started = perf_counter()
    subprocess.run(
        [
            *(BIN / "new-service", "smoke", *PART, "--jobs", str(jobs)),
            *("--keep", folder, "--junit", folder / "report.xml"),
        ],
        check=True,
        capture_output=True,
    )
    return perf_counter() - started


def tell(folder: Path) -> None:
    """Print what each combination costs, and where that goes."""
    for suite in ElementTree.parse(folder / "report.xml").getroot():  # noqa: S314  ours
        spent: dict[str, float] = defaultdict(float)
        for step in suite:
            name = str(step.get("name"))
            kind = "changes" if name.startswith(("add ", "remove ")) else name
            spent[kind] += float(step.get("time", 0))
        most = sorted(spent.items(), key=lambda item: -item[1])[:6]
        where = ", ".join(f"{name} {time:.0f}" for name, time in most)
        print(f"    {suite.get('name')}: {float(suite.get('time', 0)):.0f} s: {where}", flush=True)


def checked(service: Path) -> float:
    """The seconds that its own checks take in a fresh clone of it, one by one, with its Python."""
    clone = service.with_name(f"{service.name}-by-hand")
    subprocess.run(["git", "clone", "--quiet", service, clone], check=True)
    settings = tomllib.loads((clone / "pyproject.toml").read_text())
    python = settings["project"]["requires-python"].removeprefix(">=")
    checks = settings["tool"]["new-service"]["checks"]
    tasks = [each if isinstance(each, str) else each["task"] for each in checks]
    commands = [
        (BIN / "uv", "sync", "--quiet", "--frozen", "--python", python),
        *((BIN / "uv", "run", "--frozen", "poe", "-q", task) for task in tasks),
        (BIN / "new-service", "validate", "--only", "boot"),
    ]
    started = perf_counter()
    for command in commands:
        subprocess.run(command, cwd=clone, check=True, capture_output=True)
    return perf_counter() - started
