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
        suites = ElementTree.parse(folder / "one" / "report.xml").getroot()  # noqa: S314  ours
        services = sorted((folder / "one").glob("smoke-*"))
        hand = 0.0
        for service, suite in zip(services, suites, strict=True):
            tell(suite)
            hand += checked(service, [str(step.get("name")) for step in suite])
        yield Ratio.of("smoke to checks by hand", [(one, hand)], "s", 1.3)
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


def tell(suite: ElementTree.Element) -> None:
    """Print what a combination costs, and where that goes."""
    spent: dict[str, float] = defaultdict(float)
    for step in suite:
        name = str(step.get("name"))
        kind = "changes" if name.startswith(("add ", "remove ")) else name
        spent[kind] += float(step.get("time", 0))
    most = sorted(spent.items(), key=lambda item: -item[1])[:6]
    where = ", ".join(f"{name} {time:.0f}" for name, time in most)
    print(f"    {suite.get('name')}: {float(suite.get('time', 0)):.0f} s: {where}", flush=True)


def checked(service: Path, steps: list[str]) -> float:
    """The seconds that the checks among `steps` take by hand, in a fresh clone, with its Python.

    They are those of the service as it was created, and after its first change: `add x: types`.
    """
    clone = service.with_name(f"{service.name}-by-hand")
    subprocess.run(["git", "clone", "--quiet", service, clone], check=True)
    edit = steps.index("edit")
    change = f"{steps[edit + 1]}: "
    changed = [each.removeprefix(change) for each in steps if each.startswith(change)]
    seconds = 0.0
    for commit, checks in (("HEAD~3", steps[1:edit]), ("HEAD~1", changed)):
        subprocess.run(["git", "checkout", "--quiet", f"origin/{commit}"], cwd=clone, check=True)
        commands = by_hand(clone, checks)
        started = perf_counter()
        for command in commands:
            subprocess.run(command, cwd=clone, check=True, capture_output=True)
        seconds += perf_counter() - started
    return seconds


def by_hand(service: Path, checks: list[str]) -> Iterator[list[str | Path]]:
    """The commands that run `checks`: the service's own tasks, and new-service for the others."""
    settings = tomllib.loads((service / "pyproject.toml").read_text())
    python = settings["project"]["requires-python"].removeprefix(">=")
    declared = settings["tool"]["new-service"]["checks"]
    tasks = dict(
        (each, each) if isinstance(each, str) else (each["name"], each["task"]) for each in declared
    )
    yield [BIN / "uv", "sync", "--quiet", "--frozen", "--python", python]
    for check in checks:
        if check in tasks:
            yield [BIN / "uv", "run", "--frozen", "poe", "-q", tasks[check]]
    others = [word for check in checks if check not in tasks for word in ("--only", check)]
    yield [BIN / "new-service", "validate", *others]
