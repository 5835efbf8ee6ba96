"""Lock a service to the set of packages that its template was tested with."""

from pathlib import Path

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
    plain = run([uv, "lock"], folder)
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
