"""Rendering by Copier, whose errors become new-service's own."""

import os
import re
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Thread
from types import CodeType
from typing import cast

from ..system.errors import (
    BadInput,
    NewServiceError,
    TemplateUnavailable,
    invalid_answer,
    of_full_disk,
    of_system,
)
from .conditions import FROM_WITHIN, HINT
from .questions import Answers
from .source import Template

# What a template's expressions may raise, or Copier itself.
_FROM_WITHIN = (
    *(*FROM_WITHIN, AssertionError, re.error),
    *(IsADirectoryError, NotADirectoryError, FileExistsError),
)
# How Copier begins when it refuses an answer; other values that it refuses are the template's.
_OF_AN_ANSWER = ("Validation error for question ", "Invalid choice for ", "Invalid answer ")


@cache
def import_copier_meanwhile() -> Thread:
    """Begin to import Copier, which takes 0.3 s, while the caller waits for git.

    Join the thread before you import it: if two threads import modules that import each other,
    one may see an incomplete module.
    """
    importing = Thread(target=_import_copier, daemon=True)
    importing.start()
    return importing


def _import_copier() -> None:
    with suppress(ImportError):  # raised again where Copier is needed
        import_module("copier")


@cache
def compile_once() -> None:
    """Have Jinja compile a source once in this process, however often it is rendered.

    Copier has each part of each path compiled for each file, which is half of the time of a
    rendering. Jinja caches only templates that a loader loads, and for one environment.
    """
    from jinja2 import Environment

    compile_anew = Environment.compile
    known: dict[tuple[object, ...], CodeType] = {}

    def compile_(
        environment: Environment, source: str, name: str | None = None, filename: str | None = None
    ) -> CodeType:
        # Environments with the same delimiters share a lexer.
        key = (environment.lexer, environment.autoescape, source, name, filename)
        if key not in known:
            known[key] = compile_anew(environment, source, name, filename)
        return known[key]

    Environment.compile = compile_  # type: ignore[assignment,method-assign]  # nobody here sets its other flags


def render(
    template: Template,
    folder: Path,
    answers: Answers,
    *,
    defaults: Answers,
    ask: bool,
    answers_file: str | None = None,
) -> dict[str, object]:
    """Render `template` into `folder`; the questions not in `answers` are asked, or take defaults.

    Returns all answers, the computed ones included. `answers_file` is by default the template's.

    Raises:
        BadInput: an answer is invalid, or `folder` cannot be written.
        TemplateUnavailable: the template needs trust, a newer Copier, or cannot be rendered.
        KeyboardInterrupt: Ctrl-C at a prompt.
    """
    with _in_our_words(template, folder, template.variables):
        import copier  # takes 0.3 s, which --help does not need

        rendered = copier.run_copy(
            template.url,
            folder,
            dict(answers),
            answers_file=answers_file,
            vcs_ref=template.commit or None,
            settings=copier.Settings(),
            defaults=not ask,
            user_defaults=dict(defaults),
            quiet=True,
        )
    return cast("dict[str, object]", dict(rendered.answers.combined))


def update(
    template: Template,
    folder: Path,
    answers: Answers,
    *,
    answers_file: str,
    variables: Mapping[str, str],
    ask: bool,
) -> None:
    """Bring the service in `folder` to `template` and `answers`; edits stay, or become conflicts.

    Questions with neither a recorded answer nor one in `answers` are asked, or take defaults. Git
    runs with `variables` in addition to the template's.

    Raises:
        NewServiceError, KeyboardInterrupt: as for `render`; the service may be half updated.
    """
    with _in_our_words(template, folder, {**template.variables, **variables}):
        import copier
        from copier.errors import MissingFileWarning

        with warnings.catch_warnings():
            # Templates may ask whether there is an answers file, by `_external_data`.
            warnings.simplefilter("ignore", MissingFileWarning)
            copier.run_update(
                folder,
                dict(answers),
                answers_file=answers_file,
                vcs_ref=template.commit,
                settings=copier.Settings(),
                defaults=not ask,
                skip_answered=True,
                overwrite=True,
                quiet=True,
            )


@contextmanager
def _in_our_words(template: Template, folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Give Copier its environment, and turn its errors into ours; it writes into `folder`."""
    import_copier_meanwhile().join()
    compile_once()
    import copier.errors
    from jinja2 import TemplateError
    from plumbum import ProcessExecutionError

    try:
        with _environment(template.cache, variables):
            yield
    # Ctrl-C, and Ctrl-D: Copier asks only on a terminal.
    except (
        copier.errors.CopierAnswersInterrupt,
        copier.errors.InteractiveSessionError,
    ) as interrupt:
        raise KeyboardInterrupt from interrupt
    except copier.errors.UnsafeTemplateError as unsafe:
        raise TemplateUnavailable(
            "the template wants to run code of its own (tasks, migrations or extensions).",
            "new-service trusts no template; use one that only renders files.",
        ) from unsafe
    except copier.errors.ForbiddenPathError as outside:
        raise BadInput(
            f"the template would write through a symbolic link: {outside}",
            "put a folder in its place.",
        ) from outside
    except ProcessExecutionError as failed:
        raise of_full_disk(failed.stderr) or TemplateUnavailable(
            f"git cannot read the template: {failed.stderr}",
            "check git, the template, and the space for temporary files.",
        ) from failed
    except (copier.errors.CopierError, TemplateError, *_FROM_WITHIN) as failed:
        if (error := _told(failed, folder)) is None:
            raise
        raise error from failed


@contextmanager
def _environment(cache: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Set the variables of Copier's git; its temporary folders lie beside its cache.

    Its git runs in plumbum's copy of the environment; its cache folder comes from os.environ.
    """
    from plumbum import local

    before, elsewhere = os.environ.get("COPIER_CACHE_DIR"), tempfile.tempdir
    os.environ["COPIER_CACHE_DIR"], tempfile.tempdir = str(cache), str(cache.parent)
    try:
        with local.env(**variables):
            yield
    finally:
        tempfile.tempdir = elsewhere
        del os.environ["COPIER_CACHE_DIR"]
        if before is not None:
            os.environ["COPIER_CACHE_DIR"] = before


def _told(failed: Exception, folder: Path) -> NewServiceError | None:
    """Whose fault it is, and what: the template's, an answer's or a file's; None if nobody's."""
    from copier.errors import CopierError
    from jinja2 import TemplateError

    if clash := _clash(failed, folder):
        return clash
    said = str(failed) or type(failed).__name__
    if said.startswith(_OF_AN_ANSWER) or re.fullmatch(r'Question ".*" is required', said):
        return invalid_answer(said)
    of_template = CopierError | TemplateError | ValueError | RecursionError | re.error
    if isinstance(failed, of_template) or _is_jinja(failed):
        return TemplateUnavailable(f"the template cannot be rendered: {said}", HINT)
    return None


def _clash(failed: Exception, folder: Path) -> BadInput | None:
    """The error if there is a folder where the template has a file, or the reverse.

    In the former case, an assertion of Copier 9.19.1 fails.
    """
    cause = failed.__context__ if isinstance(failed, AssertionError) else failed
    if not isinstance(cause, IsADirectoryError | NotADirectoryError | FileExistsError):
        return None
    path = Path(cause.filename)
    there = next(each for each in (path, *path.parents) if os.path.lexists(each))
    if not there.is_relative_to(folder):
        return of_system(cause)
    ours, theirs = ("folder", "file") if there.is_dir() else ("file", "folder")
    return BadInput(
        f"{there.relative_to(folder)} is a {ours}, and the template has a {theirs} of that name.",
        "rename it, and run the command again.",
    )


def _is_jinja(failed: Exception) -> bool:
    """Whether it was raised while Jinja ran a template."""
    frames = traceback.walk_tb(failed.__traceback__)
    return any(frame.f_globals.get("__name__") == "jinja2.environment" for frame, _ in frames)
