"""How a change is made: tried in a scratch copy, judged there, and moved to the service as a whole.

The service is untouched until the move, and a move that is stopped is undone. The change is left
uncommitted, for the owner to review.
"""

import os
import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from shlex import quote

from ..service import workspace
from ..service.checks import CHEAP, Result, tell
from ..service.declared import Declared
from ..service.folder import Service
from ..service.ignoring import ignored
from ..service.locking import relock
from ..system.errors import BadInput, not_answered
from ..system.programs import find_uv
from ..system.prompts import confirm
from ..system.screen import Report, Step
from ..template import source
from ..template.addresses import ADVICE, resolved, without_credentials
from ..template.conditions import Conditions
from ..template.questions import Answers
from ..template.rendering import import_copier_meanwhile, render
from ..template.rendering import update as update_by_copier
from ..template.wishes import Wishes, modules_in
from .account import conclude, list_changes
from .clashes import clashes
from .journal import Journal, held, recover
from .losses import Losses
from .repository import Repository
from .review import Review
from .scratch import Outcome, Scratch


@dataclass(frozen=True, kw_only=True)
class ToChange(Wishes):
    """The options of every command that changes a service."""

    project: Path
    answers_file: str | None = None
    template: str | None = None
    """Where the service's template is from now on."""
    allow_conflicts: bool = False
    force: bool = False
    check: bool = True


@dataclass(frozen=True)
class Engine:
    """A service, held for one change, and its template."""

    wishes: ToChange
    report: Report
    service: Service
    journal: Journal
    template: source.Template
    """In its newest version."""
    recorded: source.Template
    """In the version that the service has."""

    @property
    def repository(self) -> Repository:
        """The service's."""
        return self.journal.repository

    @classmethod
    @contextmanager
    def opened(cls, wishes: ToChange, report: Report) -> Iterator["Engine"]:
        """Hold the service that `wishes` name; an interrupted change is finished first.

        Raises:
            NewServiceError: there is no service, it is not clean, or its template is unavailable.
        """
        if wishes.lock or wishes.check:
            find_uv()
        import_copier_meanwhile()
        try:
            recover(resolved(wishes.project), report)
            service = Service.around(wishes.project, wishes.answers_file)
            repository = Repository.around(service.folder)
            with held(repository, report) as journal:
                repository.check_clean()
                answers = service.answers()
                with source.opened(wishes.template or service.address(answers)) as template:
                    recorded = template.at(str(answers["_commit"]))
                    if wishes.template:
                        _check_same(recorded, answers)
                    if wishes.template and template.had_credentials:
                        # For the checks: the address that they find in the service has none.
                        os.environ["NEW_SERVICE_TEMPLATE"] = wishes.template
                    yield cls(wishes, report, service, journal, template, recorded)
        except subprocess.CalledProcessError as failed:
            raise BadInput(
                f"git failed in {wishes.project}: {failed.stderr}",
                "nothing was changed; see `git status`, and check that the disk has room.",
            ) from failed

    @cached_property
    def answers(self) -> Answers:
        """The recorded answers to the questions of the service's version."""
        return self.recorded.questions.recorded(self.service.answers(), self.service.answers_file)

    @property
    def modules(self) -> list[str]:
        """The modules that the service has."""
        return modules_in(self.answers)

    @property
    def moves(self) -> bool:
        """Whether the service records another address of its template from now on."""
        recorded = str(self.service.answers()["_src_path"])
        return self.wishes.template is not None and recorded != self.template.url

    @property
    def asks(self) -> bool:
        """Whether there is somebody to ask."""
        return self.wishes.asks(self.report)

    def review(self, verb: str, message: str, target: source.Template | None = None) -> Review:
        """An empty review of a change that a command makes."""
        version = self.recorded.version
        after = target.version if target else version
        chosen = self.wishes.answers_file
        flags = f" --answers-file {quote(chosen)}" if chosen else ""
        return Review(self.service, f"new-service {verb}{flags}", message, version, after)

    def run(self, target: source.Template, given: Answers, review: Review) -> int:
        """Bring the service to `target` and the answers `given`; 0, or 3 if nothing was applied.

        Raises:
            NewServiceError, KeyboardInterrupt: the service is as it was.
        """
        losses = self._try(target, given)
        outcome = self._judge(losses, review)
        if not review.refused:
            self._prepare(losses.scratch, target, outcome, review)
        review.changes = outcome.changes
        asked = review.confirms and self.asks and not (review.refused or self.wishes.dry_run)
        if asked:
            list_changes(review, self.report)
            confirm(review.message)
        review.applied = bool(outcome.changes) and not review.refused and not self.wishes.dry_run
        if review.applied:
            self._apply(losses.scratch, outcome, review)
        return conclude(review, self.report, listed=asked)

    def _try(self, target: source.Template, given: Answers) -> Losses:
        """Have Copier make the change in a copy, where its losses can be found."""
        target.questions.recorded({**self.service.answers(), **given}, self.service.answers_file)
        near = not (self.recorded.asks_origin or target.asks_origin)
        scratch = Scratch.of(self.repository, self.service, target, near=near, moves=self.moves)
        after = self._render(scratch, target, given)
        all_modules = list(self.recorded.questions.modules)
        return Losses(
            scratch,
            self.service.folder,
            partial(self._render_alone, self.recorded, self.answers),
            partial(self._render_alone, target, after),
            partial(self._render_alone, self.recorded, self.answers | {"modules": all_modules}),
        )

    def _judge(self, losses: Losses, review: Review) -> Outcome:
        """Find what the change does, and the reasons to refuse it."""
        scratch = losses.scratch
        outcome = scratch.outcome()
        losses.merge_binaries(outcome)
        edited = {} if self.wishes.force else losses.edited(outcome)
        if self.wishes.allow_conflicts:
            losses.keep(outcome, edited)
            edited = {}
        losses.drop_orphans(outcome, self.recorded.questions.kept)
        review.blocked = self.repository.in_the_way(outcome.changes)
        review.clashes = self._clashes(outcome, edited)
        review.would_lose = sorted({*edited, *review.blocked, *review.clashes})
        review.hunks = {path: list(scratch.hunks(path)) for path in outcome.conflicts}
        review.refused = bool(review.would_lose) or bool(
            review.hunks and not self.wishes.allow_conflicts
        )
        return outcome

    def _prepare(
        self, scratch: Scratch, target: source.Template, outcome: Outcome, review: Review
    ) -> None:
        """Lock and check the copy, and note what the owner has to know."""
        if self.wishes.lock:
            review.locked = self._lock(scratch, target)
            outcome.changes = scratch.changes()
        if self.wishes.check:
            review.checks = self._check(scratch)
        before = Declared.by(self.service)
        # What it declares then cannot be read among conflict markers.
        after = before if "pyproject.toml" in review.hunks else Declared.by(scratch.service)
        review.left_to_do = after.after_change(before, outcome.changes)
        added = [change.path for change in outcome.changes if change.kind == "added"]
        review.ignored = ignored(self.service.folder, added, own_rules=True)
        if self.wishes.template and self.template.had_credentials:
            review.notes.append(f"user and password of the address are not recorded: {ADVICE}")
        address = str(self.service.answers()["_src_path"])
        if without_credentials(address) != address:
            review.notes.append(
                f"user and password are removed from {self.service.answers_file}, not from git's "
                f"history: replace them, and {ADVICE}"
            )

    def _render(self, scratch: Scratch, target: source.Template, given: Answers) -> Answers:
        """Have Copier make the change; returns the answers that it recorded."""
        versions = dict.fromkeys([self.recorded.version, target.version])
        step, file = Step("rendered", f"template {' → '.join(versions)}"), self.service.answers_file
        # A spinner would spoil the prompts.
        with nullcontext() if self.asks else self.report.waiting("rendered"), step:
            update_by_copier(
                target,
                scratch.folder,
                given,
                answers_file=file,
                variables=scratch.variables,
                ask=self.asks,
            )
        answers = target.questions.recorded(scratch.service.answers(), file)
        self._check_answers(target, given, answers)
        self.report.line(step)
        if new := _added(given.get("modules", self.modules), answers.get("modules")):
            self.report.line(
                Step("needs", f"{', '.join(new)} comes too: other modules need it", "·")
            )
        if unasked := sorted(given.keys() - answers.keys()):
            detail = f"not asked of this service: {', '.join(unasked)}"
            self.report.line(Step("answers", detail, "·"))
        return answers

    def _check_answers(self, target: source.Template, given: Answers, now: Answers) -> None:
        """Check that Copier took no default for a question that is, or should be, answered."""
        for name in self.answers.keys() & now.keys() - given.keys():
            if not _is_kept(self.answers[name], now[name]):
                conditions, together = Conditions(target.questions), {**self.answers, **given}
                same = target.commit == self.recorded.commit
                if same and (objection := conditions.objection(name, together)):
                    raise BadInput(
                        objection.splitlines()[0],
                        "keep the module that it needs, or remove the one that needs it as well.",
                    )
                raise BadInput(
                    f"template {target.version} does not accept {name} = {self.answers[name]!r}, "
                    f"which {self.service.answers_file} records.",
                    "see the template's CHANGELOG, or stay at the version that you have.",
                )
        computed = {name for name, each in target.questions.asked.items() if each.computed}
        new = sorted(now.keys() - self.answers.keys() - given.keys() - computed)
        if new and not self.wishes.yes and not self.asks:
            raise not_answered(
                self.report.obstacle,
                new,
                "answer on a terminal, or with --data if the command has it, or take the defaults "
                "with --yes.",
            )

    @cached_property
    def workspace(self) -> Path | None:
        """The root of the uv workspace around the service, which locks it."""
        return workspace.around(self.service.folder)

    def _render_alone(self, template: source.Template, answers: Answers, folder: Path) -> None:
        name = self.service.answers_file
        render(template, folder, answers, defaults={}, ask=False, answers_file=name)

    def _clashes(self, outcome: Outcome, edited: Collection[str]) -> dict[str, str]:
        """Files with the import name of a new file; edits and conflicts are reported as such."""
        told = {*edited, *outcome.conflicts}
        found = clashes(self.service.folder, outcome.changes)
        return {path: name for path, name in found.items() if path not in told}

    def _lock(self, scratch: Scratch, target: source.Template) -> bool:
        if self.workspace:
            command = workspace.lock_command(self.workspace)
            self.report.line(Step("locked", f"not here: lock its workspace with: {command}", "!"))
            return False
        if not (scratch.folder / "uv.lock").is_file():
            self.report.line(Step("locked", "the service has no uv.lock", "·"))
            return False
        with self.report.step("locked") as step:
            locked = relock(scratch.folder, target, step)
        scratch.git("add", "--force", "--", "uv.lock")
        return locked

    def _check(self, scratch: Scratch) -> list[Result]:
        results = []
        for name, check in CHEAP.items():
            if name == "lock" and self.workspace:
                continue  # it has none of its own
            with self.report.waiting(name):
                results.append(Result.of(name, partial(check, scratch.service)))
            tell(self.report, results[-1])
        return results

    def _apply(self, scratch: Scratch, outcome: Outcome, review: Review) -> None:
        scratch.hand_over(outcome, self.repository)
        followed = self.journal.move(outcome.changes, outcome.stages)
        review.variables = followed.variables
        if followed.obstacle:
            review.notes.append(followed.obstacle)


def _check_same(recorded: source.Template, answers: Mapping[str, object]) -> None:
    """See that a template at another address is the one that asked for `answers`."""
    given = {name for name in answers if not name.startswith("_")}
    if unknown := sorted(given - recorded.questions.asked.keys()):
        raise BadInput(
            f"{recorded.url} is another template: its version {recorded.version} does not ask for "
            f"{', '.join(unknown)}.",
            "--template takes another address of the template that the service was made from.",
        )


def _is_kept(before: object, now: object) -> bool:
    """Whether an answer is unchanged, apart from needed modules that were added to a list."""
    if isinstance(before, list) and isinstance(now, list):
        return set(before) <= set(now)
    return before == now


def _added(before: object, now: object) -> list[str]:
    """The modules that were added to a list."""
    known = before if isinstance(before, list) else []
    return [each for each in now if each not in known] if isinstance(now, list) else []
