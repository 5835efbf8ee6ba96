"""The options that all commands share: answers, in a file or by `--data`, and how far to go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..system.documents import mapping_in
from ..system.errors import BadInput
from ..system.screen import Report
from .questions import Answers, Questions


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """The shared options; each command adds its own."""

    data: list[str] = field(default_factory=list)
    """Of the form `KEY=VALUE`."""
    data_file: Path | None = None
    """In YAML; it may be a service's answers file, with computed answers."""
    yes: bool = False
    dry_run: bool = False
    lock: bool = True

    def given(self, questions: Questions) -> Answers:
        """The answers of `--data-file` and `--data`; the latter override.

        Raises:
            BadInput: the file cannot be read, or an answer does not fit these questions.
        """
        return self.in_file(questions) | self.in_words(questions)

    def in_file(self, questions: Questions) -> Answers:
        """The answers of `--data-file`.

        Raises:
            BadInput: it cannot be read, or an answer does not fit these questions.
        """
        if self.data_file is None:
            return {}
        if not self.data_file.exists():
            raise BadInput(f"there is no answers file {self.data_file}.", "check its path.")
        called = f"the answers file {self.data_file}"
        found = mapping_in(self.data_file, called, "it is YAML: KEY: VALUE.")
        # The others are Copier's.
        answers = {str(key): found[key] for key in found if not str(key).startswith("_")}
        return questions.checked(questions.without_computed(answers), str(self.data_file))

    def in_words(self, questions: Questions) -> Answers:
        """The answers of `--data`.

        Raises:
            BadInput: a value is not `KEY=VALUE`, or does not fit these questions.
        """
        pairs = [each.partition("=") for each in self.data]
        for key, equals, _ in pairs:
            if not equals or not key:
                raise BadInput(f"--data {key!r} has no value.", "write it as --data KEY=VALUE.")
        return questions.checked({key.strip(): value for key, _, value in pairs}, "--data")

    @property
    def flags(self) -> list[str]:
        """The options that give the same answers again."""
        named = [] if self.data_file is None else ["--data-file", str(self.data_file)]
        return [*named, *(word for each in self.data for word in ("--data", each))]

    def asks(self, report: Report) -> bool:
        """Whether the user is asked for the open answers."""
        return not self.yes and not report.obstacle


def modules_in(answers: Mapping[str, object]) -> list[str]:
    """The modules that `answers` name."""
    modules = answers.get("modules")
    return [str(each) for each in modules] if isinstance(modules, list) else []
