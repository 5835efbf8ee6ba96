"""The team file, in which a platform team sets the template and its defaults."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from ..system.documents import toml_in
from ..system.errors import BadInput
from .questions import Answers, Questions


@dataclass(frozen=True)
class Team:
    """The content of the team file; empty if there is none."""

    template: str | None = None
    template_version: str | None = None
    defaults: dict[str, object] = field(default_factory=dict)
    path: Path = Path()

    def defaults_for(self, questions: Questions) -> Answers:
        """The defaults for a version of a template, except for questions that it does not ask.

        Raises:
            BadInput: one is not an answer to its question.
        """
        asked = questions.without_computed(self.defaults)
        return questions.recorded(asked, f"the team file {self.path}")


def read() -> Team:
    """Read the file that NEW_SERVICE_CONFIG names, or the one in the user's config folder.

    Raises:
        BadInput: the file that is named does not exist, or its content is wrong.
    """
    named = os.environ.get("NEW_SERVICE_CONFIG")
    path = Path(named) if named else _in_config_folder()
    if not path.is_file():
        if named:
            raise BadInput(
                f"NEW_SERVICE_CONFIG names {named}, which is not a file.", "write it or unset it."
            )
        return Team()
    try:
        content = toml_in(path)
    except (OSError, ValueError) as bad:
        raise BadInput(
            f"the team file {path} cannot be read: {bad}", "correct it; it is a TOML file."
        ) from bad
    return _team(content, path)


def template_url(given: str | None, team: Team) -> str | None:
    """The template to use: the one given, else the environment's, else the team's, else None."""
    return given or os.environ.get("NEW_SERVICE_TEMPLATE") or team.template


def _in_config_folder() -> Path:
    from platformdirs import user_config_path  # keeps --help instant

    return user_config_path("new-service", appauthor=False) / "config.toml"


def _team(content: dict[str, object], path: Path) -> Team:
    template, version = content.pop("template", None), content.pop("template-version", None)
    defaults = content.pop("defaults", {})
    known = "its keys are template, template-version and the table [defaults]."
    if content:
        raise BadInput(f"the team file {path} has an unknown key {next(iter(content))!r}.", known)
    if not (
        isinstance(template, str | None)
        and isinstance(version, str | None)
        and isinstance(defaults, dict)
    ):
        raise BadInput(f"the team file {path} has a value of the wrong type.", known)
    return Team(template, version, defaults, path)
