"""What modules need comes with them, and no update drops an answer, in plain Copier as well."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from copier import run_copy

from conftest import COMMAND, ROOT, Run, copy_template, rendered_files, repository, run
from shop import FAST, commit, git, status
from tiny import recorded, write

# The last commit in which a module was spread over the template.
SPREAD = "0b19926bec85dd136efe061e23a0f1632477e2aa"
# The last one in which jobs were messages alone, and needed no database.
MESSAGES = "4f12e2ccf0ccd38e9a76a35ae9091c2a9276d0d3"
SERVICES = {
    "nothing": {"modules": [], "ci": "none"},
    "some": {
        "modules": ["auth", "celery"],
        "auth_provider": "oidc",
        "celery_broker": "rabbitmq",
        "ci": "gitlab",
    },
    "everything": {
        "modules": ["database", "auth", "celery", "docker", "example"],
        "python_version": "3.12",
    },
}


def earlier() -> Iterator[str]:
    """The commits from which services move to this template: all releases, and those above."""
    yield from (tag for tag in git(ROOT, "tag", "--list", "v*").split())
    yield SPREAD
    yield MESSAGES


def moving_from(commit: str, folder: Path) -> Path:
    """The template of an earlier commit as 1.0.0, and that of this working tree as 1.1.0."""
    folder = folder / "template"
    folder.mkdir()
    git(folder, "init", "--quiet")
    archive = folder.with_suffix(".tar")
    git(ROOT, "archive", f"--output={archive}", commit, "copier.yml", "template")
    shutil.unpack_archive(archive, folder, filter="data")
    repository(folder, tag="v1.0.0")
    shutil.rmtree(folder / "template")
    shutil.copytree(copy_template(folder.with_name("new")), folder, dirs_exist_ok=True)
    return repository(folder, tag="v1.1.0")


@pytest.fixture(scope="module", params=earlier())
def moved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template of such a commit, and this one."""
    return moving_from(request.param, tmp_path_factory.mktemp("t"))


@pytest.mark.parametrize("answers", SERVICES.values(), ids=SERVICES)
@pytest.mark.parametrize("way", ["copier", "new-service"])
def test_a_service_of_an_earlier_template_moves_to_this_one(
    way: str, answers: dict[str, object], moved: Path, tmp_path: Path
) -> None:
    shop = repository(made(moved, "v1.0.0", tmp_path / "shop", answers))
    before = recorded(shop)

    update(way, shop)

    assert not any(line.startswith("U") for line in status(shop))
    assert not list(shop.rglob("*.rej"))
    now = recorded(shop)
    pin = {"template_version_pin": now["template_version_pin"]}
    fresh = made(moved, "v1.1.0", tmp_path / "fresh", answers | pin)
    completed = {"modules": recorded(fresh)["modules"]}
    assert now == before | {"_commit": "v1.1.0"} | completed
    assert rendered_files(shop) == rendered_files(fresh)


def test_modules_of_an_earlier_template_come_and_go(moved: Path, tmp_path: Path) -> None:
    shop = repository(made(moved, "v1.0.0", tmp_path / "shop", {}))

    told = run(COMMAND, "add", "example", *FAST, cwd=shop).stdout
    assert "example needs database, which comes too" in told
    commit(shop)
    update("new-service", shop)
    commit(shop)
    run(COMMAND, "remove", "example", "database", "--yes", *FAST, cwd=shop)

    assert recorded(shop)["modules"] == []
    left = rendered_files(shop)
    versions = {name for name in left if "/database/migrations/versions/" in name}
    bare = rendered_files(made(moved, "v1.1.0", tmp_path / "bare", {}))
    assert left.keys() - versions == bare.keys()


def made(template: Path, version: str, folder: Path, answers: dict[str, object]) -> Path:
    data = {"service_name": "shop", **answers}
    run_copy(str(template), folder, data, vcs_ref=version, defaults=True, quiet=True)
    return folder


def update(way: str, service: Path) -> None:
    if way == "copier":
        flags = ("--vcs-ref", "v1.1.0", "--skip-answered", "--defaults")
        run(Path(COMMAND).with_name("copier"), "update", *flags, cwd=service)
    else:
        run(COMMAND, "update", "--to", "1.1.0", "--yes", *FAST, cwd=service)


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version of the template in which jobs need no database, and this one."""
    return moving_from(MESSAGES, tmp_path_factory.mktemp("t"))


@pytest.mark.parametrize("way", ["copier", "new-service"])
def test_what_a_later_version_needs_comes_with_an_update(
    way: str, messages: Path, tmp_path: Path
) -> None:
    answers: dict[str, object] = {"modules": ["celery"], "celery_broker": "rabbitmq"}
    shop = repository(made(messages, "v1.0.0", tmp_path / "shop", answers))
    assert recorded(shop)["modules"] == ["celery"]

    update(way, shop)

    now = recorded(shop)
    assert (now["modules"], now["celery_broker"]) == (["database", "celery"], "rabbitmq")
    pin = {"template_version_pin": now["template_version_pin"]}
    fresh = made(messages, "v1.1.0", tmp_path / "fresh", answers | pin)
    assert rendered_files(shop) == rendered_files(fresh)
    commit(shop)
    assert (
        "the module celery needs database"
        in run(COMMAND, "remove", "database", *FAST, cwd=shop, check=False).stderr
    )


def test_plain_copier_adds_the_database_of_accounts(template: Path, tmp_path: Path) -> None:
    answers: dict[str, object] = {"modules": ["auth"], "auth_provider": "accounts"}
    shop = made(template, "v1.0.0", tmp_path / "shop", answers)

    assert recorded(shop)["modules"] == ["database", "auth"]
    complete = answers | {"modules": ["database", "auth"]}
    fresh = made(template, "v1.0.0", tmp_path / "fresh", complete)
    assert rendered_files(shop) == rendered_files(fresh)


def test_add_says_what_an_answer_needs(shop: Path, change: Run) -> None:
    told = change("add", "auth", "--data", "auth_provider=accounts").stdout

    assert "auth needs database, which comes too" in told
    assert recorded(shop)["modules"] == ["database", "auth"]


INCLUDING = {
    "copier.yml": """\
_subdirectory: template
_templates_suffix: .jinja
_exclude: [module.yml]
service_name: {type: str}
modules: {type: str, multiselect: true, default: [], choices: [alpha, beta, gamma]}
grand: {type: bool, when: false, default: "{{ modules | length > 1 }}"}
---
!include template/*/module.yml
---
_exclude: ["{% if not grand %}grand.txt{% endif %}"]
_skip_if_exists: [kept.txt]
size:
  type: str
  when: "{{ grand and colour | default('') != 'red' }}"
  choices: [small, large]
  default: small
""",
    "template/alpha/module.yml": """\
_skip_if_exists: [mine.txt]
colour: {type: str, when: "{{ 'alpha' in modules }}", choices: [red, blue], default: red}
""",
    "template/grand.txt": "",
    "template/pyproject.toml.jinja": '[project]\nname = "{{ service_name }}"\nversion = "0"\n',
    "template/{{_copier_conf.answers_file}}.jinja": "{{ _copier_answers|to_nice_yaml -}}\n",
}


def test_questions_of_several_documents_are_asked_as_copier_asks(
    new_service: Run, tmp_path: Path
) -> None:
    template = repository(write(tmp_path / "t", INCLUDING), tag="v1.0.0")
    shutil.rmtree(template / "template" / "alpha")  # it counts what is committed
    env = {"NEW_SERVICE_TEMPLATE": str(template)}
    listed = new_service("smoke", "--list", "--strength", "all", "--format", "json", env=env).stdout

    rows = [row["answers"] for row in json.loads(listed)]
    assert len(rows) == len({json.dumps(row) for row in rows})
    for row in rows:
        grand = len(row["modules"]) > 1
        assert ("colour" in row) == ("alpha" in row["modules"])
        assert ("size" in row) == (grand and row.get("colour") == "blue")
    # Four choices of modules without alpha, alpha alone in two colours, and in three grand ones
    # red, or blue in two sizes.
    assert len(rows) == 4 + 2 + 3 * 3


def test_joined_lists_and_included_questions_count(new_service: Run, tmp_path: Path) -> None:
    template = repository(write(tmp_path / "t", INCLUDING), tag="v1.0.0")
    env = {"NEW_SERVICE_TEMPLATE": str(template)}
    data = ("--data", "colour=blue", "--no-lock", "--no-git")

    new_service("create", "shop", "--yes", "--with", "alpha", *data, env=env)

    assert recorded(tmp_path / "shop")["colour"] == "blue"
    assert not (tmp_path / "shop" / "grand.txt").exists()
    assert not (tmp_path / "shop" / "alpha" / "module.yml").exists()
    refused = new_service("create", "b", "--yes", *data, env=env, check=False)
    assert "colour is not asked with these modules" in refused.stderr
