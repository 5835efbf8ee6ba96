"""Change a service that lives: add or remove modules, or update it. One engine does all three."""

from .engine import Engine, Wishes
from .errors import BadInput
from .preview import confirm
from .questions import Questions, split_data
from .report import Report, Step
from .service import ANSWERS_FILE
from .versions import pin_as_answer, target_of


def add(modules: list[str], data: list[str], wishes: Wishes, report: Report) -> int:
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
                    f"the module {module} is there already.",
                    f"modules that are not: {_but(questions, engine.modules)}.",
                )
        given = questions.checked(split_data(data), "--data")
        for name in given:
            if name in engine.answers:
                raise BadInput(
                    f"--data: {name} is answered already, in {ANSWERS_FILE}.", "leave it out."
                )
        everything = questions.with_needs([*engine.modules, *modules])
        added = [each for each in everything if each not in engine.modules]
        _agree_to_needs(engine, modules, [each for each in added if each not in modules])
        given |= {"modules": everything}
        review = engine.review(f"add {' '.join(modules)}", f"Add {', '.join(added)}")
        return engine.run(engine.recorded, given, review)


def _agree_to_needs(engine: Engine, modules: list[str], needed: list[str]) -> None:
    """Say which modules come too; ask, unless `--yes` agreed to everything."""
    if not needed:
        return
    text = f"{', '.join(modules)} needs {', '.join(needed)}"
    if engine.asks:
        confirm(f"{text}. Add it too")
    elif engine.wishes.yes:
        engine.report.line(Step("needs", f"{text}, which comes too", "·"))
    else:
        raise BadInput(
            f"{text}.",
            f"add it too: new-service add {' '.join([*needed, *modules])}; or agree with --yes.",
        )


def remove(modules: list[str], wishes: Wishes, report: Report) -> int:
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
                    f"the module {module} is not there.",
                    f"modules that are: {', '.join(engine.modules) or 'none'}.",
                )
        rest = [each for each in engine.modules if each not in modules]
        for each in rest:
            lost = [need for need in questions.needs.get(each, []) if need in modules]
            if lost:
                raise BadInput(
                    f"the module {each} needs {', '.join(lost)}.",
                    f"remove it too: new-service remove {' '.join([each, *modules])}",
                )
        gone = list(dict.fromkeys(modules))
        review = engine.review(f"remove {' '.join(gone)}", f"Remove {', '.join(gone)}")
        review.confirms = True
        return engine.run(engine.recorded, {"modules": rest}, review)


def update(to: str | None, wishes: Wishes, report: Report) -> int:
    """Move a service to a newer version of its template; 0, or 3 if nothing was applied.

    `to` is a version or a range; by default it is the newest inside the service's pin.

    Raises:
        NewServiceError, KeyboardInterrupt: the service is as it was.
    """
    with Engine.opened(wishes, report) as engine:
        target = target_of(engine.template, engine.recorded, engine.service, to)
        given = pin_as_answer(engine.service, target)
        is_there = target.commit == engine.recorded.commit
        message = "Follow the pin" if is_there else f"Update to template {target.version}"
        review = engine.review(f"update --to {to}" if to else "update", message, target)
        if is_there and given.items() <= engine.answers.items():
            return review.finish(report)
        return engine.run(target, given, review)


def _but(questions: Questions, modules: list[str]) -> str:
    return ", ".join(each for each in questions.modules if each not in modules) or "none"
