"""What a user sees of a change: what it does, why it was refused, what is left to do."""

import os
import shlex
from collections import Counter

from ..service import ignoring
from ..system.places import from_here
from ..system.screen import Report, counted, folded
from .review import Review

_DONE, _REFUSED = 0, 3
_SHOWN_LINES = 8


def conclude(review: Review, report: Report, *, listed: bool = False) -> int:
    """Tell the outcome; 0, or 3 if the change was refused. `listed`: its paths are told already."""
    if (review.changes or review.refused) and not listed:
        list_changes(review, report)
    if review.refused:
        _say_refused(review, report)
    elif not review.changes:
        pin = f", pin {review.service.pin}" if review.service.pin else ""
        report.say(f"  nothing to do: the service is at {review.before}{pin}.")
    else:
        staged = "staged" if review.applied else "to be staged"
        spite = f"{staged} in spite of these rules:"
        ignoring.tell(report, review.ignored, spite, of=len(review.changes))
        _say_next(review, report)
    report.document(review.document)
    return _REFUSED if review.refused else _DONE


def list_changes(review: Review, report: Report) -> None:
    """Print each path with what happens to it."""
    report.say()
    for change in review.changes:
        report.say(f"  {change.kind:<9} {change.path}")
    report.say()


def _say_refused(review: Review, report: Report) -> None:
    count = f"  {counted(len(review.changes))} would change"
    edited = [
        path
        for path in review.would_lose
        if path not in review.blocked and path not in review.clashes
    ]
    if edited:
        report.say(f"{count}; these would be deleted with your edits, so nothing was applied:")
        _list(report, edited)
        if "--force" not in review.command and review.command.startswith("new-service remove"):
            hint = f"git still has them: {review.command} --force"
        else:
            hint = f"keep them, as conflicts: {review.command} --allow-conflicts"
    elif review.blocked:
        report.say(f"{count}; these are in the way, and git does not track them:")
        _list(report, review.blocked)
        hint = "move them away; nothing was applied."
    elif review.clashes:
        report.say(f"{count}; Python would import these and new files by the same name:")
        width = max(map(len, review.clashes))
        _list(report, [f"{path:<{width}}   {name}" for path, name in review.clashes.items()])
        hint = "rename them, and where they are imported; nothing was applied."
    else:
        verb = "conflicts" if len(review.hunks) == 1 else "conflict"
        report.say(f"{count}, {len(review.hunks)} {verb} with your edits; nothing was applied.")
        _show_hunks(review, report)
        hint = f"write conflict markers to resolve them: {review.command} --allow-conflicts"
    report.say(f"  hint: {hint}")


def _list(report: Report, lines: list[str]) -> None:
    for line in lines:
        report.say(f"    {line}")


def _show_hunks(review: Review, report: Report) -> None:
    width = max(len(review.after), len("you"))
    for path, hunks in review.hunks.items():
        report.say(f"    {path}")
        if not hunks:
            report.say("      both changed it, and it cannot be merged line by line")
        for ours, theirs in hunks:
            for who, text in (("you", ours), (review.after, theirs)):
                for line in _shortened(text):
                    report.say(f"      {who:<{width}}  {line}".rstrip())
                    who = ""


def _say_next(review: Review, report: Report) -> None:
    kinds = Counter(change.kind for change in review.changes)
    count = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    if not review.applied:
        report.say(f"  {count}; a dry run, nothing was applied.")
        return
    report.say(f"  {count}; nothing is committed.")
    if review.hunks:
        report.say(f"  {counted(len(review.hunks))} with conflict markers, to resolve first:")
        _list(report, list(review.hunks))
    for note in review.notes:
        report.say(f"  ! {note}")
    if review.variables:
        report.say("  .env has new variables:")
        report.say("\n".join(folded(", ".join(review.variables), first="    ")))
    report.say()
    # In a larger repository other work may be staged: the service's folder is named.
    git = _there("git -C", review) or "git"
    uv = _there("uv run --directory", review) or "uv run"
    left_to_do = [
        (uv + command.removeprefix("uv run") if command.startswith("uv run ") else command, purpose)
        for command, purpose in review.left_to_do
    ]
    # The tree was clean: files that are new by then are from the steps above.
    add = f"{git} add . && " if left_to_do else ""
    report.steps(
        [
            (f"{git} diff --staged .", "see what changed"),
            *left_to_do,
            (f"{add}{git} commit -m {shlex.quote(review.message)} -- .", "keep it"),
            (f"{git} restore --staged --worktree .", "or take it all back"),
        ]
    )


def _there(option: str, review: Review) -> str:
    """`option` with the service's folder, for whoever does not stand there."""
    where = from_here(review.service.folder)
    return "" if where == os.path.curdir else f"{option} {shlex.quote(where)}"


def _shortened(text: str) -> list[str]:
    lines = text.splitlines() or ["(nothing)"]
    if len(lines) > _SHOWN_LINES:
        return [*lines[:_SHOWN_LINES], f"... {len(lines) - _SHOWN_LINES} more lines"]
    return lines
