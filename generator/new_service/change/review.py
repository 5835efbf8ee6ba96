"""What a user sees of a change: what it does, why it was refused, what is left to do."""

import shlex
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import fill

from ..service import ignoring
from ..service.checks import Result
from ..service.folder import Service
from ..service.ignoring import Ignored
from ..system.prompts import confirm
from ..system.screen import Report
from ..system.trees import Change

_DONE, _REFUSED = 0, 3
_SHOWN_LINES = 8
_DEEP = "    "


@dataclass
class Review:
    """One change of a service, filled in as it goes."""

    service: Service
    command: str
    """What was called, such as `new-service add example`."""
    message: str
    """For the commit."""
    before: str
    after: str
    """Versions of the template."""
    confirms: bool = False
    """Whether it is asked about, where there is somebody to ask."""
    changes: list[Change] = field(default_factory=list)
    hunks: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Of each path in conflict: what the owner has, what the template has."""
    would_lose: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    """Those of `would_lose` that git does not know: they are never overwritten."""
    clashes: dict[str, str] = field(default_factory=dict)
    """Those of `would_lose` that share an import name with what comes, and with what."""
    refused: bool = False
    applied: bool = False
    locked: bool = False
    checks: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    """Files that come, and git has a rule against."""
    variables: list[str] = field(default_factory=list)
    """What came into `.env`."""
    _listed: bool = field(default=False, init=False)

    def finish(self, report: Report) -> int:
        """Tell the outcome; 0, or 3 if the change was refused."""
        if self.refused:
            self.list_changes(report)
            self._say_refused(report)
        elif not self.changes:
            pin = f", pin {self.service.pin}" if self.service.pin else ""
            report.say(f"  nothing to do: the service is at {self.before}{pin}.")
        else:
            self.list_changes(report)
            staged = "staged" if self.applied else "to be staged"
            spite = f"{staged} in spite of these rules:"
            ignoring.tell(report, self.ignored, spite, of=len(self.changes))
            self._say_next(report)
        report.document(
            {
                "project": str(self.service.folder),
                "from": self.before,
                "to": self.after,
                "applied": self.applied,
                "locked": self.locked,
                "ignored": [asdict(each) for each in self.ignored],
                "checks": [asdict(each) for each in self.checks],
                "changes": [{"path": each.path, "kind": each.kind} for each in self.changes],
                "conflicts": list(self.hunks),
                "would_lose": self.would_lose,
            }
        )
        return _REFUSED if self.refused else _DONE

    def confirm(self, report: Report) -> None:
        """Ask whether to go on.

        Raises:
            Exit: no.
            KeyboardInterrupt: Ctrl-C.
        """
        self.list_changes(report)
        confirm(self.message)

    def list_changes(self, report: Report) -> None:
        """Print each path with what happens to it, once."""
        if self._listed:
            return
        self._listed = True
        report.say()
        for change in self.changes:
            report.say(f"  {change.kind:<9} {change.path}")
        report.say()

    def _say_refused(self, report: Report) -> None:
        count = f"  {_files(len(self.changes))} would change"
        edited = [
            path
            for path in self.would_lose
            if path not in self.blocked and path not in self.clashes
        ]
        if edited:
            report.say(f"{count}; these would go with your edits, so nothing was applied:")
            self._list(report, edited)
            if "--force" not in self.command and self.command.startswith("new-service remove"):
                hint = f"git still has them: {self.command} --force"
            else:
                hint = f"keep them, as conflicts: {self.command} --allow-conflicts"
        elif self.blocked:
            report.say(f"{count}; these are in the way, and git does not have them:")
            self._list(report, self.blocked)
            hint = "move them away; nothing was applied."
        elif self.clashes:
            report.say(f"{count}; Python would take these and what comes for one module:")
            width = max(map(len, self.clashes))
            for path, name in self.clashes.items():
                report.say(f"    {path:<{width}}   {name}")
            hint = "rename them, and where they are imported; nothing was applied."
        else:
            verb = "conflicts" if len(self.hunks) == 1 else "conflict"
            report.say(f"{count}, {len(self.hunks)} {verb} with your edits; nothing was applied.")
            self._show_hunks(report)
            hint = (
                f"take the markers and solve them in your editor: {self.command} --allow-conflicts"
            )
        report.say(f"  hint: {hint}")

    def _list(self, report: Report, paths: list[str]) -> None:
        for path in paths:
            report.say(f"    {path}")

    def _show_hunks(self, report: Report) -> None:
        width = max(len(self.after), len("you"))
        for path, hunks in self.hunks.items():
            report.say(f"    {path}")
            if not hunks:
                report.say("      both changed it, and it cannot be merged line by line")
            for ours, theirs in hunks:
                for who, text in (("you", ours), (self.after, theirs)):
                    for line in _shortened(text):
                        report.say(f"      {who:<{width}}  {line}".rstrip())
                        who = ""

    def _say_next(self, report: Report) -> None:
        kinds = Counter(change.kind for change in self.changes)
        count = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
        if not self.applied:
            report.say(f"  {count}; a dry run, nothing was applied.")
            return
        report.say(f"  {count}; nothing is committed.")
        if self.hunks:
            report.say(f"  {_files(len(self.hunks))} with conflict markers, to be solved first:")
            self._list(report, list(self.hunks))
        for note in self.notes:
            report.say(f"  ! {note}")
        if self.variables:
            report.say("  .env has new variables:")
            report.say(
                fill(", ".join(self.variables), 76, initial_indent=_DEEP, subsequent_indent=_DEEP)
            )
        report.say()
        todo = [
            ("git diff --staged", "see what changed"),
            *self._left_to_do(),
            (f"git commit -m {shlex.quote(self.message)}", "keep it"),
            ("git reset --hard", "or take it all back"),
        ]
        width = max(len(command) for command, _ in todo)
        for command, purpose in todo:
            report.say(f"  {command:<{width}}   {purpose}")

    def _left_to_do(self) -> list[tuple[str, str]]:
        """What is left to the owner: nobody else runs migrations, or writes those that drop."""
        if not self.service.setting("tool", "poe", "tasks", "migrate"):
            return []
        added = [Path(each.path) for each in self.changes if each.kind == "added"]
        if any(each.parent.name == "versions" and each.stem != "__init__" for each in added):
            return [("uv run poe migrate", "bring the tables up to date")]
        deleted = [Path(each.path).name for each in self.changes if each.kind == "deleted"]
        if "models.py" in deleted:
            return [
                ("uv run poe migration 'drop tables'", "its tables stay: write a migration"),
                ("uv run poe migrate", "that drops them, and run it"),
            ]
        return []


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _shortened(text: str) -> list[str]:
    lines = text.splitlines() or ["(nothing)"]
    if len(lines) > _SHOWN_LINES:
        return [*lines[:_SHOWN_LINES], f"... {len(lines) - _SHOWN_LINES} more lines"]
    return lines
