"""Settings come from environment variables; the core's begin with `APP_`."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class InvalidSettings(SystemExit):
    """Ends the start-up with words instead of a traceback."""


class EnvironmentSettings(BaseSettings):
    """Base of all settings: an empty variable is one that is not set."""

    model_config = SettingsConfigDict(env_ignore_empty=True)

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises InvalidSettings, which names each variable that is missing or wrong, never its value,
        and repeats the description of its field.
        """
        try:
            return cls()
        except ValidationError as invalid:
            errors = invalid.errors(include_input=False, include_url=False)
            raise InvalidSettings(
                "\n".join(cls._line(str(error["loc"][0]), error["msg"]) for error in errors)
            ) from None

    @classmethod
    def _line(cls, field: str, message: str) -> str:
        description = cls.model_fields[field].description
        line = f"{cls.model_config.get('env_prefix', '')}{field.upper()}: {message}"
        return f"{line}; {description}" if description else line


def split(value: object) -> object:
    """The parts of a text, separated by commas; anything else as it is."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(split)]


class Settings(EnvironmentSettings, env_prefix="APP_"):
    """What can be set without touching the code."""

    docs: bool = True
    cors_origins: CommaSeparated = []
    max_body_size: int = Field(default=65_536, gt=0)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "pretty"] = "auto"
