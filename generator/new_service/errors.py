"""What can go wrong, in words: every error says what happened and what to do."""


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
    """The template, or the asked version of it, cannot be had (exit 4)."""

    exit_code = 4


class ProgramMissing(NewServiceError):
    """A program that new-service runs is not installed (exit 5)."""

    exit_code = 5


def invalid_answer(message: str) -> BadInput:
    """A validator's two sentences are what went wrong and what to do."""
    text = message.split(": ", 1)[1] if message.startswith("Validation error") else message
    first, _, second = text.partition(". ")
    return BadInput(f"{first.rstrip('.')}.", second or "answer it with --data KEY=VALUE.")
