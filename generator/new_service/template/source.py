"""Where the template comes from, and which of its versions is meant."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from ..system.errors import BadInput, TemplateUnavailable, of_full_disk
from ..system.git import RELEASE, describe, git, isolated, names
from ..system.places import place
from . import configuration
from .addresses import ADVICE, Address, without_credentials
from .checkout import Checkout, whole
from .questions import ORIGIN, Questions

_CLONE_SECONDS = 120


@dataclass(frozen=True)
class Template:
    """One version of a template, in a clone that lives as long as `opened` lasts."""

    url: str
    """What Copier takes it by, and what the answers file of a new service records."""
    clone: Path
    """A bare clone with every version."""
    commit: str
    version: str
    """`1.2.0`, or between releases what `git.describe` says."""
    questions: Questions = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    """Environment for Copier, in which git finds `url` in `clone`."""
    cache: Path
    """Where Copier keeps what it fetches; in the user's cache an older clone would prune tags."""
    had_credentials: bool = False
    """Whether it was opened by an address with a user or a password, which nothing records."""

    def at(self, version: str) -> "Template":
        """Another version of the template: a tag, or what an answers file records.

        Raises:
            TemplateUnavailable: there is none of that name, or it cannot be read.
        """
        try:
            return self._in(version)
        except subprocess.CalledProcessError as unknown:
            raise TemplateUnavailable(
                f"the template {self.url} has no version {version}.",
                "upgrade new-service, which carries the versions of its own template, or ask who "
                "hosts this one.",
            ) from unknown

    def chosen(self, wanted: str) -> "Template":
        """The newest version of the template that `wanted` means, a tag, a version or a range.

        Raises:
            TemplateUnavailable: there is none.
            BadInput: `wanted` is not a range of versions.
        """
        return self._in(_choose(self.clone, wanted, self.url))

    def exported(self) -> "Template | None":
        """This version as a plain folder, which Copier renders twice as fast without any git.

        None where some text asks for what a folder has not.
        """
        if self.asks_origin:
            return None
        folder = whole(self.clone, self.commit)
        return replace(
            self, url=str(folder), commit="", variables={**self.variables, "PATH": os.devnull}
        )

    @cached_property
    def asks_origin(self) -> bool:
        """Whether a text beside the answers file depends on the template's address or version."""
        folder = self.questions.folder
        if self.questions.asks_origin or "{" in folder:
            return True
        try:
            found = git(
                self.clone,
                # Not --perl-regexp, which some gits are built without.
                *("grep", "-z", "--name-only", "--extended-regexp", "--word-regexp"),
                *(ORIGIN, self.commit, "--", folder or "."),
            )
        except subprocess.CalledProcessError as failed:
            if failed.returncode != 1:  # 1 is: in no file
                raise
            return False
        return any("answers_file" not in name for name in names(found))

    def _in(self, revision: str) -> "Template":
        commit = _commit(self.clone, revision)
        if commit == self.commit:
            return self
        is_release = RELEASE.fullmatch(revision)
        return replace(
            self,
            commit=commit,
            version=revision.removeprefix("v") if is_release else describe(self.clone, commit),
            questions=_questions(self.clone, commit, self.url),
        )


def canonical_url() -> str:
    """The address of the template that new-service carries, from the package's own metadata."""
    from importlib.metadata import metadata  # most templates are found without it

    entries: list[str] = metadata("new-service").get_all("Project-URL", [])
    urls = dict(entry.split(", ", 1) for entry in entries)
    return urls["Template"]


@contextmanager
def opened(url: str | None = None, version: str | None = None) -> Iterator[Template]:
    """The template at `url` (default: the embedded one) in `version` (default: the newest).

    `version` is a tag, a version, or a range such as `~=1.4`.

    Raises:
        TemplateUnavailable: it does not answer, is not a template, or has no such version.
        BadInput: `version` is neither a version nor a range.
        ProgramMissing: git is not installed, or too old.
    """
    address = _with_credentials(Address.of(url or canonical_url()))
    is_ours = address.url == canonical_url()
    location = str(_embedded()) if is_ours else address.for_git
    # What its user forbids git, such as reading files, does not apply to what we carry.
    variables = isolated({}) if is_ours else address.variables
    with place() as folder:
        clone = Path(folder, "template.git")
        _clone(location, clone, address.url, variables)
        # Of a checkout, its own state is meant, released or not.
        is_checkout = (is_ours or address.is_path) and Path(location).is_dir()
        wanted = "HEAD" if version is None and is_checkout else _choose(clone, version, address.url)
        commit = _resolve(clone, wanted, address.url)
        yield Template(
            url=address.url,
            clone=clone,
            commit=commit,
            version=describe(clone, commit),
            questions=_questions(clone, commit, address.url),
            variables=_redirect(address, clone),
            cache=Path(folder, "cache"),
            had_credentials=address.user is not None,
        )


@cache
def releases(clone: Path) -> list[Version]:
    """The released versions in a clone, the newest first."""
    tags = git(clone, "tag", "--list", "v*").split()
    return sorted((Version(tag) for tag in tags if RELEASE.fullmatch(tag)), reverse=True)


def newest_within(clone: Path, within: SpecifierSet) -> Version | None:
    """The newest release in a clone that a range has."""
    return next((version for version in releases(clone) if version in within), None)


def newest_few(clone: Path) -> str:
    """The newest releases in a clone, for a hint."""
    return ", ".join(map(str, releases(clone)[:5])) or "none is released yet"


def _with_credentials(address: Address) -> Address:
    """Those that NEW_SERVICE_TEMPLATE has for the same template: services do not record them."""
    given = os.environ.get("NEW_SERVICE_TEMPLATE")
    ours = Address.of(given) if given else address
    is_known = ours.is_same(address) and ours.user is not None
    return replace(ours, url=address.url) if is_known else address


def _embedded() -> Path:
    """The checkout that this package runs from, or the bundle that its wheel carries."""
    checkout = Path(__file__).parents[3]
    if (checkout / "copier.yml").is_file() and (checkout / ".git").exists():
        return checkout
    return Path(__file__).parents[1] / "template.bundle"


def _clone(location: str, clone: Path, shown: str, variables: Mapping[str, str]) -> None:
    try:
        git(
            clone.parent,
            *("-c", "core.fsync=none", "clone", "--quiet", "--mirror"),
            *("--shared", "--", location, str(clone)),  # of a checkout, no object is copied
            timeout=_CLONE_SECONDS,
            variables=variables,
        )
    except subprocess.TimeoutExpired as late:
        raise TemplateUnavailable(
            f"the template {shown} did not answer within {_CLONE_SECONDS} s.",
            "check the address and the network.",
        ) from late
    except subprocess.CalledProcessError as failed:
        said = re.search(r"fatal: (.*)", str(failed.stderr))
        reason = without_credentials(said[1] if said else str(failed.stderr))
        raise of_full_disk(reason) or TemplateUnavailable(
            f"the template {shown} is unavailable: {reason}",
            "--template takes the address of a git repository; check it and your access to it. "
            f"If it asks for a user and a password, {ADVICE}.",
        ) from failed


def _choose(clone: Path, wanted: str | None, address: str) -> str:
    """The tag that `wanted` names; with no wish the newest release, else HEAD."""
    known = releases(clone)
    if wanted is None:
        return f"v{known[0]}" if known else "HEAD"
    if re.match(r"[~<>=!]", wanted):
        try:
            within = SpecifierSet(wanted)
        except InvalidSpecifier as bad:
            raise BadInput(
                f"{wanted!r} is not a range of versions.", "write it like '~=1.4' or '>=1.2,<2'."
            ) from bad
        newest = newest_within(clone, within)
        found = f"v{newest}" if newest else None
    else:
        tags = git(clone, "tag", "--list").split()
        found = next((tag for tag in (wanted, f"v{wanted}") if tag in tags), None)
    if found is None:
        raise TemplateUnavailable(
            f"the template {address} has no version {wanted}.",
            f"versions that it has: {newest_few(clone)}.",
        )
    return found


def _resolve(clone: Path, commit: str, address: str) -> str:
    try:
        return _commit(clone, commit)
    except subprocess.CalledProcessError as failed:
        raise TemplateUnavailable(
            f"the template {address} has no commit yet.", "commit it first."
        ) from failed


def _commit(clone: Path, revision: str) -> str:
    """The id of a commit: of a tag, or of what `git describe` said (`TAG-N-gHASH`, or a hash)."""
    return git(
        clone,
        *("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"),
    )


def _questions(clone: Path, commit: str, shown: str) -> Questions:
    files = Checkout(clone, commit)
    files.fetch("copier.yml")
    if not (file := files.folder / "copier.yml").is_file():
        raise TemplateUnavailable(
            f"{shown} is not a template: it has no copier.yml.",
            "--template takes the address of a Copier template in a git repository.",
        )
    try:
        config = configuration.read(file.read_text("utf-8"), files.folder, files.fetch)
        return Questions.from_config(config, files.folder, files.fetch)
    except (yaml.YAMLError, ValueError, RecursionError) as bad:
        raise TemplateUnavailable(
            f"{shown} is not a template that new-service can read: {str(bad).splitlines()[0]}",
            "correct its copier.yml.",
        ) from bad


def _redirect(address: Address, clone: Path) -> dict[str, str]:
    """Have git read `clone` where `address` is asked for; a local path is read where it is."""
    return isolated(
        {} if address.is_path else {f"url.{clone.as_posix()}.insteadOf": address.for_git}
    )
