"""What README and CONTRIBUTING list is what there is."""

from __future__ import annotations

import re

from conftest import ROOT, questions_of
from test_house import FLOORS, HOUSE

README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def in_code(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def first_cells(heading: str, text: str) -> list[str]:
    """The code in the first column of the table with that heading."""
    table = text.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [code for line in table.splitlines()[2:] for code in in_code(line.split("|")[1])]


def test_contributing_names_files_that_are_there() -> None:
    paths = [
        code for code in in_code(CONTRIBUTING) if re.fullmatch(r"\.?[\w/]+\.(py|yml|md)", code)
    ]
    roots = (ROOT, HOUSE, ROOT / "template" / "{{ chosen.auth }}")
    # Of the service, or of the module that is added.
    others = {"modules.py", "router.py", "metrics/settings.py"}
    parts = set(first_cells("part", CONTRIBUTING))

    named = {path for path in paths if path not in others | parts}
    assert len(named) > 20
    assert [path for path in named if not any((root / path).exists() for root in roots)] == []


def test_contributing_lists_every_room_from_the_top() -> None:
    rooms = [code.removesuffix(".py").rstrip("/") for code in first_cells("room", CONTRIBUTING)]

    assert rooms == [room for floor in reversed(FLOORS) for room in floor]


def test_contributing_lists_every_part_of_a_module() -> None:
    there = {path.name for path in (ROOT / "template").glob("*/parts/*") if "{{" in str(path)}

    assert {code.rstrip("/") for code in first_cells("part", CONTRIBUTING)} == there


def test_the_readme_lists_every_module_and_question() -> None:
    questions = questions_of(ROOT)

    assert first_cells("module", README) == list(questions.modules)
    named = {"service_name", "modules", *first_cells("question", README)}
    assert named == set(questions.open_names())
