"""Where a change is tried: a copy of a service's last commit, in a repository of its own.

It borrows the objects of the service's repository, and none of its or its user's settings.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import yaml

from ..service.folder import Service
from ..system.errors import BadInput
from ..system.git import environment, git, names
from ..system.trees import Change, Stage, differences
from ..template.addresses import without_credentials
from ..template.source import Template
from .repository import Repository

_SUBMODULE = "160000"
# In a YAML file; a long value goes on in lines of its own.
_ADDRESS = re.compile(r"^_src_path:.*(?:\n[ \t].*)*", re.MULTILINE)
_CONFLICT = re.compile(r"^<{7} [^\n]*\n(.*?)^={7}\n(.*?)^>{7} [^\n]*$", re.MULTILINE | re.DOTALL)


def _lines(address: object) -> str:
    return yaml.safe_dump({"_src_path": address}).rstrip("\n")


@dataclass
class Outcome:
    """What a change would do to a service."""

    changes: list[Change]
    stages: list[Stage] = field(default_factory=list)
    """Of the paths in conflict, for the index."""

    @property
    def conflicts(self) -> list[str]:
        """The paths that hold both versions, for the owner to choose from."""
        rejected = [change.path for change in self.changes if change.path.endswith(".rej")]
        return sorted({stage.path for stage in self.stages} | set(rejected))


@dataclass(frozen=True)
class Scratch:
    """The copy; its root is the service's folder, wherever that is in its own repository."""

    service: Service
    """What is at the root."""
    before: str
    """The tree of the last commit."""
    variables: dict[str, str]
    """For every git that runs here, Copier's included."""
    address: str
    """What the answers file is to say of the template's address, no user and no password."""

    @property
    def folder(self) -> Path:
        """The root."""
        return self.service.folder

    @classmethod
    def of(
        cls,
        repository: Repository,
        service: Service,
        template: Template,
        *,
        near: bool,
        moves: bool,
    ) -> Self:
        """Copy the last commit of a service into the state folder of its repository.

        With `near`, Copier works with the clone that we have: it fetches from an address that it
        takes for a remote one again and again. With `moves`, the template's address is recorded.
        """
        folder, tree = repository.state / "service", repository.tree
        variables = {**template.variables, "GIT_DEFAULT_HASH": repository.object_format}
        found = _ADDRESS.search((service.folder / service.answers_file).read_text("utf-8"))
        recorded = found[0] if found else _lines(service.answers()["_src_path"])
        address = _lines(template.url) if moves else without_credentials(recorded)
        ours = cls(replace(service, folder=folder), tree, variables, address)
        git(repository.state, "init", "--quiet", str(folder), variables=variables)
        alternates = folder / ".git" / "objects" / "info" / "alternates"
        alternates.write_bytes(os.fsencode(repository.objects) + b"\n")
        commit = ours.git("commit-tree", tree, "-m", "before")
        ours.git("reset", "--quiet", "--hard", commit)
        there = str(template.clone) if near else template.url
        ours._write_address(_lines(there))
        ours.git("commit", "--quiet", "--all", "--allow-empty", "--message", "near")
        return ours

    def _write_address(self, lines: str) -> None:
        answers = self.folder / self.service.answers_file
        text = _ADDRESS.sub(lambda _: lines, answers.read_text("utf-8"))
        answers.write_text(text, "utf-8", newline="\n")

    def git(self, *arguments: str, index: Path | None = None) -> str:
        """Run git in the copy."""
        variables = self.variables | ({"GIT_INDEX_FILE": str(index)} if index else {})
        return git(self.folder, *arguments, variables=variables)

    def outcome(self) -> Outcome:
        """Add what Copier has done to the index; returns what that changes."""
        entries = [Stage.parse(line) for line in names(self.git("ls-files", "--stage", "-z"))]
        for entry in entries:
            if entry.mode == _SUBMODULE and any((self.folder / entry.path).iterdir()):
                raise BadInput(
                    f"{entry.path} is a submodule, and the template has files there.",
                    "move the submodule to another folder.",
                )
        stages = [entry for entry in entries if entry.number != "0"]
        self._write_address(self.address)
        self.git("add", "--all", "--force")
        return Outcome(self.changes(), stages)

    def tree(self) -> str:
        """The id of the tree in the index."""
        return self.git("write-tree")

    def changes(self) -> list[Change]:
        """What differs in the index from the last commit."""
        return differences(self.folder, self.before, self.tree())

    def matching(self, pattern: str) -> list[str]:
        """The paths that a pattern of .gitignore's form matches."""
        listed = self.git("ls-files", "--cached", "--ignored", f"--exclude={pattern}", "-z")
        return names(listed)

    def restore(self, path: str) -> None:
        """Give a path the content of the last commit."""
        self.git("checkout", self.before, "--", path)

    def tree_of(self, folder: Path) -> str:
        """The id of a folder's tree, which is added to the objects here."""
        index = self.folder.with_name("rendered-index")
        self.git(f"--work-tree={folder}", "add", "--all", "--force", ".", index=index)
        tree = self.git("write-tree", index=index)
        index.unlink()
        return tree

    def hunks(self, path: str) -> Iterator[tuple[str, str]]:
        """The owner's and the template's side of each conflict in a file."""
        text = (self.folder / path).read_text("utf-8", "replace")
        for conflict in _CONFLICT.finditer(text):
            yield conflict[1], conflict[2]

    def hand_over(self, outcome: Outcome, repository: Repository) -> None:
        """Give the service's repository the objects of an outcome."""
        ids = {change.new_id for change in outcome.changes if change.kind != "deleted"}
        ids |= {stage.object_id for stage in outcome.stages}
        packed = subprocess.run(
            ["git", "-C", str(self.folder), "pack-objects", "--stdout", "--quiet"],
            env=environment() | self.variables,
            input="".join(f"{each}\n" for each in sorted(ids)).encode(),
            capture_output=True,
            check=True,
        )
        subprocess.run(
            ["git", "-C", str(repository.root), "unpack-objects", "-q"],
            env=environment(),
            input=packed.stdout,
            capture_output=True,
            check=True,
        )
