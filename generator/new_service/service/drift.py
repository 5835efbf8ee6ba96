"""Drift: the files of services that differ from what their recorded versions and answers render."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..system.errors import NewServiceError, of_system
from ..system.git import check_refusal, left_out
from ..system.places import place
from ..system.platforms import can_copy_processes
from ..template.export import Export
from ..template.questions import Answers
from ..template.rendering import render
from ..template.source import Template
from .checks import residues
from .folder import Service


@dataclass(frozen=True)
class Recorded:
    """A service, with what its answers file says."""

    service: Service
    template: Template
    answers: Answers

    @property
    def rendering(self) -> tuple[object, ...]:
        """The same for all services that the template gives the same files."""
        answers = sorted((name, repr(answer)) for name, answer in self.answers.items())
        return *_version(self.template), self.service.answers_file, tuple(answers)


@dataclass(frozen=True)
class Drift:
    """Paths from a service's folder, ordered; `error` says why they are not known."""

    modified: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    error: str = ""


Waiting = Callable[[], AbstractContextManager[object]]


def drifts(recorded: Sequence[Recorded], waiting: Waiting) -> dict[Service, Drift]:
    """What each service has made of the files that its template gave it.

    What is distinct is rendered once, in processes side by side: Copier's environment is one for
    all threads. Import Copier before, since the process may be copied; for the same reason no
    thread may run, so `waiting`, which may start one, is entered here.
    """
    alike: defaultdict[tuple[object, ...], list[Recorded]] = defaultdict(list)
    for each in recorded:
        alike[each.rendering].append(each)
    exports: dict[tuple[str, str], Export] = {}
    jobs: list[_Job] = []
    with place() as scratch:
        for number, (first, *others) in enumerate(alike.values()):
            template, version = first.template, _version(first.template)
            if version not in exports:
                exports[version] = Export(template, scratch / f"template-{len(exports)}")
            services = [each.service for each in (first, *others)]
            chosen = exports[version].chosen_by(first.answers)
            jobs.append((scratch / str(number), chosen, first.answers, services))
        return {
            service: each
            for found in _look_at_all(jobs, waiting)
            for service, each in found.items()
        }


_Job = tuple[Path, Template, Answers, list[Service]]
"""A folder to render into, what to render there, and the services to compare with that."""


def _version(template: Template) -> tuple[str, str]:
    return template.url, template.commit


def _look_at_all(jobs: list[_Job], waiting: Waiting) -> Iterator[dict[Service, Drift]]:
    here = 1 if can_copy_processes() else len(jobs)
    with waiting():
        found = [_look(job) for job in jobs[:here]]  # what the first compiles, the processes have
    yield from found
    rest = jobs[here:]
    if not rest:
        return
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(1)  # that of a spinner, which is about to end
    context = multiprocessing.get_context("fork")
    workers = min(len(rest), os.cpu_count() or 2)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker) as pool:
        looking = pool.map(_look, rest)  # copies the process, as often as there are workers
        with waiting():
            yield from looking


def _begin_worker() -> None:
    """Say nothing, as errors come back to the parent, and end with it also where it is killed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _look(job: _Job) -> dict[Service, Drift]:
    folder, template, answers, services = job
    # Processes that share Copier's cache would lock each other out of it.
    own = replace(template, cache=template.cache.with_name(f"cache-{os.getpid()}"))
    file = services[0].answers_file
    try:
        render(own, folder, answers, defaults={}, ask=False, answers_file=file)
    except NewServiceError as error:
        return dict.fromkeys(services, Drift(error=error.message))
    found = {service: _compare(folder, service) for service in services}
    shutil.rmtree(folder)
    return found


def _compare(rendered: Path, service: Service) -> Drift:
    """Line ends do not count: git may be set to change them (`core.autocrlf`)."""
    modified, deleted = [], []
    try:
        for path in sorted(each for each in rendered.rglob("*") if not each.is_dir()):
            name = path.relative_to(rendered).as_posix()
            if name == service.answers_file:
                continue
            if not os.path.lexists(service.folder / name):
                deleted.append(name)
            elif _content(path) != _content(service.folder / name):
                modified.append(name)
        # What a sparse working tree leaves out is in git still.
        kept = set(_left_out(service.folder)) if deleted else set()
        deleted = [each for each in deleted if each not in kept]
        left = {path.relative_to(service.folder).as_posix() for _, path in residues(service)}
        return Drift(modified, deleted, sorted(left))
    except NewServiceError as error:
        return Drift(error=error.message)
    except OSError as failed:
        return Drift(error=of_system(failed).message)


def _left_out(folder: Path) -> list[str]:
    try:
        return left_out(folder)
    except subprocess.CalledProcessError as failed:
        check_refusal(folder, failed)
        return []  # there is no repository


def _content(path: Path) -> bytes | str | None:
    if path.is_symlink():
        return str(path.readlink())
    return path.read_bytes().replace(b"\r\n", b"\n") if path.is_file() else None
