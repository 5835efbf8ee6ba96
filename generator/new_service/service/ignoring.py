"""Files of a service that git ignores by a rule outside the service: a clone would lack them."""

import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ..system.git import check_refusal, git, is_inside_work_tree, listed
from ..system.screen import Report, Step, counted


@dataclass(frozen=True)
class Ignored:
    """A file, and the rule that ignores it."""

    path: str
    """From the service's folder."""
    rule: str
    """`FILE:LINE:PATTERN`, as `git check-ignore --verbose` prints it."""


def ignored(service: Path, paths: Collection[str], *, own_rules: bool) -> list[Ignored]:
    """Those of `paths` that git does not track and that `git add` would leave out.

    Neither they nor the service's folder need exist. With `own_rules`, rules in that folder count.

    Raises:
        BadInput: git refuses to read the repository.
    """
    around = service if service.is_dir() else service.parent
    if not is_inside_work_tree(around):
        return []
    # `./` keeps git from reading a name as a pattern.
    given = {f"./{(service / path).relative_to(around).as_posix()}": path for path in paths}
    prefix = git(around, "rev-parse", "--show-prefix")
    found = []
    for source, line, pattern, name in _rules(around, given):
        is_own = around == service and source.startswith(prefix) and not Path(source).is_absolute()
        if not pattern.startswith("!") and (own_rules or not is_own):
            found.append(Ignored(given[name], f"{source}:{line}:{pattern}"))
    return found


def _rules(around: Path, paths: Collection[str]) -> list[tuple[str, str, str, str]]:
    """File, line, pattern and path for each path that a rule matches."""
    try:
        output = git(
            around, "check-ignore", "--verbose", "-z", "--stdin", stdin=listed(paths),
            variables={"GIT_LITERAL_PATHSPECS": "0"},
        )  # fmt: skip
    except subprocess.CalledProcessError as failed:
        if failed.returncode != 1:  # none is ignored
            check_refusal(around, failed)
        return []
    fields = output.split("\0")
    return list(zip(fields[::4], fields[1::4], fields[2::4], fields[3::4], strict=False))


def tell(report: Report, found: Collection[Ignored], outcome: str, *, of: int) -> None:
    """Print `outcome` for the files `found` among `of` files, each below its rule."""
    if not found:
        return
    report.line(Step("ignored", f"{counted(len(found))}, {outcome}", "!"))
    rules = dict.fromkeys(each.rule for each in found)
    for rule in rules:
        report.say(f"      {rule}")
        if len(rules) == 1 and len(found) == of:
            report.say("        everything")
            return
        for each in found:
            if each.rule == rule:
                report.say(f"        {each.path}")
