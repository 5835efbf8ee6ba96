"""Any description comes out right in every file that it reaches."""

import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from new_service import source
from new_service.rendering import render

text = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs", "Cc"]),
        st.sampled_from("\n\t\"'\\{}%#*_`[]<>&|~-+=:!$ "),
    ),
    min_size=1,
    max_size=60,
).filter(str.strip)


def rendered(template: Path, description: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """All files of two services: one with `description`, one with another."""
    with source.opened(str(template)) as opened, TemporaryDirectory() as folder:
        services = []
        for name, answer in (("one", description), ("two", "plain")):
            target = Path(folder, name)
            answers: dict[str, str | int | float | bool | list[str]] = {
                "service_name": "orders-api",
                "description": answer,
            }
            render(opened, target, answers, defaults={}, ask=False)
            services.append(
                {
                    path.relative_to(target).as_posix(): path.read_bytes()
                    for path in target.rglob("*")
                    if path.is_file()
                }
            )
    return services[0], services[1]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(description=text)
@example(
    description='1) "quotes" \\ back {{ service_name }} {% if x %} 😀\n# [x](y) *b* _a_ <b> &amp; |'
)
@example(description="- a list: yes\n```\n--- !!python/object")
@example(description="= heading\n===")
@example(description='\'single\' and """three""" ~~gone~~ ${HOME} `code`')
@example(description="> quoted & R&D #1 +1")
@example(description="{# comment #}")
def test_description_comes_out_right(description: str, template: Path) -> None:
    files, plain = rendered(template, description)
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
