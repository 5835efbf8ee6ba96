from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from ...strict import Strict

# A pattern instead of EmailStr, which refuses domains that are fine in a company's own network. In
# small letters only afterwards: those of a Kelvin sign are a k, and so another address.
Email = Annotated[
    str,
    Field(max_length=254, pattern=r"^[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$"),
    AfterValidator(str.lower),
]
# An upper bound, since hashing takes longer for longer ones.
Password = Annotated[str, Field(max_length=128)]
NewPassword = Annotated[str, Field(min_length=12, max_length=128)]
# RFC 6749, section 3.3, without the comma, which separates them in settings.
Scope = Annotated[str, Field(max_length=100, pattern=r"^[\x21\x23-\x2B\x2D-\x5B\x5D-\x7E]+$")]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]


class Registration(Strict):
    email: Email
    password: NewPassword


class Registered(BaseModel):
    """The same answer whether or not there was an account: strangers learn nothing from it."""

    email: str


class Credentials(Strict):
    email: Email
    password: Password


class Refresh(Strict):
    refresh_token: str = Field(max_length=200)


class PasswordChange(Strict):
    current_password: Password
    new_password: NewPassword


class Tokens(BaseModel):
    """An access token for some minutes, and the refresh token that gets the next ones, once."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  no secret
    expires_in: int = Field(description="Seconds until the access token expires.")


class AccountRead(BaseModel, from_attributes=True):
    id: UUID
    email: str
    is_admin: bool
    scopes: list[str]
    created_at: datetime


class LoginRead(BaseModel, from_attributes=True):
    """A login of an account, such as one in another browser."""

    id: UUID
    user_agent: str
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    is_current: bool = False


class KeyWrite(Strict):
    """A new API key; its scopes are among those of the account."""

    name: Name
    scopes: list[Scope] = Field(default=[], max_length=100)
    expires_in_days: int = Field(default=90, ge=1, le=365)


class KeyRead(BaseModel, from_attributes=True):
    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


class KeyCreated(KeyRead):
    """The only answer that has the key itself."""

    key: str
