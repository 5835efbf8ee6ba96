"""The Jinja in a template's questions: when one is asked, and what is wrong with an answer."""

from collections.abc import Mapping

from .questions import Questions


class Conditions:
    """Says what Copier would, without rendering anything else."""

    def __init__(self, questions: Questions) -> None:
        # As Copier has them; slow to import.
        from jinja2.sandbox import SandboxedEnvironment
        from jinja2_ansible_filters import AnsibleCoreFiltersExtension

        self._questions = questions
        self._jinja = SandboxedEnvironment(extensions=[AnsibleCoreFiltersExtension])
        self._computed = {
            name: each.default for name, each in questions.asked.items() if each.computed
        }

    def is_asked(self, name: str, answers: Mapping[str, object]) -> bool:
        """Whether the question `name` is asked where `answers` are given."""
        said = self._render(self._questions.asked[name].when, answers)
        return said.lower() not in {"", "false", "no", "off", "0"}

    def objection(self, name: str, answers: Mapping[str, object]) -> str:
        """What the validator of the question `name` says; nothing if all is well."""
        return self._render(self._questions.asked[name].validator, answers)

    def _render(self, text: str, answers: Mapping[str, object]) -> str:
        return self._jinja.from_string(text).render({**self._computed, **answers}).strip()
