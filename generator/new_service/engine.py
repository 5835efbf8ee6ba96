"""How a change is made: tried in a scratch copy, looked through there, and moved over whole.

The service stays as it was until the move, and whatever stops that is undone. What has moved over
is uncommitted, for its owner to review.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from . import environment, source
from .checks import CHEAP, Result, tell
from .conditions import Conditions
from .errors import BadInput
from .locking import relock
from .losses import Losses
from .programs import find_uv
from .questions import Answers
from .rendering import import_copier_meanwhile, render
from .rendering import update as update_by_copier
from .report import Report, Step
from .repository import Holder, Repository
from .review import Review
from .scratch import Outcome, Scratch
from .service import ANSWERS_FILE, Service


@dataclass(frozen=True)
class Wishes:
    """What the command line asks of every change."""

    project: Path
    dry_run: bool = False
    allow_conflicts: bool = False
    force: bool = False
    lock: bool = True
    check: bool = True
    yes: bool = False


@dataclass(frozen=True)
class Engine:
    """A service, held for one change, and its template."""

    wishes: Wishes
    report: Report
    service: Service
    holder: Holder
    template: source.Template
    """In its newest version."""
    recorded: source.Template
    """In the version that the service has."""

    @property
    def repository(self) -> Repository:
        """The service's."""
        return self.holder.repository

    @classmethod
    @contextmanager
    def opened(cls, wishes: Wishes, report: Report) -> Iterator["Engine"]:
        """Hold the service that `wishes` are about; an interrupted change is undone first.

        Raises:
            NewServiceError: there is none, it is not clean, or its template cannot be had.
        """
        if wishes.lock or wishes.check:
            find_uv()
        import_copier_meanwhile()
        service = Service.around(wishes.project)
        repository = Repository.around(service.folder)
        try:
            with repository.held() as (holder, recovered):
                if recovered:
                    report.line(Step("recovered", recovered, "!"))
                repository.check_clean()
                answers = service.answers()
                with source.opened(str(answers["_src_path"])) as template:
                    recorded = template.at(str(answers["_commit"]))
                    yield cls(wishes, report, service, holder, template, recorded)
        except BrokenPipeError:
            raise
        except OSError as failed:
            raise BadInput(
                f"{failed.filename or service.folder}: {failed.strerror or failed}.",
                "nothing was changed; make room, or make it writable.",
            ) from failed
        except subprocess.CalledProcessError as failed:
            raise BadInput(
                f"git failed in {service.folder}: {failed.stderr}",
                "nothing was changed; see `git status`, and whether there is room on the disk.",
            ) from failed

    @cached_property
    def answers(self) -> Answers:
        """What the service has answered to the questions of its version."""
        return self.recorded.questions.recorded(self.service.answers(), ANSWERS_FILE)

    @property
    def modules(self) -> list[str]:
        """The modules that the service has."""
        modules = self.answers.get("modules", [])
        return modules if isinstance(modules, list) else []

    @property
    def asks(self) -> bool:
        """Whether there is somebody to ask."""
        terminal = sys.stdin.isatty() and sys.stdout.isatty()
        return terminal and not self.wishes.yes and not self.report.as_json

    def review(self, verb: str, message: str, target: source.Template | None = None) -> Review:
        """An empty review of a change that a command makes."""
        version = self.recorded.version
        after = target.version if target else version
        return Review(self.service, f"new-service {verb}", message, version, after)

    def run(self, target: source.Template, given: Answers, review: Review) -> int:
        """Bring the service to `target` and the answers `given`; 0, or 3 if nothing was applied.

        Raises:
            NewServiceError, KeyboardInterrupt: the service is as it was.
        """
        target.questions.recorded({**self.service.answers(), **given}, ANSWERS_FILE)
        near = not (self.recorded.asks_origin or target.asks_origin)
        scratch = Scratch.of(self.repository, target, near=near)
        losses = self._losses(scratch, target, self._render(scratch, target, given))
        outcome = scratch.outcome()
        losses.merge_binaries(outcome)
        edited = {} if self.wishes.force else losses.edited(outcome)
        if self.wishes.allow_conflicts:
            losses.keep(outcome, edited)
            edited = {}
        losses.drop_orphans(outcome, self.recorded.questions.kept)
        review.blocked = self.repository.in_the_way(outcome.changes)
        review.would_lose = sorted({*edited, *review.blocked})
        review.hunks = {path: list(scratch.hunks(path)) for path in outcome.conflicts}
        review.refused = bool(review.would_lose) or bool(
            review.hunks and not self.wishes.allow_conflicts
        )
        if not review.refused:
            if self.wishes.lock:
                review.locked = self._lock(scratch, target)
                outcome.changes = scratch.changes()
            if self.wishes.check:
                review.checks = self._check(scratch)
        review.changes = outcome.changes
        if review.confirms and self.asks and not review.refused and not self.wishes.dry_run:
            review.confirm(self.report)
        review.applied = bool(outcome.changes) and not review.refused and not self.wishes.dry_run
        if review.applied:
            self._apply(scratch, outcome, review)
        return review.finish(self.report)

    def _render(self, scratch: Scratch, target: source.Template, given: Answers) -> Answers:
        """Have Copier make the change; the answers that it recorded."""
        versions = dict.fromkeys([self.recorded.version, target.version])
        step = Step("rendered", f"template {' → '.join(versions)}")
        # A spinner would spoil the prompts.
        with nullcontext() if self.asks else self.report.waiting("rendered"), step:
            update_by_copier(
                target, scratch.folder, given, variables=scratch.variables, ask=self.asks
            )
        answers = target.questions.recorded(Service(scratch.folder).answers(), ANSWERS_FILE)
        self._check_answers(target, given, answers)
        self.report.line(step)
        return answers

    def _check_answers(self, target: source.Template, given: Answers, now: Answers) -> None:
        """See that Copier took no default where there is an answer, or should have been one."""
        for name in self.answers.keys() & now.keys() - given.keys():
            if self.answers[name] != now[name]:
                conditions, together = Conditions(target.questions), {**self.answers, **given}
                same = target.commit == self.recorded.commit
                if same and (objection := conditions.objection(name, together)):
                    raise BadInput(
                        objection.splitlines()[0],
                        "leave what it needs, or remove what asks for it as well.",
                    )
                raise BadInput(
                    f"template {target.version} does not take {name} = {self.answers[name]!r}, "
                    f"which {ANSWERS_FILE} has.",
                    "see the template's CHANGELOG, or stay at the version that you have.",
                )
        computed = {name for name, each in target.questions.asked.items() if each.computed}
        new = sorted(now.keys() - self.answers.keys() - given.keys() - computed)
        if new and not self.wishes.yes and not self.asks:
            raise BadInput(
                f"there is nobody to ask; not answered: {', '.join(new)}.",
                "answer on a terminal, or by --data where the command has it, or take the defaults "
                "with --yes.",
            )

    def _losses(self, scratch: Scratch, target: source.Template, after: Answers) -> Losses:
        all_modules = list(self.recorded.questions.modules)
        return Losses(
            scratch,
            self.service.folder,
            partial(_render_alone, self.recorded, self.answers),
            partial(_render_alone, target, after),
            partial(_render_alone, self.recorded, self.answers | {"modules": all_modules}),
        )

    def _lock(self, scratch: Scratch, target: source.Template) -> bool:
        if not (scratch.folder / "uv.lock").is_file():
            self.report.line(Step("locked", "there was no uv.lock", "·"))
            return False
        with self.report.step("locked") as step:
            locked = relock(scratch.folder, target, step)
        scratch.git("add", "--force", "--", "uv.lock")
        return locked

    def _check(self, scratch: Scratch) -> list[Result]:
        results = []
        for name, check in CHEAP.items():
            with self.report.waiting(name):
                results.append(Result.of(name, partial(check, Service(scratch.folder))))
            tell(self.report, results[-1])
        return results

    def _apply(self, scratch: Scratch, outcome: Outcome, review: Review) -> None:
        scratch.hand_over(outcome, self.repository)
        self.holder.move(outcome.changes, outcome.stages, partial(self._follow, review))

    def _follow(self, review: Review) -> None:
        """What goes with a move, beside the files that git knows."""
        try:
            self.service.forget_bytecode(
                change.path for change in review.changes if change.kind == "deleted"
            )
            review.variables = environment.extend(self.service.folder)
        except OSError as failed:
            review.notes.append(
                f"{failed.filename} is as it was: {failed.strerror}; compare it with .env.example"
            )


def _render_alone(template: source.Template, answers: Answers, folder: Path) -> None:
    render(template, folder, answers, defaults={}, ask=False)
