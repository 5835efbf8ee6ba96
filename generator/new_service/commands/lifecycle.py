"""Change an existing service: add or remove modules, or update it. One engine does all three."""

import shlex

from ..change.account import conclude
from ..change.engine import Engine, ToChange
from ..service.pin import pin_as_answer, target_of
from ..system.errors import BadInput
from ..system.screen import Report, Step
from ..template.conditions import Conditions
from ..template.questions import Answers, Questions


def add(modules: list[str], wishes: ToChange, report: Report) -> int:
    """Add modules, and what they need, to a service; 0, or 3 if nothing was applied.

    Raises:
        NewServiceError, KeyboardInterrupt: the service is as it was.
    """
    with Engine.opened(wishes, report) as engine:
        questions = engine.recorded.questions
        questions.checked({"modules": modules}, "add")
        for module in modules:
            if module in engine.modules:
                raise BadInput(
                    f"the service has the module {module} already.",
                    f"modules that it lacks: {_but(questions, engine.modules)}.",
                )
        given = _given(engine, questions)
        for name, answer in given.items():
            if name in engine.answers and answer != engine.answers[name]:
                raise BadInput(
                    f"{name} is answered already, in {engine.service.answers_file}.",
                    f"leave it out, or change it: new-service update --data {name}=...",
                )
        given["modules"] = [*engine.modules, *modules]
        everything, words = Conditions(questions).additions({**engine.answers, **given})
        if words:
            engine.report.line(Step("needs", f"{words}, which comes too", "·"))
        added = [each for each in everything if each not in engine.modules]
        given["modules"] = everything
        command = shlex.join(["add", *modules, *wishes.flags])
        review = engine.review(command, f"Add {', '.join(added)}")
        return engine.run(engine.recorded, given, review)


def remove(modules: list[str], wishes: ToChange, report: Report) -> int:
    """Remove modules from a service; 0, or 3 if nothing was applied.

    Raises:
        NewServiceError, KeyboardInterrupt: the service is as it was.
    """
    with Engine.opened(wishes, report) as engine:
        questions = engine.recorded.questions
        questions.checked({"modules": modules}, "remove")
        for module in modules:
            if module not in engine.modules:
                raise BadInput(
                    f"the service does not have the module {module}.",
                    f"modules that it has: {', '.join(engine.modules) or 'none'}.",
                )
        rest = [each for each in engine.modules if each not in modules]
        conditions = Conditions(questions)
        for each in rest:
            lost = [need for need in conditions.needs(each, engine.answers) if need in modules]
            if lost:
                raise BadInput(
                    f"the module {each} needs {', '.join(lost)}.",
                    f"remove it too: new-service remove {' '.join([each, *modules])}",
                )
        gone = list(dict.fromkeys(modules))
        review = engine.review(f"remove {' '.join(gone)}", f"Remove {', '.join(gone)}")
        review.confirms = True
        return engine.run(engine.recorded, {"modules": rest}, review)


def update(to: str | None, wishes: ToChange, report: Report) -> int:
    """Move a service to a newer version of its template; 0, or 3 if nothing was applied.

    `to` is a version or a range; by default it is the newest inside the service's pin. Answers
    that are given replace those that the service has; with them there is something to do at the
    newest version, too, and so there is where the template has moved to another address.

    Raises:
        NewServiceError, KeyboardInterrupt: the service is as it was.
    """
    with Engine.opened(wishes, report) as engine:
        target = target_of(engine.template, engine.recorded, engine.service, to)
        given = _given(engine, target.questions)
        new = sorted(name for name in given if given[name] != engine.answers.get(name))
        given = pin_as_answer(engine.service, target) | given
        address = ["--template", engine.template.url] if wishes.template else []
        version = ["--to", to] if to else []
        command = shlex.join(["update", *address, *version, *wishes.flags])
        review = engine.review(command, f"Update to template {target.version}", target)
        if target.commit == engine.recorded.commit:
            if given.items() <= engine.answers.items() and not engine.moves:
                return conclude(review, report)
            review.message = f"Change {', '.join(new)}" if new else "Follow the pin"
            if engine.moves and not new:
                review.message = "Follow the template to its new address"
        return engine.run(target, given, review)


def _given(engine: Engine, questions: Questions) -> Answers:
    """The given answers; a file of all answers may name the service's modules, too.

    Raises:
        BadInput: one is not an answer, or they name other modules.
    """
    given = engine.wishes.given(questions)
    modules = given.pop("modules", None)
    if isinstance(modules, list) and set(modules) != set(engine.modules):
        raise BadInput(
            f"modules is answered already, in {engine.service.answers_file}.",
            "leave it out: new-service add and new-service remove change the modules.",
        )
    return given


def _but(questions: Questions, modules: list[str]) -> str:
    return ", ".join(each for each in questions.modules if each not in modules) or "none"
