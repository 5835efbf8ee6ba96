"""The Jinja in a template's questions, rendered as Copier does: in the order of the questions.

It tells when a question is asked, what is wrong with an answer, and which modules are needed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from glob import escape
from typing import TYPE_CHECKING

from ..system.documents import parsed
from ..system.errors import BadInput, TemplateUnavailable, invalid_answer
from .questions import Answers, Question, Questions

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

# The computed question whose answer is the modules with all that they need.
_COMPLETED = "completed"
# What an expression in Jinja may raise, beside Jinja's own errors.
FROM_WITHIN = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
HINT = "tell its owner, or use another version."


class _Unknown(TemplateUnavailable):
    """It follows from what only Copier knows, or from nothing."""


class Conditions:
    """Says what Copier would, without rendering anything else.

    All of it raises TemplateUnavailable where the template's own text fails.
    """

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._parsed = cache(parsed)
        jinja = _environment(questions)
        # The same few texts are read for every combination.
        jinja.filters["from_yaml"] = self._parsed
        self._compiled = cache(jinja.from_string)

    def is_asked(self, name: str, answers: Mapping[str, object]) -> bool:
        """Whether the question `name` is asked, given `answers`."""
        return self._applies(self._questions.asked[name], self._before(name, answers))

    def asked(self, answers: Mapping[str, object]) -> set[str]:
        """The questions that are asked, given `answers` and defaults for the rest."""
        names: set[str] = set()
        left = self._questions.open_names()
        for question, is_asked, _ in self._decided(answers):
            if question.name in left:
                left.remove(question.name)
                if is_asked:
                    names.add(question.name)
            if not left:
                break  # computed questions after the last one do not matter
        return names

    def empty(self, texts: Iterable[str], answers: Mapping[str, object]) -> list[str]:
        """Those of `texts` that render to nothing, given `answers` and defaults for the rest."""
        from jinja2 import TemplateError

        decided = list(self._decided(answers))
        known = decided[-1][2] if decided else answers
        found = []
        for text in texts:
            with suppress(TemplateError, *FROM_WITHIN):  # it asks for what only Copier knows
                if not self._compiled(text).render(known):
                    found.append(text)
        return found

    def objection(self, name: str, answers: Mapping[str, object]) -> str:
        """What the validator of the question `name` says; empty if the answer is valid."""
        validator = self._questions.asked[name].validator
        return self._render(validator, self._before(name, answers)) if validator else ""

    def refusal(self, name: str, choice: str, answers: Mapping[str, object]) -> str:
        """Why the question `name` does not offer `choice`; empty if it does."""
        words = self._questions.asked[name].refusals.get(choice, "")
        return self._render(words, self._before(name, answers)) if words else ""

    def default(self, name: str, answers: Mapping[str, object]) -> object:
        """The default of the question `name`."""
        return self._default(self._questions.asked[name], self._before(name, answers))

    def words(self, text: str, answers: Mapping[str, object]) -> str:
        """`text`, such as a label, with its Jinja rendered."""
        return self._render(text, answers)

    def completed(self, answers: Mapping[str, object]) -> list[str]:
        """The modules of `answers` with all that they need."""
        chosen = answers.get("modules")
        modules = [str(each) for each in chosen] if isinstance(chosen, list) else []
        question = self._questions.asked.get(_COMPLETED)
        if not modules or question is None or not question.computed:
            return self._questions.with_needs(modules)
        found = self.default(_COMPLETED, {**answers, "modules": modules})
        return [str(each) for each in found] if isinstance(found, list) else modules

    def additions(self, answers: Mapping[str, object]) -> tuple[list[str], str]:
        """The modules of `answers` with all that they need, and in words which needs which."""
        chosen = answers.get("modules")
        modules = [str(each) for each in chosen] if isinstance(chosen, list) else []
        completed = self.completed(answers)
        new = [each for each in completed if each not in modules]
        needing = [each for each in modules if set(new) & set(self.needs(each, answers))]
        verb = "needs" if len(needing) == 1 else "need"
        return completed, f"{', '.join(needing)} {verb} {', '.join(new)}" if new else ""

    def needs(self, module: str, answers: Mapping[str, object]) -> list[str]:
        """The other modules that `module` needs, given `answers`."""
        completed = self.completed({**answers, "modules": [module]})
        return [each for each in completed if each != module]

    def _in_order(
        self, answers: Mapping[str, object]
    ) -> Iterator[tuple[Question, dict[str, object]]]:
        """Each question, with what is known when its turn comes."""
        known = dict(answers)
        for question in self._questions.asked.values():
            yield question, known
            if question.name not in known and question.has_default and question.is_known:
                with suppress(_Unknown):
                    known[question.name] = self._default(question, known)

    def _decided(
        self, answers: Mapping[str, object]
    ) -> Iterator[tuple[Question, bool, Mapping[str, object]]]:
        """Each question, whether it is asked, and what is known when its turn comes."""
        for question, known in self._in_order(answers):
            is_asked = self._applies(question, known)
            if not is_asked:
                known.pop(question.name, None)  # its default counts
            yield question, is_asked, known

    def _before(self, name: str, answers: Mapping[str, object]) -> Mapping[str, object]:
        return next(known for each, known in self._in_order(answers) if each.name == name)

    def _applies(self, question: Question, known: Mapping[str, object]) -> bool:
        said = self._render(question.when, known)
        return said.lower() not in {"", "false", "no", "off", "0"}

    def _default(self, question: Question, known: Mapping[str, object]) -> object:
        default = question.default
        if isinstance(default, list):
            return [self._render(e, known) if isinstance(e, str) else e for e in default]
        if not isinstance(default, str):
            return default
        rendered = self._render(default, known)
        if question.type == "str" and not question.multiselect:
            return rendered
        try:
            return self._parsed(rendered)
        except ValueError as bad:
            raise _faulty(f"the default of {question.name} is not YAML: {bad}") from bad

    def _render(self, text: str, known: Mapping[str, object]) -> str:
        # Most texts hold no Jinja; a template may have set other marks than these.
        if "{" not in text and not self._questions.jinja:
            return text.strip()
        from jinja2 import TemplateError, UndefinedError

        try:
            return str(self._compiled(text).render(known)).strip()
        except UndefinedError as unknown:
            raise _Unknown(str(unknown), HINT) from unknown
        except (TemplateError, *FROM_WITHIN) as fault:
            raise _faulty(str(fault) or type(fault).__name__) from fault


def _faulty(said: str) -> TemplateUnavailable:
    return TemplateUnavailable(f"the template's questions cannot be rendered: {said}", HINT)


def check_choices(questions: Questions, answers: Answers) -> None:
    """Check that each choice is asked for and offered, with defaults for the rest.

    Copier would refuse a wrong one too, but only with the few words that a prompt shows.

    Raises:
        BadInput: one is not, in the validator's words.
    """
    conditions = Conditions(questions)
    asked = conditions.asked(answers)
    for name in answers:
        question = questions.asked[name]
        if question.choices and not question.multiselect:
            if name not in asked:
                raise BadInput(
                    f"{name} is not asked with these modules.",
                    "leave it out, or choose the module that it belongs to.",
                )
            if said := conditions.objection(name, answers):
                raise invalid_answer(" ".join(said.split()))


def unanswered(questions: Questions, answers: Answers) -> list[str]:
    """The questions that would be asked, given `answers` and defaults for the rest."""
    asked = Conditions(questions).asked(answers)
    return [name for name in questions.open_names() if name in asked and name not in answers]


def _environment(questions: Questions) -> "SandboxedEnvironment":
    """Jinja as Copier sets it up; slow to import."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment
    from jinja2_ansible_filters import AnsibleCoreFiltersExtension

    class Loader(FileSystemLoader):
        """Fetches what it loads."""

        def get_source(
            self, environment: Environment, template: str
        ) -> tuple[str, str, Callable[[], bool]]:
            if questions.fetch:
                questions.fetch(escape(template))
            return super().get_source(environment, template)

    jinja = SandboxedEnvironment(
        loader=Loader(questions.root or []),
        extensions=[AnsibleCoreFiltersExtension],
        auto_reload=False,
    )
    for name, value in questions.jinja.items():
        setattr(jinja, name, StrictUndefined if value == "jinja2.StrictUndefined" else value)
    return jinja
