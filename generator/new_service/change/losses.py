"""What a change would lose: edits in files that it deletes, and what Copier cannot merge.

Copier carries an owner's edits over as a text patch. It cannot patch a file that is not UTF-8 text,
and silently replaces the edits with the template's version (Copier 9.19.1).
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..system.trees import Change, Stage, differences
from .scratch import Outcome, Scratch


@dataclass(frozen=True)
class Losses:
    """What one outcome would lose; the template alone is rendered only if that is needed."""

    scratch: Scratch
    service: Path
    """The service's folder, as it is in its last commit."""
    render_before: Callable[[Path], None]
    render_after: Callable[[Path], None]
    render_everything: Callable[[Path], None]

    @cached_property
    def _before(self) -> Path:
        return self._rendered("before", self.render_before)

    @cached_property
    def _after(self) -> Path:
        return self._rendered("after", self.render_after)

    def _rendered(self, name: str, render: Callable[[Path], None]) -> Path:
        folder = self.scratch.folder.with_name(name)
        render(folder)
        return folder

    def _edits(self, paths: list[str]) -> dict[str, Change]:
        """The differences from what the template alone renders to what the owner has."""
        before = self.scratch.tree_of(self._before)
        found = differences(self.scratch.folder, before, self.scratch.before, *paths)
        return {change.path: change for change in found}

    def drop_orphans(self, outcome: Outcome, patterns: list[str]) -> None:
        """Delete shipped files that Copier leaves, `_skip_if_exists`, in a folder that goes.

        They outlive the module that brought them, but not the one whose folder they are in. They
        may be of a module that went before, so it takes a rendering of all modules to know them.
        """
        if not any(change.kind == "deleted" for change in outcome.changes):
            return
        kept = {path.relative_to(self._after).parent for path in self._after.rglob("*")}
        left = {path for pattern in patterns for path in self.scratch.matching(pattern)}
        left = {path for path in left if Path(path).parent not in kept}
        if left:
            everything = self.scratch.tree_of(self._rendered("everything", self.render_everything))
            found = differences(self.scratch.folder, everything, self.scratch.tree(), *left)
            if shipped := left - {change.path for change in found}:
                self.scratch.git("rm", "--quiet", "--force", "--", *sorted(shipped))
                outcome.changes = self.scratch.changes()

    def edited(self, outcome: Outcome) -> dict[str, Change]:
        """Files that would be deleted although their owner has edited or written them."""
        deleted = [change.path for change in outcome.changes if change.kind == "deleted"]
        return self._edits(deleted) if deleted else {}

    def keep(self, outcome: Outcome, edits: dict[str, Change]) -> None:
        """Keep edited files, as conflicts between an edit and a deletion."""
        for path, edit in edits.items():
            self.scratch.restore(path)
            outcome.stages += _stages(edit)
        outcome.changes = self.scratch.changes()

    def merge_binaries(self, outcome: Outcome) -> None:
        """Merge files that are not UTF-8 text, or leave them to the owner; Copier cannot."""
        paths = [
            change.path
            for change in outcome.changes
            if change.kind == "modified" and not _is_text(self.service / change.path)
        ]
        if not paths:
            return
        edits = self._edits(paths)
        after = self.scratch.tree_of(self._after)
        offers = {
            change.path: change
            for change in differences(self.scratch.folder, self.scratch.before, after, *paths)
        }
        for path, edit in edits.items():
            before, theirs = self._before / path, self._after / path
            untouched = _is_same(before, theirs)
            self.scratch.restore(path)
            if not untouched and not self._merge(path, before, theirs):
                offer = offers[path]
                outcome.stages += [*_stages(edit), Stage(offer.new_mode, offer.new_id, "3", path)]
        outcome.changes = self.scratch.changes()

    def _merge(self, path: str, before: Path, theirs: Path) -> bool:
        base = str(before) if before.is_file() else "/dev/null"
        labels = ("-L", "before updating", "-L", "last update", "-L", "after updating")
        try:
            self.scratch.git("merge-file", *labels, "--", path, base, str(theirs))
        except subprocess.CalledProcessError:
            return False
        finally:
            self.scratch.git("add", "--force", "--", path)
        return True


def _is_same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def _stages(edit: Change) -> list[Stage]:
    ours = Stage(edit.new_mode, edit.new_id, "2", edit.path)
    if edit.kind == "added":
        return [ours]
    return [Stage(edit.old_mode, edit.old_id, "1", edit.path), ours]


def _is_text(path: Path) -> bool:
    if path.is_symlink():
        return True
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in content
