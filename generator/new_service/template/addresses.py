"""The address of a template: as Copier records it, as git reads it, and without secrets."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from ..system.errors import BadInput
from ..system.git import appended

# As Copier knows them.
_SHORT = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/"}
_HOSTS = tuple(_SHORT.values())
_URLS = ("git@", "git://", "git+", *_SHORT, *_HOSTS)
_USER = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^/?#\s:@]*)(?P<rest>[^/?#\s]*)@", re.IGNORECASE
)
# Git runs it in a shell and adds a word; the values stay out of every list of processes.
_HELPER = (
    r"!printf 'username=%s\npassword=%s\n' "
    '"$NEW_SERVICE_TEMPLATE_USER" "$NEW_SERVICE_TEMPLATE_PASSWORD" #'
)
ADVICE = "give them to one of git's credential helpers, or to url.<base>.insteadOf"


@dataclass(frozen=True)
class Address:
    """The address of a template."""

    url: str
    """As Copier takes it and a service records it; a path is absolute."""
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, given: str) -> Self:
        """Read an address from a user, a team file or an answers file.

        Raises:
            BadInput: it is not an address, or a path from a current folder that is gone.
        """
        if _is_path(given):
            return cls(resolved(Path(given)).as_posix())
        url = without_credentials(given)
        if not url.startswith(_URLS) and not url.endswith(".git"):
            url = f"git+{url}"
        return cls(url, *_credentials(given))

    @property
    def is_path(self) -> bool:
        """Whether it is a path on this disk."""
        return _is_path(self.url)

    @property
    def for_git(self) -> str:
        """The address that Copier passes to git."""
        url = self.url
        for short, host in _SHORT.items():
            if url.startswith(short):
                url = host + url.removeprefix(short).removeprefix("/")
        if url.startswith(_HOSTS) and not url.endswith(".git"):
            url += ".git"
        return url.removeprefix("git+")

    @property
    def variables(self) -> dict[str, str]:
        """The variables that give git the user and the password."""
        if self.user is None:
            return {}
        parts = urlsplit(self.for_git)
        key = f"credential.{parts.scheme}://{parts.netloc}"
        if self.password is None:
            return appended((f"{key}.username", self.user))
        # Without the user's own helpers, which would store it.
        return {
            "NEW_SERVICE_TEMPLATE_USER": self.user,
            "NEW_SERVICE_TEMPLATE_PASSWORD": self.password,
            **appended(("credential.helper", ""), (f"{key}.helper", _HELPER)),
        }

    def is_same(self, other: "Address") -> bool:
        """Whether both are addresses of the same template, however they are written."""
        return self.for_git.removesuffix(".git") == other.for_git.removesuffix(".git")


def resolved(folder: Path) -> Path:
    """`folder` as an absolute path, `~` expanded if there is such a user.

    Raises:
        BadInput: it is relative to a current folder that is gone.
    """
    try:
        # Those of Path raise where there is no such user, or a link leads back to itself.
        return Path(os.path.realpath(os.path.expanduser(folder)))  # noqa: PTH111
    except FileNotFoundError as gone:
        raise BadInput("the current folder no longer exists.", "go to one that exists.") from gone


def recorded_address(recorded: str, folder: Path) -> str:
    """The address that the service in `folder` records; a relative path is made absolute.

    Copier reads such a path from the folder where it runs. That was the service's folder, or one
    above it (`copier copy ../template shop`): the nearest from which it leads to a template counts.
    """
    if not _is_path(recorded) or recorded.startswith("~") or Path(recorded).is_absolute():
        return recorded
    bases = (folder, *folder.parents, Path(os.path.curdir))
    found = (base / recorded for base in bases if _is_template(base / recorded))
    return next(found, folder / recorded).as_posix()


def without_credentials(text: str) -> str:
    """`text` without the user and password of every URL in it; a user of SSH stays."""
    return _USER.sub(_without_user, text)


def _without_user(url: re.Match[str]) -> str:
    is_public = url["user"] and url["scheme"].lower().endswith("ssh://")
    return f"{url['scheme']}{url['user']}@" if is_public else url["scheme"]


def _credentials(given: str) -> tuple[str | None, str | None]:
    """The user and password in a URL of HTTP or FTP."""
    try:
        parts = urlsplit(given.removeprefix("git+"))
        _ = parts.port
    except ValueError:
        raise BadInput(
            "the template's address is not a URL.",
            "write / as %2F, ? as %3F, # as %23 and @ as %40 in its user and password.",
        ) from None  # its message contains a part of the password
    if parts.scheme not in {"http", "https", "ftp", "ftps"} or "@" not in parts.netloc:
        return None, None
    user, colon, password = parts.netloc.rpartition("@")[0].partition(":")
    return unquote(user), unquote(password) if colon else None


def _is_path(address: str) -> bool:
    if "://" in address or address.startswith(tuple(_SHORT)):
        return False
    # As git has it: `host:path` is a path on another machine, `C:/path` on a drive of Windows.
    path = Path(address)
    return bool(path.drive) or not re.match(r"[^/]+:", address) or path.exists()


def _is_template(path: Path) -> bool:
    """Whether it may be a template: a bundle, a checkout or a bare repository."""
    return path.is_file() or any((path / name).is_file() for name in ("copier.yml", "HEAD"))
