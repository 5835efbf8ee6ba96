"""Puts the template with all its released versions into wheel and sdist, as one git bundle."""

import subprocess
import sys
import tempfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
BUNDLE = "generator/new_service/template.bundle"


def git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def version() -> str:
    """The version of the newest release, or what `git.describe` says between two."""
    if (ROOT / "PKG-INFO").is_file():
        return HeaderParser().parsestr((ROOT / "PKG-INFO").read_text("utf-8"))["Version"]
    sys.path.insert(0, str(ROOT / "generator"))
    try:
        from new_service.system.git import describe  # which needs no package that is not there yet
    finally:
        sys.path.pop(0)
    return describe(ROOT, "HEAD")


class TemplateBundle(BuildHookInterface):  # type: ignore[type-arg]  # its parameter has no bearing on a hook
    """Adds the bundle, which an sdist already carries."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return  # a checkout is its own template
        inside = BUNDLE if self.target_name == "sdist" else BUNDLE.removeprefix("generator/")
        bundle = ROOT / BUNDLE
        if (ROOT / ".git").exists():
            if git("rev-parse", "--is-shallow-repository") == "true":
                message = "the clone is shallow: fetch the whole history, the wheel carries it"
                raise RuntimeError(message)
            self.scratch = tempfile.TemporaryDirectory()
            bundle = Path(self.scratch.name, "template.bundle")
            git("bundle", "create", "--quiet", str(bundle), "HEAD", "--tags")
        build_data["force_include"][str(bundle)] = inside
