"""Validate a service: the built-in checks and those that it declares, side by side."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .boot import boot
from .checks import CHEAP, Failed, Result, tell
from .errors import BadInput
from .programs import TookTooLong, end_all, find_uv, own_environment, poe, run
from .questions import closest, did_you_mean
from .report import Report, Step
from .repository import undo_interrupted
from .service import Service, resolved


def validate(
    folder: Path, *, only: list[str], skip: list[str], junit: Path | None, report: Report
) -> int:
    """Run the checks of the service in `folder`; 0 if all passed, 1 if one failed.

    Raises:
        BadInput: `folder` is in no service, or a check of `only` does not exist.
        ProgramMissing: uv or git is not installed.
    """
    service = service_of(folder)
    undo_interrupted(service.folder)
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


def service_of(folder: Path) -> Service:
    """The service in `folder`, or the one that it is a folder of.

    Raises:
        BadInput: there is none.
    """
    folder = resolved(folder)
    if folder.is_dir() and not (folder / "pyproject.toml").is_file():
        with suppress(BadInput):
            return Service.around(folder)
    return Service.at(folder)


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
    with ThreadPoolExecutor(max_workers=terms.at_once) as pool:
        environment = pool.submit(_prepare, service, wanted, terms)
        futures = [pool.submit(_result, service, name, environment, terms) for name in wanted]
        try:
            for future in futures:
                yield future.result()
        except (KeyboardInterrupt, GeneratorExit):  # the latter where the caller is interrupted
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise


def _prepare(service: Service, wanted: list[str], terms: Terms) -> str:
    """Install the service's environment once, for all checks that use it; what failed, if any."""
    if not set(wanted) - CHEAP.keys():
        return ""
    if not (service.folder / "uv.lock").is_file():
        return "its environment cannot be installed: there is no uv.lock; make it with: uv lock"
    python = ["--python", terms.python] if terms.python else []
    try:
        installed = run(
            [find_uv(), "sync", "--frozen", *python], service.folder, seconds=allowed_seconds()
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
        return boot(service)
    # Colours and progress bars would only spoil the lines that are shown.
    variables = {**own_environment(), **terms.variables, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
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
