"""Any description comes out right in every file that it reaches; any name is judged rightly."""

import keyword
import re
import shutil
import string
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from conftest import ROOT, questions_of, repository
from new_service.system.errors import BadInput
from new_service.template import source
from new_service.template.rendering import render

text = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs", "Cc"]),
        st.sampled_from("\n\t\"'\\{}%#*_`[]<>&|~-+=:!$ "),
    ),
    min_size=1,
    max_size=60,
).filter(str.strip)


def rendered(template: source.Template, name: str, description: str) -> dict[str, bytes]:
    """The files of a service."""
    with TemporaryDirectory() as folder:
        target = Path(folder, "service")
        answers = {"service_name": name, "description": description}
        render(template, target, dict(answers), defaults={}, ask=False)
        return {
            path.relative_to(target).as_posix(): path.read_bytes()
            for path in target.rglob("*")
            if path.is_file()
        }


@pytest.fixture(scope="module")
def whole(template: Path) -> Iterator[source.Template]:
    with source.opened(str(template)) as opened:
        yield opened


@pytest.fixture(scope="module")
def plain(whole: source.Template) -> dict[str, bytes]:
    """The service that the others are compared with."""
    return rendered(whole, "orders-api", "plain")


@settings(max_examples=25, deadline=None)
@given(description=text)
@example(
    description='1) "quotes" \\ back {{ service_name }} {% if x %} 😀\n# [x](y) *b* _a_ <b> &amp; |'
)
@example(description="- a list: yes\n```\n--- !!python/object")
@example(description="= heading\n===")
@example(description='\'single\' and """three""" ~~gone~~ ${HOME} `code`')
@example(description="> quoted & R&D #1 +1")
@example(description="{# comment #}")
@example(description="a\r\nb\x85c\u2028d\u00a0e")
@example(description="[x]: http://x.example 'title'")
@example(description="![i](u) <http://x.example> https://x.example a@b.example")
@example(description="---\n***")
@example(description="null")
@example(description="@x: %y ? z")
def test_description_comes_out_right(
    description: str, whole: source.Template, plain: dict[str, bytes]
) -> None:
    files = rendered(whole, "orders-api", description)
    folded = " ".join(description.split())

    project = tomllib.loads(files["pyproject.toml"].decode())
    assert project["project"]["description"] == folded
    answers = yaml.safe_load(files[".copier-answers.yml"])
    assert answers["description"] == description
    assert shown(files["README.md"].decode()) == folded
    changed = {name for name in files | plain if files.get(name) != plain.get(name)}
    assert changed <= {"pyproject.toml", ".copier-answers.yml", "README.md"}


def shown(readme: str) -> str:
    """The text of the first paragraph, as a reader of the rendered Markdown sees it."""
    tokens = MarkdownIt().enable("strikethrough").parse(readme)
    start = next(at for at, token in enumerate(tokens) if token.type == "paragraph_open")
    assert tokens[start - 1].type == "heading_close"
    children = tokens[start + 1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}, children
    return "".join(child.content for child in children)


@pytest.fixture(scope="module")
def names_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[source.Template]:
    """Our questions over a template of one file, which renders fast."""
    folder = tmp_path_factory.mktemp("names") / "t"
    (folder / "template").mkdir(parents=True)
    shutil.copy(ROOT / "copier.yml", folder)
    shutil.copytree(ROOT / "template" / "parts", folder / "template" / "parts")
    (folder / "template" / "package.txt.jinja").write_text("{{ package }}")
    with source.opened(str(repository(folder, tag="v1.0.0"))) as opened:
        yield opened


FORM = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
WINDOWS = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)),
}
PYTHON = {*sys.stdlib_module_names, *keyword.kwlist, "test", "tests"}
OFTEN = sorted(
    {"fastapi", "celery", "redis", "pydantic-core", "email-validator", "orders-api"}
    | WINDOWS
    | {name.replace("_", "-") for name in PYTHON}
)
ASKED = questions_of(ROOT).asked
TAKEN = {
    word
    for question in ("names_of_python", "names_of_dependencies", "keywords")
    for word in str(ASKED[question].default).split()
}
words = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=18)
names = st.one_of(
    st.lists(words, min_size=1, max_size=4).map("-".join),
    st.sampled_from(OFTEN),
    st.sampled_from(OFTEN).map(lambda name: f"{name}-api"),
    st.text(string.ascii_letters + string.digits + "-_. /\\äß\n", min_size=1, max_size=55),
)


@settings(max_examples=80, deadline=None)
@given(name=names)
@example(name="a" * 50)
@example(name="a" * 51)
@example(name="a\n")
@example(name="é")
@example(name="a\u0661")
def test_accepted_names_are_importable_and_all_others_refused_in_words(
    name: str, names_alone: source.Template
) -> None:
    package = name.replace("-", "_")
    allowed = (
        FORM.fullmatch(name) is not None
        and len(name) <= 50
        and package not in TAKEN | PYTHON
        and name not in WINDOWS
    )
    if not allowed:
        with pytest.raises(BadInput) as refused:
            rendered(names_alone, name, "plain")
        assert refused.value.exit_code == 2
        assert refused.value.message
        assert refused.value.hint
        return
    assert rendered(names_alone, name, "plain")["package.txt"] == package.encode()
    compile(f"import {package}", "name", "exec")


def test_every_module_of_this_python_is_among_the_refused_names() -> None:
    possible = {name for name in PYTHON if FORM.fullmatch(name.replace("_", "-"))}

    assert possible - TAKEN <= {"tests"}
