"""The base of what clients send."""

from pydantic import BaseModel, model_validator
from pydantic_core import PydanticCustomError

MOST_KEYS = 100


class Strict(BaseModel, extra="forbid"):
    """A body or a query whose keys are all known; a misspelt one is told."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_many(cls, given: object) -> object:
        # Each unknown key would cost an error, and thousands of them the time of everybody else.
        if isinstance(given, dict) and len(given) > MOST_KEYS:
            raise PydanticCustomError("too_many_keys", "It has too many keys.")
        return given
