"""Run the checks of a service, our own and those that it declares, side by side."""

import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..system.errors import BadInput
from ..system.places import place
from ..system.programs import TookTooLong, end_all, find_uv, poe, run
from . import workspace
from .boot import boot
from .checks import CHEAP, Failed, Result
from .declared import Declared
from .folder import Service


def checks_of(service: Service) -> list[str]:
    """The names of all its checks, in their order.

    Raises:
        BadInput: it declares checks, or what modules need, in a form that they do not have.
    """
    Declared.by(service)
    return list(dict.fromkeys([*CHEAP, *service.checks, "boot"]))


@dataclass(frozen=True)
class Terms:
    """How checks run."""

    at_once: int = 1
    variables: Mapping[str, str] = field(default_factory=dict)
    """Added to the caller's environment."""
    python: str | None = None
    """The version for the environment; by default, one that uv finds."""


def run_checks(service: Service, wanted: list[str], terms: Terms) -> Iterator[Result]:
    """Run checks and yield their results in order, each as soon as it is known."""
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
    """The variables with which uv installs the service elsewhere than by default.

    A workspace shares its environment among its members, and our own environment must stay.
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
    """Whether one of the checks needs the service's environment."""
    return bool(set(wanted) - CHEAP.keys())


def _is_ours(environment: Path) -> bool:
    """Whether we run in `environment`."""
    used = (Path(each).resolve() for each in (sys.prefix, *sys.path))
    return any(each.is_relative_to(environment.resolve()) for each in used)


def _prepare(service: Service, wanted: list[str], terms: Terms) -> str:
    """Install the service's environment once, for all checks; returns why it failed, or nothing."""
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
    try:
        if name == "boot":
            return boot(service, terms.variables, allowed_seconds())
        return _run_task(service, service.checks[name], terms)
    except TookTooLong as late:
        raise Failed(_late(late)) from late


def _run_task(service: Service, task: str, terms: Terms) -> str:
    # Colours and progress bars would only spoil the lines that are shown.
    plain = {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    variables = {**Declared.by(service).seen(os.environ), **terms.variables, **plain}
    done = poe(task, service.folder, variables, seconds=allowed_seconds())
    if done.returncode != 0:
        raise Failed(done.stdout or f"ended with exit code {done.returncode}")
    return _last_words(done.stdout)


def allowed_seconds() -> float:
    """How long a check may take before it counts as hanging.

    Raises:
        BadInput: NEW_SERVICE_CHECK_SECONDS is not a number of seconds.
    """
    given = os.environ.get("NEW_SERVICE_CHECK_SECONDS", "1200")
    if not given.isdecimal() or int(given) == 0:
        raise BadInput(
            f"NEW_SERVICE_CHECK_SECONDS is {given!r}.", "set it to a whole number, such as 1200."
        )
    return int(given)


def _late(late: TookTooLong) -> str:
    return f"did not end within {allowed_seconds():.0f} s, and was killed\n{late}".strip()


def _last_words(output: str) -> str:
    """The closing line of a tool, such as `142 passed in 6.0 s`."""
    lines = [line.strip("= ") for line in output.splitlines() if line.strip("=- ")]
    return lines[-1][:100] if lines else ""
