"""`smoke --list`: which combinations there are, in which parts and forms."""

import itertools
import json
from collections.abc import Hashable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import Run
from new_service.questions import Questions
from new_service.smoke import Combination, combine, name, shard_of

Option = tuple[str, Hashable]

WORDS = ["none", "redis", "x", "a-b", "3.11"]
MODULES = ["alpha", "beta", "gamma", "delta"]


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, object]:
    """What a copier.yml may ask: choices, yes or no, modules that need earlier ones."""
    config: dict[str, object] = {"service_name": {"type": "str"}}
    for each in range(draw(st.integers(0, 2))):
        words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True))
        config[f"choice_{each}"] = {"type": "str", "choices": words}
    if draw(st.booleans()):
        config["sure"] = {"type": "bool", "default": True}
    modules = MODULES[: draw(st.integers(0, 4))]
    config["modules"] = {"type": "str", "multiselect": True, "choices": modules}
    needs = {
        module: draw(st.lists(st.sampled_from(modules[:at]), max_size=2, unique=True))
        for at, module in enumerate(modules)
        if at and draw(st.booleans())
    }
    config["needs"] = {"type": "yaml", "when": False, "default": needs}
    if len(modules) > 1 and draw(st.booleans()):
        # Asked with the first module; one of its answers does not go with the second.
        config["kind"] = {
            "type": "str",
            "choices": ["own", "foreign"],
            "when": "{{ 'alpha' in modules }}",
            "validator": "{% if kind == 'own' and 'beta' in modules %}no{% endif %}",
        }
    return config


def options(combination: Combination, modules: list[str]) -> frozenset[Option]:
    """The choices of a combination, each module on or off."""
    chosen = combination.get("modules", [])
    assert isinstance(chosen, list)
    plain: set[Option] = {
        (key, value) for key, value in combination.items() if not isinstance(value, list)
    }
    return frozenset(plain | {(module, module in chosen) for module in modules})


def complete(rows: set[frozenset[Option]], config: dict[str, object]) -> set[frozenset[Option]]:
    """Each with an answer to every question, None to one that is not asked."""
    if "kind" not in config:
        return rows
    return {row if "kind" in dict(row) else row | {("kind", None)} for row in rows}


def valid_rows(config: dict[str, object], modules: list[str]) -> set[frozenset[Option]]:
    """All that may stand together, counted out without the code under test."""
    possible: dict[str, list[Hashable]] = {module: [False, True] for module in modules}
    needs: dict[str, list[str]] = {}
    for key, details in config.items():
        assert isinstance(details, dict)
        if key == "needs":
            needs = details["default"]
        elif key.startswith("choice"):
            possible[key] = details["choices"]
        elif key == "sure":
            possible[key] = [False, True]
        elif key == "kind":
            possible[key] = ["own", "foreign"]
    rows = [dict(zip(possible, row, strict=True)) for row in itertools.product(*possible.values())]
    asked = [
        {key: answer if key != "kind" or row["alpha"] else None for key, answer in row.items()}
        for row in rows
        if all(row[need] for module in modules if row[module] for need in needs.get(module, []))
    ]
    return {
        frozenset(row.items()) for row in asked if not (row.get("kind") == "own" and row["beta"])
    }


def held(rows: set[frozenset[Option]], size: int) -> set[frozenset[Option]]:
    return {frozenset(some) for row in rows for some in itertools.combinations(row, size)}


@settings(max_examples=60, deadline=None)
@given(config=configurations(), strength=st.sampled_from(["1", "2", "3", "all"]))
def test_all_that_can_stand_together_does(config: dict[str, object], strength: str) -> None:
    questions = Questions.from_config(config)
    modules = list(questions.modules)
    found = [options(each, modules) for each in combine(questions, strength)]
    rows, valid = complete(set(found), config), valid_rows(config, modules)

    assert rows <= valid
    assert len(rows) == len(found)
    size = len(next(iter(valid))) if strength == "all" else int(strength)
    size = min(size, len(next(iter(valid))))
    assert held(rows, size) == held(valid, size)


@settings(max_examples=60, deadline=None)
@given(config=configurations())
@example(config={"one": {"choices": ["a", "a-b"]}, "two": {"choices": ["b-c", "c"]}})
@example(config={"one": {"choices": ["a", "A"]}})
def test_each_combination_has_an_id_of_its_own(config: dict[str, object]) -> None:
    ids = [name(each) for each in combine(Questions.from_config(config), "all")]

    assert len(set(ids)) == len(ids)


@settings(max_examples=30, deadline=None)
@given(config=configurations(), parts=st.integers(1, 6))
def test_parts_make_the_whole_and_differ_little(config: dict[str, object], parts: int) -> None:
    whole = list(combine(Questions.from_config(config), "2"))
    shards = [shard_of(whole, f"{each}/{parts}") for each in range(1, parts + 1)]

    assert sorted(map(str, itertools.chain(*shards))) == sorted(map(str, whole))
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("strength", ["1", "2", "3", "all"])
def test_every_python_is_in_a_combination(strength: str, new_service: Run) -> None:
    listed = new_service("smoke", "--list", "--strength", strength, "--format", "json")

    pythons = {row["answers"]["python_version"] for row in json.loads(listed.stdout)}
    assert pythons == {"3.11", "3.12", "3.13", "3.14", "3.15"}


def test_text_is_a_line_for_each_combination(new_service: Run) -> None:
    rows = json.loads(new_service("smoke", "--list", "--format", "json").stdout)
    lines = new_service("smoke", "--list").stdout.splitlines()

    assert [line.split(maxsplit=1)[0] for line in lines] == [row["id"] for row in rows]
    assert [json.loads(line.split(maxsplit=1)[1]) for line in lines] == [
        row["answers"] for row in rows
    ]


def test_the_list_is_the_same_each_time(new_service: Run) -> None:
    command = ("smoke", "--list", "--format", "json")

    assert new_service(*command).stdout == new_service(*command).stdout


def test_a_listed_combination_can_be_created(new_service: Run) -> None:
    row = json.loads(new_service("smoke", "--list", "--format", "json").stdout)[-1]
    data = [
        f"{key}={','.join(value) if isinstance(value, list) else value}"
        for key, value in row["answers"].items()
    ]
    flags = itertools.chain.from_iterable(("--data", each) for each in data)

    done = new_service("create", "b", "--yes", "--no-lock", "--no-git", "--json", *flags)

    assert json.loads(done.stdout)["package"] == "b"


@pytest.mark.parametrize("shard", ["", "1", "/", "2/1", "0/0", "a/b", "1/2/3", "-1/2", "1.5/2"])
def test_a_part_that_is_none(shard: str, new_service: Run) -> None:
    done = new_service("smoke", "--list", "--shard", shard, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "\nhint: " in done.stderr
    assert done.stdout == ""
