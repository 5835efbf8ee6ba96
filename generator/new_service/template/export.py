"""A version of a template as plain folders, which Copier renders three times as fast.

Copier runs git many times. It also visits every file of a template and renders each part of its
path, before it leaves out the files that a service has not chosen.
"""

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from .conditions import Conditions
from .questions import Answers
from .source import Template

_CHOSEN = ".new-service-chosen"


@dataclass
class Export:
    """A version of a template, whose files that answers choose are copied into `folder`."""

    version: Template
    folder: Path
    _made: dict[tuple[str, ...], Template] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # None if some text needs what a plain folder lacks.
        self._whole = self.version.exported()
        self._conditions = Conditions(self.version.questions)

    def chosen_by(self, answers: Answers) -> Template:
        """A template that renders the same files as the whole version, given `answers`."""
        inner = self.version.questions.folder
        if self._whole is None or not inner:
            return self._whole or self.version
        names = [each.name for each in Path(self._whole.url, inner).iterdir() if each.is_dir()]
        unused = tuple(self._conditions.empty(names, answers))
        if unused not in self._made:
            folder = self.folder / str(len(self._made))
            _link(Path(self._whole.url), inner, unused, folder)
            self._made[unused] = replace(self._whole, url=str(folder))
        return self._made[unused]


def _link(whole: Path, inner: str, unused: Collection[str], folder: Path) -> None:
    """Fill `folder` with links to all files, since they may be included, and to those to render."""

    def ignored(at: str, _names: list[str]) -> Collection[str]:
        return unused if Path(at) == whole / inner else ()

    shutil.copytree(whole, folder, symlinks=True, copy_function=os.link)
    chosen = folder / _CHOSEN
    shutil.copytree(whole / inner, chosen, symlinks=True, copy_function=os.link, ignore=ignored)
    config = folder / "copier.yml"
    text = config.read_text("utf-8")
    config.unlink()  # a link to the whole version's
    # Of several documents, the last one counts.
    config.write_text(f"{text}\n---\n_subdirectory: {_CHOSEN}\n", "utf-8")
