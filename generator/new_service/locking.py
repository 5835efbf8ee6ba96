"""Lock a service to the set of packages that its template was tested with."""

import subprocess
import tomllib
from pathlib import Path

from packaging.version import Version

from .programs import find_uv, run
from .report import Step
from .source import Template


def lock(folder: Path, template: Template, step: Step) -> bool:
    """Write `uv.lock` in `folder`; False, and words in `step`, if no index can be reached.

    First with the cut-off, then without: uv keeps the versions and drops the cut-off from the
    lock, so that `uv lock --upgrade` is all its owner needs to move on.
    """
    day, uv = template.questions.known_good, find_uv()
    dated = run([uv, "lock", "--exclude-newer", day], folder) if day else None
    if dated and dated.returncode != 0 and _no_network(dated.stdout):
        return _unlocked(step, dated.stdout)
    known = dated is not None and dated.returncode == 0
    plain = _settle(folder) if known else run([uv, "lock"], folder)
    if plain.returncode != 0:
        return _unlocked(step, plain.stdout)
    packages = (folder / "uv.lock").read_text("utf-8").count("[[package]]") - 1
    step.detail = f"{packages} packages as tested with {template.version}"
    if dated and dated.returncode != 0:
        step.mark = "!"
        undated = "is missing an upload date" in dated.stdout
        reason = "the index gives no upload times" if undated else f"those of {day} do not resolve"
        step.detail = f"{packages} packages, the newest: {reason}"
    return True


def relock(folder: Path, template: Template, step: Step) -> bool:
    """Bring `uv.lock` in step with pyproject.toml; False, and words in `step`, if that fails.

    What is locked stays. What comes new is as the template was tested, unless its owner has moved
    on to newer packages already.
    """
    path, day = folder / "uv.lock", template.questions.known_good
    text, before = path.read_text("utf-8"), _versions(path)
    known = False
    if day:
        known = _renew(folder, "--exclude-newer", day).returncode == 0
        after = _versions(path)
        if any(after[name] < before[name] for name in before.keys() & after.keys()):
            path.write_text(text, "utf-8")
            known = False
    plain = _settle(folder) if known else _renew(folder)
    if plain.returncode != 0:
        path.write_text(text, "utf-8")
        return _unlocked(step, plain.stdout)
    step.detail = f"{len(_versions(path))} packages"
    return True


def _renew(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`uv lock`; without network, from what uv has in its cache."""
    command = [find_uv(), "lock", *options]
    done = run(command, folder)
    return run([*command, "--offline"], folder) if _no_network(done.stdout) else done


def _settle(folder: Path) -> subprocess.CompletedProcess[str]:
    """`uv lock` once more, without the cut-off, which is all that it has to change.

    All that it asks is in uv's cache since a moment ago; an index may take seconds to say it again.
    """
    offline = run([find_uv(), "lock", "--offline"], folder)
    return offline if offline.returncode == 0 else _renew(folder)


def _versions(lock: Path) -> dict[str, Version]:
    """The packages of a lock; the service itself, which has no index, is left out."""
    packages = tomllib.loads(lock.read_text("utf-8"))["package"]
    return {
        each["name"]: Version(each["version"]) for each in packages if "registry" in each["source"]
    }


def _no_network(output: str) -> bool:
    return any(
        words in output for words in ("Failed to fetch", "error sending request", "dns error")
    )


def _unlocked(step: Step, output: str) -> bool:
    step.mark = "!"
    words = [line.strip(" │├╰×─▶") for line in output.splitlines() if line.strip()]
    reason = next((line for line in words if "error" in line.lower()), words[-1] if words else "")
    step.detail = f"not locked, run `uv lock` later: {reason}"[:200]
    return False
