"""Validate a service: the built-in checks and those that it declares, side by side."""

import os
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ..change.journal import recover
from ..service import workspace
from ..service.boot import boot
from ..service.checks import CHEAP, Failed, Result, tell
from ..service.folder import Service, resolved
from ..system.errors import BadInput
from ..system.places import place
from ..system.programs import TookTooLong, end_all, find_uv, poe, run
from ..system.report import Report, Step
from ..template.questions import closest, did_you_mean


def validate(
    folder: Path,
    *,
    only: list[str],
    skip: list[str],
    junit: Path | None,
    report: Report,
    answers_file: str | None = None,
) -> int:
    """Run the checks of the service in `folder`; 0 if all passed, 1 if one failed.

    Raises:
        BadInput: `folder` is in no service, or a check of `only` does not exist.
        ProgramMissing: uv or git is not installed.
    """
    recover(resolved(folder), report)
    service = service_of(folder, answers_file)
    names = checks_of(service)
    for name in only:
        if name not in names:
            raise BadInput(f"unknown check {name!r}.", did_you_mean(name, names))
    for name in skip:
        if name not in names:
            # Not an error: one line of CI fits services with other modules.
            close = closest(name, names)
            meant = f"; did you mean {close!r}?" if close else ""
            report.line(Step(name, f"not a check of this service{meant}", "·"))
    wanted = [name for name in names if (not only or name in only) and name not in skip]
    if not wanted:
        raise BadInput("no check is left to run.", "name fewer with --skip.")
    outcomes = run_checks(service, wanted, Terms(at_once=max(2, os.cpu_count() or 2)))
    results = []
    for name in wanted:
        with report.waiting(name):
            results.append(next(outcomes))
        tell(report, results[-1])
    failed = [result.name for result in results if result.status == "failed"]
    _summarise(report, results, failed, service)
    if junit is not None:
        write_junit(junit, {service.folder.name: results})
    report.document(
        {
            "project": str(service.folder),
            "ok": not failed,
            "checks": [asdict(result) for result in results],
        }
    )
    return 1 if failed else 0


def checks_of(service: Service) -> list[str]:
    """The names of all its checks, in their order.

    Raises:
        BadInput: it declares checks in a form that they do not have.
    """
    return list(dict.fromkeys([*CHEAP, *service.checks, "boot"]))


def service_of(folder: Path, answers_file: str | None = None) -> Service:
    """The service in `folder`, or the one that it is a folder of.

    Raises:
        BadInput: there is none.
    """
    folder = resolved(folder)
    if folder.is_dir() and not (folder / "pyproject.toml").is_file():
        with suppress(BadInput):
            return Service.around(folder, answers_file)
    return Service.at(folder, answers_file)


@dataclass(frozen=True)
class Terms:
    """On which terms checks run."""

    at_once: int = 1
    variables: Mapping[str, str] = field(default_factory=dict)
    """On top of the caller's environment."""
    python: str | None = None
    """The version that the environment is made with; by default one that uv finds."""


def run_checks(service: Service, wanted: list[str], terms: Terms) -> Iterator[Result]:
    """Run checks and yield what comes of each, in their order, as soon as it is known."""
    with _place(service, wanted) as place, ThreadPoolExecutor(max_workers=terms.at_once) as pool:
        terms = replace(terms, variables={**terms.variables, **place})
        environment = pool.submit(_prepare, service, wanted, terms)
        futures = [pool.submit(_result, service, name, environment, terms) for name in wanted]
        try:
            for future in futures:
                yield future.result()
        except BaseException:  # such as an interrupt, also of the caller
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise


@contextmanager
def _place(service: Service, wanted: list[str]) -> Iterator[dict[str, str]]:
    """The variables that say where the service is installed, if not where uv would do it.

    A workspace shares its environment among its members, and the one that we run in must stay.
    """
    own = service.folder / ".venv"
    if not _installs(wanted):
        yield {}
    elif _is_ours(own):
        with place() as scratch:
            yield {"UV_PROJECT_ENVIRONMENT": f"{scratch}/environment"}
    elif workspace.around(service.folder):
        yield {"UV_PROJECT_ENVIRONMENT": str(own)}
    else:
        yield {}


def _installs(wanted: list[str]) -> bool:
    """Whether a check is wanted that needs the service's environment."""
    return bool(set(wanted) - CHEAP.keys())


def _is_ours(environment: Path) -> bool:
    """Whether we run in it."""
    used = (Path(each).resolve() for each in (sys.prefix, *sys.path))
    return any(each.is_relative_to(environment.resolve()) for each in used)


def _prepare(service: Service, wanted: list[str], terms: Terms) -> str:
    """Install the service's environment once, for all checks that use it; what failed, if any."""
    if not _installs(wanted):
        return ""
    root = workspace.around(service.folder)
    if not ((root or service.folder) / "uv.lock").is_file():
        make = workspace.lock_command(root)
        return f"its environment cannot be installed: there is no uv.lock; make it with: {make}"
    python = ["--python", terms.python] if terms.python else []
    try:
        installed = run(
            [find_uv(), "sync", "--frozen", *python],
            service.folder,
            {**os.environ, **terms.variables},
            seconds=allowed_seconds(),
        )
    except TookTooLong as late:
        return f"uv sync {_late(late)}"
    except OSError as failed:
        return f"uv sync could not run: {failed}"
    return "" if installed.returncode == 0 else f"uv sync failed\n{installed.stdout}"


def _result(service: Service, name: str, environment: "Future[str]", terms: Terms) -> Result:
    obstacle = "" if name in CHEAP else environment.result()

    def check() -> str:
        if obstacle:
            raise Failed(obstacle)
        return _check(service, name, terms)

    return Result.of(name, check)


def _check(service: Service, name: str, terms: Terms) -> str:
    if name in CHEAP:
        return CHEAP[name](service)
    if name == "boot":
        return boot(service, terms.variables)
    # Colours and progress bars would only spoil the lines that are shown.
    variables = {**os.environ, **terms.variables, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    try:
        done = poe(service.checks[name], service.folder, variables, seconds=allowed_seconds())
    except TookTooLong as late:
        raise Failed(_late(late)) from late
    if done.returncode != 0:
        raise Failed(done.stdout or f"ended with exit code {done.returncode}")
    return _last_words(done.stdout)


def allowed_seconds() -> float:
    """How long a check may take before it is taken for one that hangs.

    Raises:
        BadInput: NEW_SERVICE_CHECK_SECONDS says something else than a number of seconds.
    """
    given = os.environ.get("NEW_SERVICE_CHECK_SECONDS", "1200")
    if not given.isdecimal() or int(given) == 0:
        raise BadInput(
            f"NEW_SERVICE_CHECK_SECONDS is {given!r}.", "give it a whole number, such as 1200."
        )
    return int(given)


def _late(late: TookTooLong) -> str:
    return f"did not end within {allowed_seconds():.0f} s, and was killed\n{late}".strip()


def _last_words(output: str) -> str:
    """The closing line of a tool, such as `142 passed in 6.0 s`."""
    lines = [line.strip("= ") for line in output.splitlines() if line.strip("=- ")]
    return lines[-1][:100] if lines else ""


def _summarise(report: Report, results: list[Result], failed: list[str], service: Service) -> None:
    if not failed:
        report.say(f"  all {len(results)} passed.")
        return
    task = service.checks.get(failed[0])
    again = f"uv run poe {task}" if task else f"new-service validate --only {failed[0]}"
    report.say(f"  {len(failed)} of {len(results)} failed. Repeat it: {again}")


def write_junit(path: Path, suites: Mapping[str, list[Result]]) -> None:
    """Write the form of JUnit's report that GitLab, Jenkins and others read, a suite a service.

    Raises:
        BadInput: `path` cannot be written.
    """
    root = ET.Element("testsuites")
    root.extend(_suite(name, results) for name, results in suites.items())
    try:
        ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as failed:
        raise BadInput(
            f"cannot write {path}: {failed.strerror}.", "name another --junit file."
        ) from failed


def _suite(name: str, results: list[Result]) -> ET.Element:
    suite = ET.Element(
        "testsuite",
        name=name,
        tests=str(len(results)),
        failures=str(sum(result.status == "failed" for result in results)),
        skipped=str(sum(result.status == "skipped" for result in results)),
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        case = ET.SubElement(
            suite,
            "testcase",
            classname="new-service.validate",
            name=result.name,
            time=f"{result.seconds:.3f}",
        )
        if result.status != "passed":
            kind = "failure" if result.status == "failed" else "skipped"
            message = result.detail.splitlines()[0] if result.detail else ""
            ET.SubElement(case, kind, message=_printable(message)).text = _printable(result.detail)
    return suite


def _printable(text: str) -> str:
    """`text` without the control characters that XML 1.0 forbids (section 2.2)."""
    return "".join(each for each in text if each in "\t\n\r" or ord(each) >= 0x20)
