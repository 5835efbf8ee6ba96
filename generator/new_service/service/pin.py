"""Which versions of its template a service accepts, and which of them `update` moves to."""

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from ..system.errors import BadInput, TemplateUnavailable
from ..template.questions import Answers
from ..template.source import Template, newest_few, newest_within
from .folder import Service

_PIN = "template_version_pin"
"""The answer that the template renders the pin from."""


def pin_of(service: Service) -> SpecifierSet | None:
    """The range that a service accepts; None if it has no pin.

    Raises:
        BadInput: its pin is not a range of versions.
    """
    pin = service.pin
    if pin is None:
        return None
    try:
        return SpecifierSet(pin)
    except InvalidSpecifier as bad:
        raise BadInput(
            f"the pin {pin!r} in pyproject.toml is not a range of versions.",
            "write [tool.new-service] template-version like '~=1.4' or '>=1.2,<2'.",
        ) from bad


def pin_as_answer(service: Service, target: Template) -> Answers:
    """The owner's pin, for the files of `target` that repeat it."""
    return {_PIN: service.pin or ""} if _PIN in target.questions.asked else {}


def newest_inside(template: Template, pin: SpecifierSet | None) -> str:
    """The newest version that a pin accepts; without a pin, the one of `template`.

    Raises:
        TemplateUnavailable: the pin accepts no existing version.
    """
    if pin is None:
        return template.version
    found = newest_within(template.clone, pin)
    if found is None:
        raise TemplateUnavailable(
            f"no version of the template matches the pin '{pin}'.",
            "correct template-version in pyproject.toml; available versions: "
            f"{newest_few(template.clone)}.",
        )
    return str(found)


def target_of(template: Template, recorded: Template, service: Service, to: str | None) -> Template:
    """The version to move a service to; `recorded`, its own, if none is newer.

    Raises:
        BadInput: `to` lies outside the pin, or is older than what the service has.
        TemplateUnavailable: there is no such version.
    """
    pin = pin_of(service)
    if to:
        target = template.chosen(to)
    else:
        target = template.at(f"v{newest_inside(template, pin)}") if pin else template
    if to and pin and Version(target.version) not in pin:
        raise BadInput(
            f"{target.version} is outside the pin '{pin}'.",
            "move the pin: set template-version = "
            f'"~={target.version.rpartition(".")[0]}" under [tool.new-service] in pyproject.toml, '
            "commit that, and update again.",
        )
    if Version(target.version) < Version(recorded.version):
        if to:
            raise BadInput(
                f"the service has {recorded.version} already; {target.version} is older.",
                "to undo an update, git revert its commit.",
            )
        return recorded
    return target
