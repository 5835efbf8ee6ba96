"""What the questions of a template include is read from its last commit, without all the rest."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import questions_of, repository, run
from new_service.system.errors import TemplateUnavailable
from new_service.template import source
from new_service.template.conditions import Conditions
from new_service.template.questions import Questions
from tiny import write

FILES = {
    ".gitattributes": "* export-ignore\n*.txt ident\n",
    "template/README.md": "# A service\n",
    "texts/salty.txt": "salt of {{ kind }}, $Id$\n",
    "texts/[x].txt": "in brackets\n",
    "macros/words.jinja": "{% macro loud(word) %}{{ word | upper }}{% endmacro %}\n",
    "more/one.inc": "one: {type: str, default: '1'}\n",
    "more/two.inc": "---\ntwo: {type: str, default: '2'}\n---\nthree: {type: str, default: '3'}\n",
    "more/deep/er/four.inc": "four: {type: str, default: '4'}\n",
    "more/nested": "---\n!include more/one.inc\n---\n!include more/deep/*/*.inc\n",
}
EXPRESSIONS = [
    "{% include 'texts/' ~ kind ~ '.txt' %}",
    "{% include '/texts/./salty.txt' %}",
    "{% include 'texts/[x].txt' %}",
    "{% include ['texts/gone.txt', 'texts/salty.txt'] %}",
    "a{% include 'texts/gone.txt' ignore missing %}b",
    "{% from 'macros/words.jinja' import loud %}{{ loud(kind) }}",
]
PATTERNS = [
    "more/one.inc",
    "./more//one.inc",
    "macros/../more/one.inc",
    "more/*.inc",
    "[a-m]*/t?o.inc",
    "**/*.inc",
    "more/**/*r/*.inc",
    "more/**/two.inc",
    "more/nested",
    "more/absent*",
]


@contextmanager
def committed(folder: Path) -> Iterator[tuple[Questions, Questions]]:
    """The questions of a template's commit, and those of a checkout of it with all files."""
    run("git", "clone", "--quiet", folder, folder.with_name("clone"))
    with source.opened(str(folder)) as template:
        yield template.questions, questions_of(folder.with_name("clone"))


def template(folder: Path, more: str) -> Path:
    """A template in whose copier.yml `more` follows two questions."""
    asked = (
        "_subdirectory: template\nservice_name: {type: str}\nkind: {type: str, default: salty}\n"
    )
    return write(folder, {**FILES, "copier.yml": asked + more})


def computing(expression: str) -> str:
    return f'found: {{type: str, when: false, default: "{expression}"}}\n'


def found(questions: Questions) -> object:
    return Conditions(questions).default("found", {})


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_includes_any_file(expression: str, tmp_path: Path) -> None:
    folder = repository(template(tmp_path / "t", computing(expression)))

    with committed(folder) as (ours, whole):
        assert found(ours) == found(whole) != ""
        elsewhere = pickle.loads(pickle.dumps(ours))  # noqa: S301  our own
        assert found(elsewhere) == found(whole)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_includes_any_file(pattern: str, tmp_path: Path) -> None:
    folder = repository(template(tmp_path / "t", f"---\n!include '{pattern}'\n"))

    with committed(folder) as (ours, whole):
        assert ours.asked == whole.asked
        assert list(ours.asked) == list(whole.asked)


@pytest.mark.parametrize("pattern", ["linked/*.inc", "*/link.inc", "**/link.inc", "more/*.inc"])
def test_links_are_followed(pattern: str, tmp_path: Path) -> None:
    more = computing("{% include 'linked/er/words' %}") + f"---\n!include '{pattern}'\n"
    folder = template(tmp_path / "t", more)
    (folder / "linked").symlink_to("more/deep")
    (folder / "other").mkdir()
    (folder / "other" / "link.inc").symlink_to("../more/two.inc")
    (folder / "more" / "deep" / "er" / "words").symlink_to("../../../texts/salty.txt")

    with committed(repository(folder)) as (ours, whole):
        assert ours.asked == whole.asked
        assert found(ours) == found(whole)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")
def test_names_may_be_any_bytes(tmp_path: Path) -> None:
    folder = template(tmp_path / "t", "---\n!include more/*.inc\n")
    for name in (b"more/caf\xe9.inc", b"more/two\nlines.inc", b"caf\xe9.yml"):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_text("of_bytes: {type: str}\n")

    with committed(repository(folder)) as (ours, whole):
        assert ours.asked == whole.asked
        assert "of_bytes" in ours.asked


def test_a_file_that_is_missing_is_told_in_the_same_words(tmp_path: Path) -> None:
    folder = repository(template(tmp_path / "t", computing("{% include 'texts/gone.txt' %}")))

    with committed(folder) as both:
        said = []
        for questions in both:
            with pytest.raises(TemplateUnavailable) as raised:
                found(questions)
            said.append(raised.value.message.replace(str(questions.root), "ROOT"))

    assert said[0] == said[1]
    assert "'texts/gone.txt'" in said[0]


@pytest.mark.parametrize("pattern", ["/etc/host*", "../*", "more/../../*"])
def test_nothing_outside_the_template_is_included(pattern: str, tmp_path: Path) -> None:
    folder = repository(template(tmp_path / "t", f"---\n!include '{pattern}'\n"))

    with pytest.raises(TemplateUnavailable) as raised, source.opened(str(folder)):
        pass

    assert f"it includes '{pattern}', which is outside the template" in raised.value.message


def test_other_files_are_not_checked_out(tmp_path: Path) -> None:
    more = computing(EXPRESSIONS[0]) + "---\n!include more/*.inc\n"

    with committed(repository(template(tmp_path / "t", more))) as (ours, _):
        found(ours)
        assert ours.root is not None
        names = {path.relative_to(ours.root).as_posix() for path in ours.root.rglob("*.*")}

    assert "texts/salty.txt" in names
    assert not {"template/README.md", "macros/words.jinja"} & names
