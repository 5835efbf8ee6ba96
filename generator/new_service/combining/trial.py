"""Try one combination as a user would: create it, validate it, change a module and undo that."""

import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from ..service.checks import CHEAP, Failed, Result
from ..service.folder import Service
from ..service.running import Terms, allowed_seconds, checks_of, run_checks
from ..system.git import commit_all, git, names
from ..system.programs import TookTooLong, find_uv, run
from ..system.screen import Step
from ..system.trees import differences
from ..template.conditions import Conditions
from ..template.questions import Answers, Questions
from ..template.wishes import modules_in
from .combinations import Combination, name

# The checks that show quickly whether a change of modules has worked.
_QUICK = {*CHEAP, "format", "lint", "types", "boot"}
_KEPT = b"# An edit of the owner's.\n"


class _Impossible(Exception):
    """This machine cannot try it; the message says why."""


@dataclass
class Trial:
    """A combination, and the results of trying it."""

    questions: Questions
    answers: Combination
    number: int
    folder: Path
    """Where the service is created; it does not exist yet."""
    newest: bool = False
    """Lock to the newest packages, not to those that the template was tested with."""
    given: Answers = field(default_factory=dict)
    """Answers that every combination has; those to questions with choices are in `answers`."""
    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def id(self) -> str:
        """The answers, in short."""
        return name(self.answers)

    @property
    def failed(self) -> list[Result]:
        """The steps that went wrong."""
        return [each for each in self.results if each.status == "failed"]

    @property
    def obstacle(self) -> str:
        """Why this machine could not try it; empty if it did."""
        return next((each.detail for each in self.results if each.status == "skipped"), "")

    def run(self) -> None:
        """Create it, run its checks, edit it, change its modules and undo that."""
        with Step(self.id) as step:
            for result in self._steps():
                self.results.append(result)
        self.seconds = round(step.seconds or 0.0, 3)

    def options(self) -> list[str]:
        """The options with which `create` makes it again."""
        return [self.folder.name, "--yes", *_data(self._answers)]

    @property
    def _answers(self) -> Answers:
        """All answers, without given choices that this combination is not asked for."""
        asked = self.questions.asked
        given = {
            key: value
            for key, value in self.given.items()
            if not (asked[key].choices or asked[key].type == "bool")
        }
        return {**given, **self.answers}

    def _steps(self) -> Iterator[Result]:
        yield (created := Result.of("create", self._create))
        if created.status != "passed":
            return
        service = Service.at(self.folder)
        try:
            self._make_environment(service)
        except _Impossible as why:
            yield Result("python", "skipped", 0.0, str(why))
            return
        terms = Terms(variables=variables_of(self.answers, os.environ), python=_python(service))
        yield from run_checks(service, checks_of(service), terms)
        yield from self._changes(service, terms)

    def _create(self) -> str:
        newest = ["--no-lock"] if self.newest else []
        where = ["--output-dir", str(self.folder.parent)]
        self._new_service("create", *self.options(), *where, *newest)
        if self.newest:
            _checked([find_uv(), "lock"], self.folder)
            commit_all(self.folder, "Lock to the newest packages")
        return ""

    def _make_environment(self, service: Service) -> None:
        """Make the environment with the lowest Python that the service supports, if uv has it."""
        python = _python(service)
        command = [find_uv(), "venv", "--quiet", *(["--python", python] if python else [])]
        try:
            made = run(command, self.folder, seconds=allowed_seconds())
        except (OSError, TookTooLong) as failed:
            raise _Impossible(f"{' '.join(command)}: {failed}") from failed
        if made.returncode != 0:
            raise _Impossible(" ".join(made.stdout.removeprefix("error:").split()))

    def _changes(self, service: Service, terms: Terms) -> Iterator[Result]:
        """Edit every file, add a module or remove one, and undo that."""
        module = self._module()
        if module is None:
            return
        edited: set[str] = set()
        yield (done := Result.of("edit", partial(_edit, service, edited)))
        if done.status == "failed":
            return
        before, commits = self._modules(), git(self.folder, "log", "--format=%H", "-2").split()
        there, back = ("remove", "add") if module in before else ("add", "remove")
        forced = ["--force"] if module in before else []
        # In the end all is as before: cheap checks will do, and uv has all packages cached.
        ways: list[tuple[str, Collection[str], dict[str, str]]] = [
            (there, _QUICK, {}),
            (back, CHEAP, {"UV_OFFLINE": "1"}),
        ]
        modules = [module]
        for verb, wanted, variables in ways:
            title = f"{verb} {' '.join(modules)}"
            options = self._forgotten() if verb == "add" else forced
            change = partial(self._change, title, options, edited, variables)
            yield (done := Result.of(title, change))
            if done.status == "failed":
                return
            service = Service.at(self.folder)
            checks = [each for each in checks_of(service) if each in wanted]
            for result in run_checks(service, checks, terms):
                yield replace(result, name=f"{title}: {result.name}")
            # Modules that it needs were added with it, and are removed with it.
            if verb == "add":
                modules = [each for each in reversed(self._modules()) if each not in before]
        kept = self.questions.kept
        yield Result.of("as before", partial(compare, self.folder, commits, kept))

    def _module(self) -> str | None:
        """The module to change, another each time: one that is absent, or that no other needs."""
        chosen = modules_in(self.answers)
        conditions = Conditions(self.questions)
        needed = {need for each in chosen for need in conditions.needs(each, self.answers)}
        modules = list(self.questions.modules)
        lacking = [each for each in modules if each not in chosen]
        free = lacking or [each for each in modules if each not in needed]
        return next(islice(cycle(free), self.number, None)) if free else None

    def _modules(self) -> list[str]:
        return modules_in(Service.at(self.folder).answers())

    def _forgotten(self) -> list[str]:
        """Options for the answers that were removed with a module that is added again."""
        known = Service.at(self.folder).answers()
        return _data({key: value for key, value in self._answers.items() if key not in known})

    def _change(
        self, title: str, options: list[str], edited: set[str], variables: Mapping[str, str]
    ) -> str:
        """Change a module as a user would; files removed with it are taken out of `edited`."""
        command = [*title.split(), *options, "--yes", "--project", str(self.folder)]
        self._new_service(*command, **variables)
        commit_all(self.folder, title.capitalize())
        edited -= {each for each in edited if not (self.folder / each).is_file()}
        lost = [each for each in sorted(edited) if _KEPT not in (self.folder / each).read_bytes()]
        if lost:
            raise Failed(f"an edit was lost in {', '.join(lost)}")
        return ""

    def _new_service(self, *arguments: str, **variables: str) -> str:
        """Run the command as a user would, in a process of its own: Copier changes its process."""
        command = [sys.executable, "-m", "new_service.cli", *arguments]
        return _checked(command, self.folder.parent, **variables)


def _python(service: Service) -> str | None:
    """The lowest Python version that the service declares."""
    required = re.match(r">=\s*([\d.]+)", str(service.setting("project", "requires-python")))
    return required[1] if required else None


def variables_of(answers: Combination, environment: Mapping[str, str]) -> dict[str, str]:
    """`NAME__ANSWER` of the environment as `NAME`, where that is an answer.

    So that services that differ in their servers each meet the one that is theirs.
    """
    chosen = {str(each) for each in answers.values()}
    split = ((variable.rpartition("__"), value) for variable, value in environment.items())
    return {name: value for (name, _, answer), value in split if name and answer in chosen}


def _data(answers: Answers) -> list[str]:
    """The options that give `answers` to a command."""
    pairs = {
        key: ",".join(value) if isinstance(value, list) else str(value)
        for key, value in answers.items()
    }
    return [word for key, value in pairs.items() for word in ("--data", f"{key}={value}")]


def _checked(command: list[str], folder: Path, **variables: str) -> str:
    """What `command` says; `variables` are added to the environment.

    Raises:
        Failed: its exit code is not 0, or it does not end.
    """
    try:
        done = run(command, folder, {**os.environ, **variables}, seconds=allowed_seconds())
    except TookTooLong as late:
        raise Failed(f"{command[-1]} did not end\n{late}") from late
    if done.returncode != 0:
        raise Failed(done.stdout or f"ended with exit code {done.returncode}")
    return done.stdout


def _edit(service: Service, edited: set[str]) -> str:
    """Write a line into each file that can have one, and commit; adds them to `edited`."""
    for each in names(git(service.folder, "ls-files", "-z")):
        path = service.folder / each
        if each != service.answers_file and _takes_comment(path):
            path.write_bytes(_KEPT + path.read_bytes())
            edited.add(each)
    commit_all(service.folder, "Edit")
    return ""


def _takes_comment(path: Path) -> bool:
    """Whether a line that begins with `# ` may come first in a file."""
    if path.suffix:
        return path.suffix in {".py", ".toml", ".yaml", ".yml"}
    return path.read_bytes().startswith(b"# ")


def compare(service: Path, commits: list[str], kept: list[str]) -> str:
    """Check that each file of the last commit is as in one of `commits`.

    A module comes back without its owner's edits. Files that match a pattern in `kept`
    (`_skip_if_exists`) stay.

    Raises:
        Failed: a file differs from all of them; the message names it.
    """
    differing = [{each.path for each in differences(service, old, "HEAD")} for old in commits]
    patterns = [f"--exclude={each}" for each in kept]
    stay = names(git(service, "ls-files", "-z", "--cached", "--ignored", *patterns)) if kept else []
    # uv keeps a locked version that an added module wanted, as long as it fits.
    unlike = set.intersection(*differing) - {"uv.lock", *stay}
    if unlike:
        raise Failed(f"a change was undone, but these differ: {', '.join(sorted(unlike))}")
    return ""
