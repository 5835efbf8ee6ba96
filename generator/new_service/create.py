"""Create a service: render, secrets, lock, git, and one rename at the end."""

import os
import shlex
import subprocess
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import environment, ignoring, preview, prompts, source, team, workspace
from .addresses import ADVICE
from .asking import Asking
from .conditions import Conditions, check_choices, unanswered
from .data import answers_in, given_answers
from .errors import BadInput
from .git import commit_all, git, is_inside_work_tree
from .ignoring import Ignored
from .locking import lock
from .places import place
from .programs import find_uv
from .questions import Answers, Questions
from .rendering import render
from .report import Report, Step
from .service import Service, resolved


@dataclass(frozen=True)
class Wishes:
    """What the command line asks of `create`."""

    name: str | None = None
    output_dir: Path = field(default_factory=Path)
    modules: list[str] = field(default_factory=list)
    preset: str | None = None
    data: list[str] = field(default_factory=list)
    data_file: Path | None = None
    template: str | None = None
    template_version: str | None = None
    yes: bool = False
    dry_run: bool = False
    git: bool = True
    lock: bool = True


def create(wishes: Wishes, report: Report) -> None:
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
    url = team.template_url(wishes.template, ours)
    with source.opened(url, wishes.template_version or ours.template_version) as template:
        surrounded = _is_surrounded(parent, wishes)
        answers = _answers(wishes, template.questions)
        defaults = ours.defaults_for(template.questions)
        if unknown := sorted(ours.defaults.keys() - template.questions.open_names()):
            detail = f"not asked by {template.version}: {', '.join(unknown)}"
            report.line(Step("defaults", detail, "·"))
        ask = not report.obstacle and not wishes.yes
        if "service_name" in answers:
            _check_free(parent / str(answers["service_name"]))
        asking = Asking(
            template.questions, answers, defaults, lambda name: os.path.lexists(parent / name)
        )
        if ask:
            asking.start(wishes.preset)
        elif not wishes.yes:
            raise _nobody_to_ask(report.obstacle, template.questions, answers)
        elif "service_name" not in answers:
            raise BadInput(
                "the service has no name.", "give one: new-service create orders-api --yes"
            )
        _complete(asking, report, ask=ask)
        if ask:
            asking.ask()
            _complete(asking, report, ask=ask)
        else:
            check_choices(template.questions, answers)
        with place(None if wishes.dry_run else parent) as scratch:
            creation = _Creation(wishes, report, template, parent, scratch / "service", surrounded)
            creation.run(asking, ask=ask)


@dataclass(frozen=True)
class _Creation:
    """What all the steps of one creation need."""

    wishes: Wishes
    report: Report
    template: source.Template
    parent: Path
    folder: Path
    surrounded: bool
    """Whether a git repository is around it."""

    def run(self, asking: Asking, *, ask: bool) -> None:
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
        name, modules = str(everything["service_name"]), _names(everything.get("modules"))
        files = sorted(
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if not path.is_dir()
        )
        destination = self.parent / name
        _check_free(destination)
        if self.wishes.dry_run:
            self.report.say(preview.tree(name, files, modules))
        elif ask:
            self.report.say(preview.short(name, files, everything, self.template.questions))
            preview.confirm("Create it", otherwise="nothing was created.")
            self.report.say()
        locked = False
        if not self.wishes.dry_run:
            self.report.line(rendered)
            if self.template.had_credentials:
                self.report.line(Step("address", "user and password are not recorded", "!"))
                self.report.say(f"      {ADVICE}")
            locked = self._finish(destination)
            os.rename(self.folder, destination)  # noqa: PTH104  the parent stays
        ignored = self._ignored(destination, files)
        if not self.wishes.dry_run:
            self._say_next(destination)
        self.report.document(
            {
                "path": str(destination),
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
        """Secrets, lock and first commit; True if the service is locked."""
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

    def _say_next(self, destination: Path) -> None:
        shown = os.path.relpath(destination)
        say = self.report.say
        say()
        say(f"  cd {shlex.quote(shown)}")
        if Service.at(destination).setting("tool", "poe", "tasks", "migrate"):
            say(f"  {'uv run poe migrate':<22} create the tables")
        say(f"  {'uv run poe dev':<22} serve on http://127.0.0.1:8000/docs")
        say(f"  {'new-service validate':<22} run every check")


def _is_surrounded(parent: Path, wishes: Wishes) -> bool:
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


def _answers(wishes: Wishes, questions: Questions) -> Answers:
    """What the command line says, later ones overriding: data file, preset, --data, --with."""
    answers: Answers = {}
    if wishes.data_file is not None:
        answers |= answers_in(questions, wishes.data_file)
    if wishes.preset is not None:
        answers |= questions.preset(wishes.preset)
    answers |= given_answers(questions, wishes.data, None)
    if wishes.modules:
        chosen = [part.strip() for given in wishes.modules for part in given.split(",")]
        chosen = [*_names(answers.get("modules")), *(part for part in chosen if part)]
        answers |= questions.checked({"modules": list(dict.fromkeys(chosen))}, "--with")
    if wishes.name is not None:
        if answers.get("service_name", wishes.name) != wishes.name:
            raise BadInput(
                f"the name is given twice, {wishes.name} and {answers['service_name']}.",
                "give it once.",
            )
        answers |= questions.checked({"service_name": wishes.name}, "NAME")
    return answers


def _complete(asking: Asking, report: Report, *, ask: bool) -> None:
    """Add what the chosen modules need, and say so."""
    answers = {**asking.defaults, **asking.given}
    modules, words = Conditions(asking.questions).additions(answers)
    if words:
        asking.given["modules"] = modules
        words = f"{words}, which comes too"
        prompts.remark(words) if ask else report.line(Step("needs", words, "·"))


def _nobody_to_ask(obstacle: str, questions: Questions, answers: Answers) -> BadInput:
    missing = unanswered(questions, answers)
    how = " ".join(f"--data {name}=..." for name in missing if name != "service_name")
    if "service_name" in missing:
        how = f"NAME {how}".strip()
    return BadInput(
        f"{obstacle}; not answered: {', '.join(missing) or 'the confirmation'}.",
        f"give {how}, and --yes for the defaults of the rest." if how else "add --yes.",
    )


def _names(modules: object) -> list[str]:
    return [str(each) for each in modules] if isinstance(modules, list) else []
