"""The prompts of an interactive `create`: where to start from, then each open question.

Copier could ask the template's questions too. But its prompts shorten an error to one line that
begins with Copier's own words, and do not leave an answer of several choices on the screen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..system import prompts
from ..system.errors import BadInput, invalid_answer
from ..system.prompts import Option, answered, object_to
from ..template.conditions import Conditions
from ..template.questions import Answer, Answers, Question, Questions

_CHOOSE = "choose"


@dataclass
class Asking:
    """The questions of one creation."""

    questions: Questions
    given: Answers
    defaults: Answers
    """The team's answers, which the user can override."""
    is_taken: Callable[[str], bool]
    """Whether the folder of a service of that name exists already."""
    rest: bool = False
    """Whether questions are left that only Copier can ask."""
    _known: dict[str, object] = field(default_factory=dict)

    def start(self, preset: str | None) -> None:
        """Ask where to start from, unless the command line says it.

        Raises:
            BadInput: an answer that was given is invalid.
            KeyboardInterrupt: Ctrl-C.
        """
        if name := self.given.get("service_name"):
            self._check("service_name", name)
        if preset is not None or "modules" in self.given or not self.questions.modules:
            return
        start = _ask_start(self.questions)
        if start != _CHOOSE:
            self.given |= self.questions.preset(start)
        elif self.questions.asked["modules"].is_plain:
            self.given["modules"] = self._ask(self.questions.asked["modules"])

    def ask(self) -> None:
        """Ask the open questions, in the template's order.

        Raises:
            BadInput: an answer that was given is invalid.
            KeyboardInterrupt: Ctrl-C.
        """
        for name, question in self.questions.asked.items():
            if name in self.given:
                self._check(name, self.given[name])
            elif question.computed or not self._conditions.is_asked(name, self._known):
                continue
            elif not question.is_plain:
                self.rest = True
                return
            else:
                self.given[name] = self._ask(question)
            self._known[name] = self.given[name]

    @cached_property
    def _conditions(self) -> Conditions:
        return Conditions(self.questions)

    def _check(self, name: str, answer: Answer) -> None:
        if said := self._conditions.objection(name, {**self._known, name: answer}):
            raise invalid_answer(" ".join(said.split()))

    def _ask(self, question: Question) -> Answer:
        """Ask a question until its answer is valid; returns that answer."""
        known, conditions = self._known | self.given, self._conditions
        label = conditions.words(question.label, known)
        default = self.defaults.get(question.name, conditions.default(question.name, known))
        typed, chosen = "", default
        while True:
            given = self._prompt(question, label, chosen, typed)
            try:
                answer = question.answer(given)
                said = conditions.objection(question.name, {**known, question.name: answer})
                if question.name == "service_name" and not said and self.is_taken(str(answer)):
                    said = f"{answer} exists already here. Choose another name."
            except BadInput as bad:
                said = f"{bad.message} {bad.hint}"
            if not said:
                answered(label, in_words(answer))
                return answer
            answered(label, in_words(given))
            object_to(said)
            typed, chosen = (given, default) if isinstance(given, str) else ("", given)

    def _prompt(
        self, question: Question, label: str, default: object, typed: str
    ) -> str | list[str]:
        known, conditions = self._known | self.given, self._conditions
        if question.choices is not None:
            options = [
                Option(value, conditions.words(title, known), refusal)
                for value, title in question.choices.items()
                for refusal in [conditions.refusal(question.name, value, known)]
            ]
            if question.multiselect:
                chosen = [str(each) for each in default] if isinstance(default, list) else []
                return prompts.several(label, options, chosen)
            return prompts.one(label, options, None if default is None else str(default))
        if question.type == "bool":
            options = [Option("true", "yes"), Option("false", "no")]
            return prompts.one(label, options, str(default or False).lower())
        shown = "" if default is None else str(default)
        hint = f"Enter: {shown}" if shown else conditions.words(question.example, known)
        return prompts.text(label, hint, typed) or shown


def in_words(answer: object) -> str:
    """An answer as it is written on the command line."""
    if isinstance(answer, list):
        return ", ".join(map(str, answer)) or "none"
    return str(answer).lower() if isinstance(answer, bool) else str(answer)


def _ask_start(questions: Questions) -> str:
    presets: Mapping[str, Mapping[str, object]] = questions.presets
    width = max(map(len, [*presets, _CHOOSE])) + 2
    options: Sequence[Option] = [
        *(
            Option(name, f"{name:<{width}}{details.get('summary', '')}")
            for name, details in presets.items()
        ),
        Option(_CHOOSE, f"{_CHOOSE:<{width}}pick modules one by one"),
    ]
    start = prompts.one("Start from", options, None)
    if start == _CHOOSE:
        answered("Start from", _CHOOSE)
    else:
        modules = questions.preset(start).get("modules", [])
        answered("Start from", f"{start}: {in_words(modules)}")
    return start
