"""The state of services, many at once: version, pin, newer versions, drift, leftovers."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from packaging.version import Version

from ..change.journal import recover
from ..service.drift import Drift, Recorded, drifts
from ..service.folder import ANSWERS_FILE, Service, has_answers
from ..service.pin import newest_inside, pin_of
from ..system.errors import (
    BadInput,
    NewServiceError,
    ProgramMissing,
    TemplateUnavailable,
    of_system,
)
from ..system.screen import Report, fitting, folded
from ..template import source
from ..template.addresses import resolved, without_credentials
from ..template.rendering import import_copier_meanwhile
from ..template.source import Template, releases


@dataclass
class Row:
    """What is known of one service; `error` says why the rest is unknown."""

    path: Path
    error: str = ""
    template: str = ""
    version: str = ""
    pin: str | None = None
    newest: str | None = None
    """The newest version inside the pin."""
    newest_outside: str | None = None
    """The newest of all, if the pin does not accept it."""
    off_pin: bool = False
    recorded: Recorded | None = None
    """None if it could not be read."""
    drift: Drift = field(default_factory=Drift)

    @property
    def outdated(self) -> bool:
        """Whether `update` would move it."""
        return bool(self.newest) and self.newest != self.version

    @property
    def is_well(self) -> bool:
        return not (self.error or self.outdated or self.off_pin)


def status(
    folders: list[Path], *, check: bool, report: Report, answers_file: str | None = None
) -> int:
    """Print the state of the services in `folders`; default: the one around the current folder.

    `answers_file` is the answers file that counts if a service has several.

    Returns 1 if `check` is set and one is outdated, off its pin, or cannot be read; else 0.

    Raises:
        BadInput: no folder is given, and there is no service around here.
        ProgramMissing: git is not installed, or too old.
    """
    rows = [Row(resolved(folder)) for folder in folders]
    if not rows:
        recover(resolved(Path()), report)
        rows = [Row(Service.around(Path(), answers_file).folder)]
    importing = import_copier_meanwhile()
    waiting = partial(report.waiting, f"{len(rows)} services")
    with ExitStack() as stack:
        with waiting():
            _read(rows, answers_file, stack, report)
        importing.join()  # before the process is copied
        found = drifts([row.recorded for row in rows if row.recorded], waiting)
    for row in rows:
        if row.recorded:
            row.drift = found[row.recorded.service]
            row.error = row.drift.error
    _print(rows, report)
    report.document({"services": [_as_json(row) for row in rows]})
    return 1 if check and not all(row.is_well for row in rows) else 0


def _read(rows: list[Row], answers_file: str | None, stack: ExitStack, report: Report) -> None:
    """Read the services; the row of one that cannot be read says why."""
    opened: dict[str, Template | NewServiceError] = {}
    at: dict[tuple[str, str], Template] = {}
    for row in rows:
        try:
            recover(row.path, report)
            service = _service(row.path, answers_file)
            answers = service.answers()
            url, recorded = service.address(answers), str(answers["_commit"])
            row.template = without_credentials(str(answers["_src_path"]))
            template = _opened(url, opened, stack)
            if (url, recorded) not in at:
                at[url, recorded] = template.at(recorded)
            mine = at[url, recorded]
            _compare_versions(row, service, template, mine)
            known = mine.questions.recorded(answers, service.answers_file)
            row.recorded = Recorded(service, mine, known)
        except ProgramMissing:
            raise  # which is no fault of a service
        except NewServiceError as error:
            row.error = error.message
        except OSError as failed:
            row.error = of_system(failed).message


def _service(folder: Path, answers_file: str | None) -> Service:
    if not has_answers(folder, answers_file):
        name = answers_file or ANSWERS_FILE
        raise BadInput(f"not a service: there is no {name}.", "name a service's folder.")
    return Service.around(folder, answers_file)


def _opened(url: str, opened: dict[str, Template | NewServiceError], stack: ExitStack) -> Template:
    if url not in opened:
        try:
            opened[url] = stack.enter_context(source.opened(url))
        except NewServiceError as error:
            opened[url] = error
    template = opened[url]
    if isinstance(template, NewServiceError):
        raise template
    return template


def _compare_versions(row: Row, service: Service, template: Template, mine: Template) -> None:
    row.version, row.pin = mine.version, service.pin
    pin = pin_of(service)
    row.off_pin = pin is not None and Version(mine.version) not in pin
    try:
        newest = newest_inside(template, pin)
    except TemplateUnavailable:
        row.newest, row.off_pin = None, True
    else:
        row.newest = max(newest, mine.version, key=Version)
    beyond = next(iter(releases(template.clone)), None)
    if pin is not None and beyond is not None and beyond not in pin:
        row.newest_outside = str(beyond)


def _as_json(row: Row) -> dict[str, object]:
    return {
        "path": row.path.as_posix(),
        "template": row.template or None,
        "version": row.version or None,
        "pin": row.pin,
        "newest": row.newest,
        "newest_outside": row.newest_outside,
        "outdated": row.outdated,
        "off_pin": row.off_pin,
        "modified": row.drift.modified,
        "deleted": row.drift.deleted,
        "leftovers": row.drift.leftovers,
        "error": row.error or None,
    }


def _print(rows: list[Row], report: Report) -> None:
    cells = [
        (row.path.name, row.version, f"{row.pin or '-'}{'!' if row.off_pin else ''}", _newest(row))
        for row in rows
    ]
    titles = ("service", "template", "pin", "newest")
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    for row, line in zip([None, *rows], [titles, *cells], strict=True):
        start = [f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)]
        if row is not None and row.error:
            said = f"{start[0]}  ! {row.error}"
            # In a pipe, a row is a line.
            is_seen = report.stream.isatty()
            report.say("\n".join(folded(said, rest="      ")) if is_seen else f"  {said}")
        else:
            report.say(f"  {'  '.join(start)}  {'drift' if row is None else _drift(row)}")
            for name, paths in ({} if row is None else _paths(row)).items():
                report.say(fitting(f"      {name}: ", paths))
    _count(rows, report)


def _newest(row: Row) -> str:
    inside = row.newest if row.outdated else "="
    return f"{inside or '-'} ({row.newest_outside})" if row.newest_outside else inside or "-"


def _drift(row: Row) -> str:
    return ", ".join(f"{len(paths)} {what}" for what, paths in _paths(row).items()) or "clean"


def _paths(row: Row) -> dict[str, list[str]]:
    """The paths that differ, by kind of difference."""
    paths = {
        "edited": row.drift.modified,
        "deleted": row.drift.deleted,
        "left over": row.drift.leftovers,
    }
    return {what: each for what, each in paths.items() if each}


def _count(rows: list[Row], report: Report) -> None:
    counts = {
        "outdated": sum(row.outdated and not row.error for row in rows),
        "off their pin": sum(row.off_pin and not row.error for row in rows),
        "cannot be read": sum(bool(row.error) for row in rows),
    }
    said = " · ".join(f"{count} {what}" for what, count in counts.items() if count)
    report.say(f"  {said or 'all are up to date'}")
