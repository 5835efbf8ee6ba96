"""The record of a change: what it does, why it was refused, what became of it."""

from dataclasses import asdict, dataclass, field

from ..service.checks import Result
from ..service.declared import NextStep
from ..service.folder import Service
from ..service.ignoring import Ignored
from ..system.trees import Change


@dataclass
class Review:
    """One change of a service, filled in along the way."""

    service: Service
    command: str
    """What was called, such as `new-service update --to 1.4.0`."""
    message: str
    """For the commit."""
    before: str
    after: str
    """Versions of the template."""
    confirms: bool = False
    """Whether the user is asked to confirm it, on a terminal."""
    changes: list[Change] = field(default_factory=list)
    hunks: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Of each path in conflict: what the owner has, what the template has."""
    would_lose: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    """Those of `would_lose` that git does not track: they are never overwritten."""
    clashes: dict[str, str] = field(default_factory=dict)
    """Those of `would_lose` that share an import name with a new file, each with its name."""
    refused: bool = False
    applied: bool = False
    locked: bool = False
    checks: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    """New files that a rule of git ignores."""
    variables: list[str] = field(default_factory=list)
    """What came into `.env`."""
    left_to_do: list[NextStep] = field(default_factory=list)
    """What the service, as it then is, declares for its owner to do after such a change."""

    @property
    def document(self) -> dict[str, object]:
        """What `--json` prints."""
        return {
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
