"""The errors that users see: each says what went wrong and what to do."""

import errno
import os
import subprocess
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_MAKE_ROOM = "make room, or name another folder for temporary files with TMPDIR"


class NewServiceError(Exception):
    """Base of the errors that a user sees, as `error: MESSAGE` and `hint: HINT`."""

    exit_code = 2

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(NewServiceError):
    """The command cannot be carried out as it was given (exit 2)."""


class TemplateUnavailable(NewServiceError):
    """The template, or the wanted version of it, is unavailable (exit 4)."""

    exit_code = 4


class ProgramMissing(NewServiceError):
    """A program that new-service runs is not installed (exit 5)."""

    exit_code = 5


def invalid_answer(message: str) -> BadInput:
    """The error of a validator, whose two sentences say what went wrong and what to do."""
    text = message.split(": ", 1)[1] if message.startswith("Validation error") else message
    first, _, second = text.partition(". ")
    return BadInput(f"{first.rstrip('.')}.", second or "answer it with --data KEY=VALUE.")


def not_answered(obstacle: str, questions: list[str], hint: str) -> BadInput:
    """The error if these questions have no answer and cannot be asked."""
    return BadInput(f"{obstacle}; not answered: {', '.join(questions)}.", hint)


def of_system(failed: OSError) -> BadInput:
    """An error of the operating system, with the paths that it names."""
    given = (failed.filename, failed.filename2)
    paths = [os.fsdecode(each) for each in given if isinstance(each, str | bytes | os.PathLike)]
    reason = failed.strerror or str(failed) or type(failed).__name__
    hint = "fix that"
    if failed.errno in _FULL:
        hint = "make room there" if paths else _MAKE_ROOM
    elif failed.errno in _FORBIDDEN:
        hint = "check its permissions"
    return BadInput(
        ": ".join([" -> ".join(paths), reason] if paths else [reason]) + ".",
        f"{hint}, and run the command again.",
    )


def of_full_disk(said: str) -> BadInput | None:
    """The error if git failed because the disk is full; git's messages are English here."""
    if not any(os.strerror(each) in said for each in _FULL) and "Out of diskspace" not in said:
        return None
    return BadInput(f"git says: {said}", f"{_MAKE_ROOM}, and run the command again.")


def of_program(failed: subprocess.CalledProcessError) -> BadInput:
    """An error of a program that should have succeeded, with its message."""
    name = Path(failed.cmd[0]).name
    said = failed.stderr or f"exit code {failed.returncode}"
    said = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return BadInput(f"{name} failed: {said}", "fix that, and run the command again.")
