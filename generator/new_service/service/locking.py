"""Lock a service to the set of packages that its template was tested with."""

import subprocess
from pathlib import Path

from packaging.version import Version

from ..system.documents import toml_in
from ..system.programs import uv
from ..system.screen import Step
from ..template.source import Template
from .workspace import around, settings

# The service itself is not a member, but the folder in which it is made or changed would be.
_CLAIMED = "the uv workspace around it includes all folders here"


def lock(folder: Path, template: Template, step: Step) -> bool:
    """Write `uv.lock` in `folder`; False, with the reason in `step`, if that is impossible.

    First with the cut-off, then without: uv keeps the versions and drops the cut-off from the
    lock, so that `uv lock --upgrade` is all its owner needs to move on.
    """
    if around(folder):
        return _unlocked(step, _CLAIMED)
    day = template.questions.known_good
    dated = _lock(folder, "--exclude-newer", day) if day else None
    if dated and dated.returncode != 0 and _no_network(dated.stdout):
        return _unlocked(step, dated.stdout)
    known = dated is not None and dated.returncode == 0
    plain = _settle(folder) if known else _lock(folder)
    if plain.returncode != 0:
        return _unlocked(step, plain.stdout)
    packages = (folder / "uv.lock").read_text("utf-8").count("[[package]]") - 1
    step.detail = f"{packages} packages as tested with {template.version}"
    if dated and dated.returncode != 0:
        step.mark = "!"
        undated = "is missing an upload date" in dated.stdout
        reason = "the index gives no upload times" if undated else f"those of {day} do not resolve"
        step.detail = f"{packages} packages, the newest: {reason}"
    _tell_personal(folder, step)
    return True


def relock(folder: Path, template: Template, step: Step) -> bool:
    """Bring `uv.lock` in step with pyproject.toml; False, and words in `step`, if that fails.

    What is locked stays. What comes new is as the template was tested, unless its owner has moved
    on to newer packages already.
    """
    if around(folder):
        return _unlocked(step, _CLAIMED)
    path, day = folder / "uv.lock", template.questions.known_good
    try:
        text, before = path.read_text("utf-8"), _versions(path)
    except ValueError as bad:
        return _unlocked(step, f"error: uv.lock cannot be read: {bad}")
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
    _tell_personal(folder, step)
    return True


def _lock(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `uv lock` without the cut-off of the user's own settings."""
    if "--exclude-newer" not in options:
        options = (*options, *undated(folder))
    return uv("lock", *options, folder=folder)


def undated(folder: Path) -> list[str]:
    """Options with which `uv lock` gives all users the same lock.

    They turn off a cut-off in the user's own settings; that of a repository stays.
    """
    return [] if "exclude-newer" in settings(folder) else ["--exclude-newer", "false"]


def _renew(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `uv lock`; without a network, from uv's cache."""
    done = _lock(folder, *options)
    return _lock(folder, *options, "--offline") if _no_network(done.stdout) else done


def _settle(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `uv lock` once more, to remove the cut-off and nothing else.

    uv has just cached all that it needs; an index may take seconds to answer again.
    """
    offline = _lock(folder, "--offline")
    return offline if offline.returncode == 0 else _renew(folder)


def _tell_personal(folder: Path, step: Step) -> None:
    """Say which of a user's own settings the lock has: it is in step for that user alone."""
    options = toml_in(folder / "uv.lock").get("options", {})
    names = options if isinstance(options, dict) else {}
    # The lock says `resolution-mode` for the setting `resolution`.
    has = {name.removesuffix("-mode").removesuffix("-span") for name in names}
    personal = sorted(has - settings(folder).keys())
    if personal:
        step.mark = "!"
        step.detail += f", with your own uv settings: {', '.join(personal)}"


def _versions(lock: Path) -> dict[str, Version]:
    """The packages of a lock; the service itself, which has no index, is left out.

    Raises:
        ValueError: it is not a lock.
    """
    packages = toml_in(lock).get("package")
    if not isinstance(packages, list):
        raise ValueError("it lists no packages")  # noqa: TRY004  one error for every form
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
    telling = [at for word in ("exclude-newer", "error") for at in words if word in at.lower()]
    reason = " ".join(words[words.index(telling[0]) :]) if telling else "".join(words[-1:])
    step.detail = f"not locked, run `uv lock` later: {reason}"[:200]
    return False
