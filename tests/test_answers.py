"""Answers by script: to new questions, to change old ones, for every combination, for a team."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import COMMAND, run
from shop import FAST, commit, failure, status
from tiny import make, recorded


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small template in versions 1.0.0 and 1.1.0."""
    return make(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture(scope="session")
def old(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service of version 1.0.0. Not to be changed."""
    folder = tmp_path_factory.mktemp("old")
    options = ("--yes", "--no-lock", "--template", tiny, "--template-version", "1.0.0")
    run(COMMAND, "create", "shop", *options, cwd=folder)
    return folder / "shop"


@pytest.fixture
def shop(old: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(old, tmp_path / "shop"))


def change(
    shop: Path, *arguments: str | Path, check: bool = True
) -> subprocess.CompletedProcess[str]:
    return run(COMMAND, *arguments, *FAST, cwd=shop, check=check)


def test_new_question_without_a_default_is_answered_by_script(shop: Path, tmp_path: Path) -> None:
    refused = change(shop, "update", "--yes", check=False)
    (tmp_path / "answers.yml").write_text("owner: file\ncolour: blue\n")
    change(shop, "update", "--data-file", tmp_path / "answers.yml", "--data", "owner=flag")

    assert "--data" in failure(refused, 2)
    assert (shop / "owner.txt").read_text() == "flag\n"
    assert (shop / "colour.txt").read_text() == "blue\n"
    assert recorded(shop)["_commit"] == "v1.1.0"


def test_update_changes_an_answer_at_the_newest_version(shop: Path) -> None:
    change(shop, "update", "--data", "owner=me")
    commit(shop)

    same = change(shop, "update", "--data", "owner=me", "--data", "colour=red")
    told = change(shop, "update", "--data", "colour=blue", "--json")
    changed = change_of(shop)

    assert "nothing to do" in same.stdout
    assert changed == {"M  .copier-answers.yml", "M  colour.txt"}
    document = json.loads(told.stdout)
    assert (document["from"], document["to"], document["applied"]) == ("1.1.0", "1.1.0", True)


def change_of(shop: Path) -> set[str]:
    return set(status(shop))


def test_answers_that_an_update_cannot_take(shop: Path) -> None:
    for data, words in {
        "colour=green": "unknown colour 'green'",
        "nope=1": "no question 'nope'",
        "modules=alpha": "new-service add and new-service remove",
        "owner": "has no value",
    }.items():
        done = change(shop, "update", "--data", data, check=False)
        assert words in failure(done, 2)
    assert status(shop) == []


def test_one_command_answers_for_services_that_are_asked_and_those_that_are_not(
    shop: Path,
) -> None:
    told = change(shop, "update", "--data", "owner=me", "--data", "depth=deep")
    commit(shop)
    change(shop, "add", "beta", "--data", "depth=deep")

    assert "not asked of this service: depth" in told.stdout
    assert recorded(shop)["depth"] == "deep"


def test_add_takes_a_file_of_answers(shop: Path, tmp_path: Path) -> None:
    change(shop, "update", "--data", "owner=me")
    commit(shop)
    answers = tmp_path / "answers.yml"
    shutil.copy(shop / ".copier-answers.yml", answers)
    with answers.open("a") as file:
        file.write("depth: deep\n")

    change(shop, "add", "beta", "--data-file", answers)
    answers.write_text("colour: blue\n")
    refused = change(shop, "add", "alpha", "--data-file", answers, check=False)

    assert recorded(shop)["depth"] == "deep"
    assert recorded(shop)["modules"] == ["beta"]
    assert "not clean" in failure(refused, 2)
    commit(shop)
    refused = change(shop, "add", "alpha", "--data-file", answers, check=False)
    assert "update --data colour=" in failure(refused, 2)


def test_create_takes_a_file_of_answers_by_either_name(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "answers.yml").write_text("colour: blue\nowner: file\n")
    options = ("--yes", "--no-lock", "--no-git", "--template", tiny, "--data", "owner=flag")

    run(COMMAND, "create", "one", "--data-file", "answers.yml", *options, cwd=tmp_path)
    run(COMMAND, "create", "two", "--answers-file", "answers.yml", *options, cwd=tmp_path)
    told = run(COMMAND, "create", "--help").stdout

    for name in ("one", "two"):
        assert (tmp_path / name / "colour.txt").read_text() == "blue\n"
        assert (tmp_path / name / "owner.txt").read_text() == "flag\n"
    assert "--data-file" in told
    assert "--answers-file" not in told


def listed(tiny: Path, *options: str | Path) -> list[dict[str, object]]:
    env = {"NEW_SERVICE_TEMPLATE": str(tiny)}
    command = ("smoke", "--list", "--strength", "all", "--format", "json")
    rows = json.loads(run(COMMAND, *command, *options, env=env).stdout)
    return [row["answers"] for row in rows]


def test_smoke_has_the_answers_that_are_given_in_every_combination(
    tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "answers.yml").write_text("colour: red\nmodules: [alpha]\nowner: me\n")

    fixed = listed(tiny, "--data-file", tmp_path / "answers.yml", "--data", "colour=blue")

    assert fixed == [{"colour": "blue", "modules": ["alpha"]}]
    assert len(listed(tiny, "--data", "colour=blue")) * 2 == len(listed(tiny)) == 8


def test_smoke_creates_with_the_answers_that_are_given(tiny: Path, tmp_path: Path) -> None:
    """Nothing could be created otherwise: a question has no default."""
    env = {"NEW_SERVICE_TEMPLATE": str(tiny), "UV_OFFLINE": "1"}
    data = ("--data", "colour=red", "--data", "modules=", "--data", "owner=it's me")
    kept = ("--keep", str(tmp_path / "kept"))

    done = run(COMMAND, "smoke", *data, *kept, "--json", env=env, check=False)

    (row,) = json.loads(done.stdout)["combinations"]
    assert "create" not in row["failed"], done.stderr
    assert (tmp_path / "kept" / "smoke-01" / "owner.txt").read_text() == "it's me\n"


@pytest.mark.parametrize("data", ["colour=green", "nope=1"])
def test_smoke_with_answers_that_are_none(data: str, tiny: Path) -> None:
    env = {"NEW_SERVICE_TEMPLATE": str(tiny)}

    failure(run(COMMAND, "smoke", "--list", "--data", data, env=env, check=False), 2)


def test_team_defaults_that_a_version_does_not_know_are_ignored(tiny: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[defaults]\nowner = "team"\ncolour = "blue"\nservice_names = 1\n')
    env = {"NEW_SERVICE_CONFIG": str(config)}
    options = ("--yes", "--no-lock", "--no-git", "--template", tiny, "--template-version")

    told = run(COMMAND, "create", "one", *options, "1.0.0", cwd=tmp_path, env=env)
    run(COMMAND, "create", "two", *options, "1.1.0", cwd=tmp_path, env=env)

    assert "not asked by 1.0.0: owner, service_names" in told.stdout
    assert (tmp_path / "one" / "colour.txt").read_text() == "blue\n"
    assert (tmp_path / "two" / "owner.txt").read_text() == "team\n"
