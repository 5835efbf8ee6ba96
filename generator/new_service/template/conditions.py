"""The Jinja in a template's questions: when one is asked, and what is wrong with an answer."""

from collections.abc import Mapping
from functools import cache

import yaml

from ..system.errors import BadInput, invalid_answer
from .questions import Answers, Questions


class Conditions:
    """Says what Copier would, without rendering anything else."""

    def __init__(self, questions: Questions) -> None:
        # As Copier has them; slow to import.
        from jinja2.sandbox import SandboxedEnvironment
        from jinja2_ansible_filters import AnsibleCoreFiltersExtension

        self._questions = questions
        jinja = SandboxedEnvironment(extensions=[AnsibleCoreFiltersExtension])
        self._compiled = cache(jinja.from_string)
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

    def refusal(self, name: str, choice: str, answers: Mapping[str, object]) -> str:
        """Why the question `name` does not offer `choice`; nothing if it does."""
        return self._render(self._questions.asked[name].refusals.get(choice, ""), answers)

    def default(self, name: str, answers: Mapping[str, object]) -> object:
        """The default of the question `name`."""
        question = self._questions.asked[name]
        if not isinstance(question.default, str):
            return question.default
        rendered = self._render(question.default, answers)
        is_text = question.type == "str" and not question.multiselect
        return rendered if is_text else yaml.safe_load(rendered)

    def words(self, text: str, answers: Mapping[str, object]) -> str:
        """`text`, such as a label, with its Jinja rendered."""
        return self._render(text, answers)

    def _render(self, text: str, answers: Mapping[str, object]) -> str:
        if not text:
            return ""
        return self._compiled(text).render({**self._computed, **answers}).strip()


def check_choices(questions: Questions, answers: Answers) -> None:
    """See that no choice is refused by its validator, where the rest are defaults.

    Copier would refuse it as well, but only with the few words that a prompt shows.

    Raises:
        BadInput: one is, in the validator's words.
    """
    given = _with_defaults(questions, answers)
    for name in answers:
        question = questions.asked[name]
        # The needs of modules have been looked at; most answers take no Jinja at all.
        if question.choices and question.validator and not question.multiselect:
            conditions = Conditions(questions)
            if not conditions.is_asked(name, given):
                raise BadInput(
                    f"{name} is not asked with these modules.",
                    "leave it out, or choose the module that it belongs to.",
                )
            if said := conditions.objection(name, given):
                raise invalid_answer(" ".join(said.split()))


def unanswered(questions: Questions, answers: Answers) -> list[str]:
    """The questions that would be asked where `answers` are given, and the rest are defaults."""
    conditions, given = Conditions(questions), _with_defaults(questions, answers)
    return [
        name
        for name in questions.open_names()
        if name not in answers and conditions.is_asked(name, given)
    ]


def _with_defaults(questions: Questions, answers: Answers) -> dict[str, object]:
    defaults = {name: each.default for name, each in questions.asked.items() if each.has_default}
    return {**defaults, **answers}
