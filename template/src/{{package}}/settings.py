"""Settings come from environment variables; the core's begin with `APP_`."""

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

MISSING = "it must be set in production"
ORIGIN = re.compile(
    r"(?!http:.*:80$|https:.*:443$)[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?"
)


class InvalidSettings(SystemExit):
    """Ends the start-up with words instead of a traceback."""


class EnvironmentSettings(BaseSettings):
    """Base of all settings: an empty variable is one that is not set.

    `NAME_FILE` may name a file that has the value of `NAME`.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True)
    # Fields whose defaults are for development alone.
    needed_in_production: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises InvalidSettings, which names each variable that is missing or wrong, never its value,
        and repeats the description of its field.
        """
        try:
            settings = cls()
        except ValidationError as invalid:
            errors = invalid.errors(include_input=False, include_url=False)
            raise InvalidSettings(
                "\n".join(cls._line(str(error["loc"][0]), error["msg"]) for error in errors)
            ) from None
        unset = [each for each in cls.needed_in_production if each not in settings.model_fields_set]
        if unset and Settings.load().environment == "production":
            raise InvalidSettings("\n".join(cls._line(each, MISSING) for each in unset))
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read files as if their contents were in the variables."""
        files = EnvSettingsSource(settings_cls)
        variables = [cls._variable(field) for field in cls.model_fields]
        files.env_vars = {each.lower(): _contents(each) for each in variables}
        return init_settings, env_settings, files

    @classmethod
    def _variable(cls, field: str) -> str:
        return f"{cls.model_config.get('env_prefix', '')}{field.upper()}"

    @classmethod
    def _line(cls, field: str, message: str) -> str:
        description = cls.model_fields[field].description
        line = f"{cls._variable(field)}: {message}"
        return f"{line}; {description}" if description else line


def _contents(variable: str) -> str | None:
    """What is in the file of a variable, without the line's end; None if that is nothing."""
    path = os.environ.get(f"{variable}_FILE")
    if not path:
        return None
    if os.environ.get(variable):
        raise InvalidSettings(f"{variable}_FILE: {variable} is set too; set one of them")
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n") or None
    except OSError as error:  # the path is not repeated: it may be the secret, by mistake
        raise InvalidSettings(f"{variable}_FILE: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidSettings(f"{variable}_FILE: the file is not text in UTF-8") from None


def split(value: object) -> object:
    """The parts of a text, separated by commas; anything else as it is."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(split)]


def _check_origin(text: str) -> str:
    # As browsers send it (RFC 6454): anything else would never be equal to it.
    if text != "*" and not ORIGIN.fullmatch(text):
        raise ValueError(
            "an origin is a scheme, a host and a port unless it is the default one, in lower case, "
            "as in https://shop.example: no path, no slash at the end"
        )
    return text


def _check_network(text: str) -> str:
    if text != "*":
        try:
            ip_network(text)
        except ValueError:
            raise ValueError("give addresses or networks, as in 10.0.0.0/8, or *") from None
    return text


Origin = Annotated[str, AfterValidator(_check_origin)]
Network = Annotated[str, AfterValidator(_check_network)]


class Settings(EnvironmentSettings, env_prefix="APP_"):
    """What can be set without touching the code."""

    environment: Literal["development", "production"] = "development"
    docs: bool = True
    cors_origins: Annotated[list[Origin], NoDecode, BeforeValidator(split)] = []
    root_path: str = Field(default="", pattern=r"^(/[\w.~-]+)*$", description="such as /shop")
    trusted_proxies: Annotated[list[Network], NoDecode, BeforeValidator(split)] = []
    max_body_size: int = Field(default=65_536, gt=0)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "pretty"] = "auto"
