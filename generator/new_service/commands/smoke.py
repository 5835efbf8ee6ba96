"""Try the combinations of answers, several at once, or list them for the jobs of a pipeline."""

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..combining.combinations import combine, cost, name, pairs, shard_of
from ..combining.trial import Trial
from ..service.junit import write_junit
from ..service.running import allowed_seconds
from ..system.errors import BadInput
from ..system.places import place
from ..system.programs import end_all, find_uv
from ..system.screen import Report, Step
from ..template import source, team
from ..template.addresses import resolved
from ..template.questions import Questions
from ..template.wishes import Wishes

_SHOWN_LINES = 20
_ROOM = 16 << 20
"""Bytes; with less, nothing can be installed."""

Rows = list[dict[str, object]]


@dataclass(frozen=True, kw_only=True)
class ToTry(Wishes):
    """The options of `smoke`."""

    strength: str = "2"
    shard: str | None = None
    listed: bool = False
    format: str = "text"
    jobs: int = 1
    newest: bool = False
    keep: Path | None = None
    junit: Path | None = None
    allow_skips: bool = False


def smoke(wishes: ToTry, report: Report) -> int:
    """Try the combinations, or list them; 0 if all is well, 1 if one failed or was not tried.

    This machine may lack what one needs, such as a Python; `allow_skips` accepts that.

    Raises:
        NewServiceError: an option has an invalid value, or the template has no choices.
        KeyboardInterrupt: Ctrl-C; nothing is left except in the folder of --keep.
    """
    if wishes.format not in _FORMATS:
        raise BadInput(f"unknown format {wishes.format!r}.", f"possible: {', '.join(_FORMATS)}.")
    if wishes.jobs < 1:
        raise BadInput(f"{wishes.jobs} jobs would try nothing.", "the least is --jobs 1.")
    ours = team.read()
    url = team.template_url(None, ours)
    with source.opened(url, ours.template_version) as template:
        if url:  # for the commands of each trial: services do not record a password
            os.environ["NEW_SERVICE_TEMPLATE"] = url if template.had_credentials else template.url
        return _smoke(wishes, template.questions, report)


def _smoke(wishes: ToTry, questions: Questions, report: Report) -> int:
    given = wishes.given(questions)
    everything = combine(questions, wishes.strength, given)
    chosen = shard_of(everything, wishes.shard)
    if wishes.listed:
        format_ = "json" if report.as_json else wishes.format
        print(_FORMATS[format_]([{"id": name(each), "answers": each} for each in chosen]))
        return 0
    find_uv()
    allowed_seconds()
    with _folder(wishes.keep) as folder:
        trials = [
            Trial(questions, each, number, folder / f"smoke-{number:02}", wishes.newest, given)
            for number, each in enumerate(everything, 1)
            if each in chosen
        ]
        _check_free(trials)
        _run(trials, wishes.jobs, folder, report)
    if wishes.junit is not None:
        write_junit(wishes.junit, {each.id: each.results for each in trials})
    total = len(pairs(questions, combine(questions, "all", given)))
    _conclude(trials, questions, total, report)
    skipped = [each for each in trials if each.obstacle]
    if skipped and not wishes.allow_skips:
        report.say(f"  {len(skipped)} could not be tried; --allow-skips accepts that.")
        return 1
    return 1 if any(each.failed for each in trials) else 0


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """The folder of the services: a scratch folder, or the one of --keep."""
    kept = None if keep is None else resolved(keep)
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
    with place() as made:
        os.environ["TMPDIR"] = str(made)  # killed programs leave their temporary files there
        yield kept or made


def _check_free(trials: list[Trial]) -> None:
    for each in trials:
        if each.folder.exists():
            raise BadInput(f"{each.folder} exists already.", "name an empty folder with --keep.")


def _run(trials: list[Trial], jobs: int, folder: Path, report: Report) -> None:
    """Run trials, `jobs` at a time and the longest first, and report each when it has ended.

    Raises:
        BadInput: the disk is full.
    """
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        dearest_first = sorted(trials, key=lambda each: -cost(each.answers))
        running = {pool.submit(each.run): each for each in dearest_first}
        try:
            ended = as_completed(running)
            for _ in trials:
                with report.waiting(f"{len(trials)} combinations, {jobs} at a time"):
                    done = next(ended)
                trial = running[done]
                done.result()
                if trial.failed or trial.obstacle:
                    _check_room(folder)
                _tell(trial, report)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise


def _check_room(folder: Path) -> None:
    """Check whether a full disk made a trial fail: then all others will fail, too."""
    if shutil.disk_usage(folder).free < _ROOM:
        raise BadInput(
            f"no space is left in {folder.parent}.",
            "name a folder for temporary files with TMPDIR, or one for the services with --keep.",
        )


def _tell(trial: Trial, report: Report) -> None:
    mark = "✗" if trial.failed else "·" if trial.obstacle else "✓"
    detail = trial.obstacle or f"{trial.folder.name}, {len(trial.results)} steps"
    report.line(Step(trial.id, detail, mark, trial.seconds))
    for result in trial.failed:
        report.say(f"      {result.name}")
        for line in result.detail.splitlines()[-_SHOWN_LINES:]:
            report.say(f"        {line}")


def _conclude(trials: list[Trial], questions: Questions, total: int, report: Report) -> None:
    executed = [each.answers for each in trials if not each.obstacle]
    covered = len(pairs(questions, executed))
    failed = [each for each in trials if each.failed]
    report.say(f"  {covered} of {total} pairs of options were executed.")
    report.say(
        f"  {len(failed)} of {len(trials)} failed." if failed else f"  all {len(executed)} passed."
    )
    for each in failed:
        report.say(f"  repeat: {_again(each)}")
    report.document(
        {
            "combinations": [
                {
                    "id": each.id,
                    "answers": each.answers,
                    "ok": not each.failed,
                    "seconds": each.seconds,
                    "failed": [result.name for result in each.failed],
                    "skipped": each.obstacle,
                }
                for each in trials
            ],
            "pairs_total": total,
            "pairs_covered": covered,
        }
    )


def _again(trial: Trial) -> str:
    """The commands that repeat a trial."""
    create = f"new-service create {shlex.join(trial.options())}"
    return f"{create} && new-service validate {trial.folder.name}"


def _as_text(rows: Rows) -> str:
    lines = [f"{row['id']:<32} {json.dumps(row['answers'])}" for row in rows]
    return "\n".join(lines)


def _as_json(rows: Rows) -> str:
    return json.dumps(rows)


def _as_github(rows: Rows) -> str:
    """A matrix for a GitHub workflow's `fromJSON`."""
    include = [{"id": row["id"], "answers": json.dumps(row["answers"])} for row in rows]
    return json.dumps({"include": include})


def _as_gitlab(rows: Rows) -> str:
    """A `parallel: matrix` for a GitLab child pipeline; JSON is YAML."""
    matrix = [{"ID": row["id"], "ANSWERS": json.dumps(row["answers"])} for row in rows]
    return json.dumps({"parallel": {"matrix": matrix}}, indent=2)


_FORMATS = {"text": _as_text, "json": _as_json, "github": _as_github, "gitlab": _as_gitlab}
