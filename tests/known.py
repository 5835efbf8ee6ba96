"""What these tests know of each module: it stands in the module's own folder, for-tests.yml."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Fault:
    """A mistake in a file of a module, and how a check finds it."""

    file: str
    """Its path in the module's folder."""
    replace: str
    by: str
    check: str
    says: str
    with_: list[str] = field(default_factory=list)
    """The modules of the service that meets it; by default this one."""


@dataclass(frozen=True)
class Known:
    """What is known of one folder of the template: a module, or what it was answered."""

    folder: Path
    words: list[str] = field(default_factory=list)
    """Expressions for what only services with it speak of."""
    prefix: str = ""
    """Of its variables."""
    faults: dict[str, Fault] = field(default_factory=dict)


def of_template(template: Path) -> dict[str, Known]:
    """By the names of the folders."""
    return {name_of(file.parent): _known(file) for file in sorted(template.glob("*/for-tests.yml"))}


def name_of(folder: Path) -> str:
    """`auth_oidc` for `{{ chosen.auth_oidc }}`."""
    (name,) = re.findall(r"\w+\.(\w+)", folder.name)
    return str(name)


def _known(file: Path) -> Known:
    content = yaml.safe_load(file.read_text("utf-8"))
    faults = {name: Fault(**each) for name, each in content.pop("faults", {}).items()}
    return Known(file.parent, faults=faults, **content)
