"""Validate a service: the built-in checks and those that it declares, side by side."""

import os
from dataclasses import asdict
from pathlib import Path

from ..change.journal import recover
from ..service.checks import Result, tell
from ..service.folder import Service
from ..service.junit import write_junit
from ..service.running import Terms, checks_of, run_checks
from ..system.errors import BadInput
from ..system.screen import Report, Step
from ..template.addresses import resolved
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
        BadInput: `folder` is not in a service, or a check of `only` does not exist.
        ProgramMissing: uv or git is not installed.
    """
    recover(resolved(folder), report)
    service = Service.named(folder, answers_file)
    wanted = _wanted(checks_of(service), only, skip, report)
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


def _wanted(names: list[str], only: list[str], skip: list[str], report: Report) -> list[str]:
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
    return wanted


def _summarise(report: Report, results: list[Result], failed: list[str], service: Service) -> None:
    if not failed:
        report.say(f"  all {len(results)} passed.")
        return
    task = service.checks.get(failed[0])
    again = f"uv run poe {task}" if task else f"new-service validate --only {failed[0]}"
    report.say(f"  {len(failed)} of {len(results)} failed. Repeat it: {again}")
