"""Validate a service: the built-in checks and those that it declares, side by side."""

import os
import xml.etree.ElementTree as ET
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from .boot import boot
from .checks import CHEAP, Failed, Result, tell
from .errors import BadInput
from .programs import find_uv, own_environment, poe, run
from .report import Report
from .repository import undo_interrupted
from .service import Service


def validate(
    folder: Path, *, only: list[str], skip: list[str], junit: Path | None, report: Report
) -> int:
    """Run the checks of the service in `folder`; 0 if all passed, 1 if one failed.

    Raises:
        BadInput: `folder` holds no service, or a check that is named does not exist.
        ProgramMissing: uv or git is not installed.
    """
    service = Service.at(folder)
    undo_interrupted(service.folder)
    names = list(dict.fromkeys([*CHEAP, *service.checks, "boot"]))
    _check_names([*only, *skip], names)
    wanted = [name for name in names if (not only or name in only) and name not in skip]
    if not wanted:
        raise BadInput("no check is left to run.", "name fewer with --skip.")
    results = _run(service, wanted, report)
    failed = [result.name for result in results if result.status == "failed"]
    _summarise(report, results, failed, service)
    if junit is not None:
        _write_junit(junit, service, results)
    report.document(
        {
            "project": str(service.folder),
            "ok": not failed,
            "checks": [asdict(result) for result in results],
        }
    )
    return 1 if failed else 0


def _check_names(given: list[str], known: list[str]) -> None:
    for name in given:
        if name not in known:
            raise BadInput(f"unknown check {name!r}.", f"possible: {', '.join(known)}.")


def _run(service: Service, wanted: list[str], report: Report) -> list[Result]:
    """Run checks side by side and tell of each, in their order, as soon as it is known."""
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        environment = pool.submit(_prepare, service, wanted)
        futures = [pool.submit(_result, service, name, environment) for name in wanted]
        results = []
        try:
            for name, future in zip(wanted, futures, strict=True):
                with report.waiting(name):
                    results.append(future.result())
                tell(report, results[-1])
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def _prepare(service: Service, wanted: list[str]) -> str:
    """Install the service's environment once, for all checks that use it; what failed, if any."""
    if not set(wanted) - CHEAP.keys():
        return ""
    if not (service.folder / "uv.lock").is_file():
        return "its environment cannot be installed: there is no uv.lock; make it with: uv lock"
    installed = run([find_uv(), "sync", "--frozen"], service.folder)
    return "" if installed.returncode == 0 else f"uv sync failed\n{installed.stdout}"


def _result(service: Service, name: str, environment: "Future[str]") -> Result:
    obstacle = "" if name in CHEAP else environment.result()

    def check() -> str:
        if obstacle:
            raise Failed(obstacle)
        return _check(service, name)

    return Result.of(name, check)


def _check(service: Service, name: str) -> str:
    if name in CHEAP:
        return CHEAP[name](service)
    if name == "boot":
        return boot(service)
    # Colours and progress bars would only spoil the lines that are shown.
    variables = own_environment() | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    done = poe(service.checks[name], service.folder, variables)
    if done.returncode != 0:
        raise Failed(done.stdout or f"ended with exit code {done.returncode}")
    return _last_words(done.stdout)


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


def _write_junit(path: Path, service: Service, results: list[Result]) -> None:
    """Write the form of JUnit's report that GitLab, Jenkins and others read."""
    suite = ET.Element(
        "testsuite",
        name=service.folder.name,
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
    root = ET.Element("testsuites")
    root.append(suite)
    try:
        ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as failed:
        raise BadInput(
            f"cannot write {path}: {failed.strerror}.", "name another --junit file."
        ) from failed


def _printable(text: str) -> str:
    """`text` without the control characters that XML 1.0 forbids (section 2.2)."""
    return "".join(each for each in text if each in "\t\n\r" or ord(each) >= 0x20)
