"""Create a service: render, secrets, lock, git, and one rename at the end."""

import os
import shlex
import subprocess
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..service import environment, ignoring, workspace
from ..service.declared import Declared, NextStep
from ..service.folder import Service
from ..service.ignoring import Ignored
from ..service.locking import lock
from ..system import prompts
from ..system.errors import BadInput, not_answered
from ..system.git import commit_all, git, is_inside_work_tree
from ..system.places import from_here, place
from ..system.programs import find_uv
from ..system.prompts import confirm
from ..system.screen import Report, Step
from ..template import source, team
from ..template.addresses import ADVICE, resolved
from ..template.conditions import Conditions, check_choices, unanswered
from ..template.questions import Answers, Questions
from ..template.rendering import import_copier_meanwhile, render
from ..template.wishes import Wishes, modules_in
from . import preview
from .asking import Asking


@dataclass(frozen=True, kw_only=True)
class ToCreate(Wishes):
    """What the command line asks of `create`."""

    name: str | None = None
    output_dir: Path = field(default_factory=Path)
    modules: list[str] = field(default_factory=list)
    preset: str | None = None
    template: str | None = None
    template_version: str | None = None
    git: bool = True


def create(wishes: ToCreate, report: Report) -> None:
    """Create a service as `wishes` say, asking for what they leave open.

    Raises:
        NewServiceError: something is wrong; the disk is as it was.
        KeyboardInterrupt: Ctrl-C; the disk is as it was.
        Exit: the user said no; the disk is as it was.
    """
    parent = _output_dir(wishes.output_dir)
    if wishes.name:
        _check_free(parent / wishes.name)  # before the template is fetched
    if wishes.lock and not wishes.dry_run:
        find_uv()  # its absence is told before anything is asked
    ours = team.read()
    import_copier_meanwhile()
    url = team.template_url(wishes.template, ours)
    with source.opened(url, wishes.template_version or ours.template_version) as template:
        surrounded = _is_surrounded(parent, wishes)
        answers = _answers(wishes, template.questions)
        defaults = ours.defaults_for(template.questions)
        if unknown := sorted(ours.defaults.keys() - template.questions.open_names()):
            detail = f"not asked by {template.version}: {', '.join(unknown)}"
            report.line(Step("defaults", detail, "·"))
        if "service_name" in answers:
            _check_free(parent / str(answers["service_name"]))
        asking = Asking(
            template.questions, answers, defaults, lambda name: os.path.lexists(parent / name)
        )
        _complete(asking, wishes, report)
        with place(None if wishes.dry_run else parent) as scratch:
            creation = _Creation(wishes, report, template, parent, scratch / "service", surrounded)
            creation.run(asking)


def _complete(asking: Asking, wishes: ToCreate, report: Report) -> None:
    """Ask what is not answered, or see that it need not be."""
    questions, answers, asks = asking.questions, asking.given, wishes.asks(report)
    if asks:
        asking.start(wishes.preset)
    elif not wishes.yes:
        raise _nobody_to_ask(report.obstacle, questions, answers)
    elif "service_name" not in answers:
        raise BadInput("the service has no name.", "give one: new-service create orders-api --yes")
    _add_needs(asking, report, asks=asks)
    if asks:
        asking.ask()
        _add_needs(asking, report, asks=asks)
    else:
        check_choices(questions, answers)


@dataclass(frozen=True)
class _Creation:
    """What all the steps of one creation need."""

    wishes: ToCreate
    report: Report
    template: source.Template
    parent: Path
    folder: Path
    surrounded: bool
    """Whether a git repository is around it."""

    def run(self, asking: Asking) -> None:
        rendered = Step("rendered", f"template {self.template.version}")
        # A spinner would spoil prompts.
        with nullcontext() if asking.rest else self.report.waiting("rendered"), rendered:
            everything = render(
                self.template,
                self.folder,
                asking.given,
                defaults=asking.defaults,
                ask=asking.rest,
            )
        name, modules = str(everything["service_name"]), modules_in(everything)
        files = sorted(
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if not path.is_dir()
        )
        destination = self.parent / name
        _check_free(destination)
        locked = False
        if self.wishes.dry_run:
            self.report.say(preview.tree(name, files, modules))
            ignored = self._ignored(destination, files)
        else:
            steps = Declared.by(Service.at(self.folder)).after_create()
            if self.wishes.asks(self.report):
                self.report.say(preview.short(name, files, everything, self.template.questions))
                confirm("Create it", otherwise="nothing was created.")
                self.report.say()
            self.report.line(rendered)
            locked = self._finish(destination)
            ignored = self._ignored(destination, files)
            self._say_next(destination, steps)
        self.report.document(
            {
                "path": destination.as_posix(),
                "package": everything.get("package", name.replace("-", "_")),
                "modules": modules,
                "template": self.template.url,
                "version": self.template.version,
                "files": files,
                "locked": locked,
                "ignored": [asdict(each) for each in ignored],
            }
        )

    def _finish(self, destination: Path) -> bool:
        """Secrets, lock, first commit, and its place; True if the service is locked."""
        if self.template.had_credentials:
            self.report.line(Step("address", "user and password are not recorded", "!"))
            self.report.say(f"      {ADVICE}")
        with self.report.step("secrets") as step:
            written = environment.write(self.folder)
            step.detail = ".env, ignored by git" if written else "none needed"
        locked = False
        if self.wishes.lock:
            with self.report.step("locked") as step:
                locked = self._lock(destination, step)
        if self.wishes.git:
            with self.report.step("git") as step:
                step.detail = self._commit()
        os.rename(self.folder, destination)  # noqa: PTH104  the parent stays
        return locked

    def _lock(self, destination: Path, step: Step) -> bool:
        root = workspace.around_future(destination, self.folder / "pyproject.toml")
        if root is None:
            return lock(self.folder, self.template, step)
        step.mark = "!"
        step.detail = f"not here: lock its workspace with: {workspace.lock_command(root)}"
        return False

    def _commit(self) -> str:
        if self.surrounded:
            return "left to the repository around it"
        try:
            git(self.folder, "init", "--quiet")
            commit_all(self.folder, f"Create from template {self.template.version}")
        except subprocess.CalledProcessError as failed:
            raise BadInput(
                f"git cannot make the first commit: {str(failed.stderr).strip()}",
                "mend git's configuration, or create with --no-git.",
            ) from failed
        return "first commit"

    def _ignored(self, destination: Path, rendered: list[str]) -> list[Ignored]:
        """What the repository around it ignores, though the template does not."""
        if not self.surrounded:
            return []
        files = [*rendered, "uv.lock"] if self.wishes.lock else rendered
        found = ignoring.ignored(destination, files, own_rules=False)
        ignoring.tell(self.report, found, "which git add will leave out:", of=len(files))
        if found:
            self.report.say("      change the rule, or name the files to git add --force")
        return found

    def _say_next(self, destination: Path, declared: list[NextStep]) -> None:
        self.report.say()
        self.report.say(f"  cd {shlex.quote(from_here(destination))}")
        self.report.steps(
            [
                *declared,
                ("uv run poe dev", "serve on http://127.0.0.1:8000/docs"),
                ("new-service validate", "run every check"),
            ]
        )


def _is_surrounded(parent: Path, wishes: ToCreate) -> bool:
    try:
        return is_inside_work_tree(parent)
    except BadInput:
        if wishes.git:
            raise
        return False


def _output_dir(given: Path) -> Path:
    folder = resolved(given)
    if not folder.is_dir():
        raise BadInput(
            f"there is no folder {given}.", "make it first, or name another --output-dir."
        )
    return folder


def _check_free(destination: Path) -> None:
    if os.path.lexists(destination):
        raise BadInput(
            f"{destination} exists already.", "choose another name, or another --output-dir."
        )


def _answers(wishes: ToCreate, questions: Questions) -> Answers:
    """What the command line says, later ones overriding: data file, preset, --data, --with."""
    answers = wishes.in_file(questions)
    if wishes.preset is not None:
        answers |= questions.preset(wishes.preset)
    answers |= wishes.in_words(questions)
    if wishes.modules:
        chosen = [part.strip() for given in wishes.modules for part in given.split(",")]
        chosen = [*modules_in(answers), *(part for part in chosen if part)]
        answers |= questions.checked({"modules": list(dict.fromkeys(chosen))}, "--with")
    if wishes.name is not None:
        if answers.get("service_name", wishes.name) != wishes.name:
            raise BadInput(
                f"the name is given twice, {wishes.name} and {answers['service_name']}.",
                "give it once.",
            )
        answers |= questions.checked({"service_name": wishes.name}, "NAME")
    return answers


def _add_needs(asking: Asking, report: Report, *, asks: bool) -> None:
    """Add what the chosen modules need, and say so."""
    answers = {**asking.defaults, **asking.given}
    modules, words = Conditions(asking.questions).additions(answers)
    if words:
        asking.given["modules"] = modules
        words = f"{words}, which comes too"
        prompts.remark(words) if asks else report.line(Step("needs", words, "·"))


def _nobody_to_ask(obstacle: str, questions: Questions, answers: Answers) -> BadInput:
    missing = unanswered(questions, answers)
    how = " ".join(f"--data {name}=..." for name in missing if name != "service_name")
    if "service_name" in missing:
        how = f"NAME {how}".strip()
    return not_answered(
        obstacle,
        missing or ["the confirmation"],
        f"give {how}, and --yes for the defaults of the rest." if how else "add --yes.",
    )
