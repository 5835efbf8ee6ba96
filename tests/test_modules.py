"""The seam for modules, shown with two small ones that live here alone."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import tomllib
from pathlib import Path

import pexpect
import pytest
from copier import run_copy

from conftest import (
    COMMAND,
    ROOT,
    UV,
    Run,
    copy_template,
    on_terminal,
    questions_of,
    rendered_files,
    repository,
    run,
)
from known import of_template
from shop import FAST, commit, edit
from test_every_combination import RUFF
from tiny import recorded, write

CHOICES = """\
  choices: &modules
    "greetings: says hello": greetings
    "farewells: says goodbye, after a greeting": farewells
"""
WIRING = """\
routers: {greetings: .greetings.router}
"""
SETTINGS = """\
from ..settings import EnvironmentSettings


class GreetingsSettings(EnvironmentSettings, env_prefix="GREETINGS_"):
    word: str = "hello"
"""
DEPENDENCIES = """\
    # greetings
    "tenacity>=9",
"""
VARIABLES = """\
# What a greeting says.
GREETINGS_WORD=hello

"""
ROUTER = '''\
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import APIRouter, FastAPI, Request

from .settings import GreetingsSettings


class State(TypedDict):
    greeting: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
    """What a module opens is handed out by `request.state`."""
    yield {"greeting": GreetingsSettings.load().word}


router = APIRouter(prefix="/greetings", tags=["greetings"], lifespan=lifespan)


@router.get("")
async def greet(request: Request) -> str:
    return str(request.state.greeting)
'''
TEST = """\
from fastapi.testclient import TestClient


def test_a_greeting(client: TestClient) -> None:
    assert client.get("/api/v1/greetings").json() == "hello"
"""


@pytest.fixture(scope="module")
def with_modules(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Our template with two modules in place of its own, added the way CONTRIBUTING.md says."""
    folder = copy_template(tmp_path_factory.mktemp("modules") / "t")
    config = (folder / "copier.yml").read_text("utf-8")
    config = re.sub(r"  choices: &modules\n(    \".*\n)+", CHOICES, config, count=1)
    config = re.sub(
        r"  api:\n(    .*\n)+  full:\n(    summary: .*\n)(    .*\n)+",
        r"  both:\n\2    modules: *modules\n",
        config,
    )
    (folder / "copier.yml").write_text(config, "utf-8")
    write(
        folder / "template" / "{{ chosen.greetings }}",
        {
            "src/{{package}}/greetings/__init__.py": "",
            "src/{{package}}/greetings/router.py": ROUTER,
            "src/{{package}}/greetings/settings.py": SETTINGS,
            "tests/greetings/test_greetings.py": TEST,
            "parts/wiring.yml": WIRING,
            "parts/dependencies.toml": DEPENDENCIES,
            "parts/variables.env": VARIABLES,
        },
    )
    write(
        folder / "template" / "{{ chosen.farewells }}",
        {"src/{{package}}/farewells/__init__.py": "", "parts/needs.yml": "modules: [greetings]\n"},
    )
    return str(repository(folder, tag="v1.0.0"))


def test_a_chosen_module_is_wired_and_checked(
    new_service: Run, with_modules: str, tmp_path: Path
) -> None:
    new_service("create", "shop", "--yes", "--with", "greetings", "--template", with_modules)

    checked = run(UV, "run", "--frozen", "poe", "check", cwd=tmp_path / "shop")

    assert "test_greetings.py" in checked.stdout
    run(COMMAND, "validate", "--only", "lock", "--only", "boot", cwd=tmp_path / "shop")
    project = tomllib.loads((tmp_path / "shop" / "pyproject.toml").read_text("utf-8"))
    assert "tenacity>=9" in project["project"]["dependencies"]
    assert "GREETINGS_WORD=hello\n" in (tmp_path / "shop" / ".env").read_text("utf-8")
    answers = (tmp_path / "shop" / ".copier-answers.yml").read_text("utf-8")
    assert "modules:\n- greetings\n" in answers


def test_an_absent_module_leaves_no_trace(
    new_service: Run, with_modules: str, tmp_path: Path
) -> None:
    new_service("create", "shop", "--yes", "--no-lock", "--template", with_modules)

    for path in (tmp_path / "shop").rglob("*"):
        if ".git" in path.relative_to(tmp_path / "shop").parts:
            continue
        assert "greeting" not in path.name
        if path.is_file():
            content = path.read_bytes().lower()
            assert not [word for word in (b"greeting", b"tenacity") if word in content], path


def test_what_a_module_needs_comes_with_it(
    new_service: Run, with_modules: str, tmp_path: Path
) -> None:
    told = new_service(
        "create", "shop", "--yes", "--no-lock", "--with", "farewells", "--template", with_modules
    ).stdout

    assert "farewells needs greetings, which comes too" in told
    assert recorded(tmp_path / "shop")["modules"] == ["greetings", "farewells"]
    assert (tmp_path / "shop/src/shop/greetings").is_dir()


def test_plain_copier_brings_what_a_module_needs(with_modules: str, tmp_path: Path) -> None:
    data = {"service_name": "shop", "modules": ["farewells"]}
    run_copy(with_modules, tmp_path / "shop", data, defaults=True, quiet=True)

    assert recorded(tmp_path / "shop")["modules"] == ["greetings", "farewells"]
    assert (tmp_path / "shop/src/shop/greetings").is_dir()


def test_without_a_module_the_service_is_that_of_our_template(
    new_service: Run, with_modules: str, tmp_path: Path
) -> None:
    """Byte for byte, but for the address: what is optional costs nothing where it is not."""
    command = ("create", "shop", "--yes", "--no-lock", "--no-git", "--output-dir")
    for name, options in (("ours", ()), ("theirs", ("--template", with_modules))):
        (tmp_path / name).mkdir()
        new_service(*command, name, *options)

    assert contents(tmp_path / "theirs" / "shop") == contents(tmp_path / "ours" / "shop")


def contents(service: Path) -> dict[str, bytes]:
    return {
        path.relative_to(service).as_posix(): path.read_bytes()
        for path in service.rglob("*")
        if path.is_file() and path.name != ".copier-answers.yml"
    }


@pytest.mark.parametrize("start", ["minimal", "both"])
def test_arrows_choose_where_to_start_from(start: str, with_modules: str, tmp_path: Path) -> None:
    terminal = prompted(with_modules, tmp_path)
    terminal.expect("Start from")
    terminal.expect("pick modules one by one")
    terminal.send("\r" if start == "minimal" else "\x1b[B\r")
    take_defaults(terminal)
    assert terminal.expect(["Create it", "Modules "]) == 0
    terminal.send("y")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0
    package = tmp_path / "shop" / "src" / "shop"
    for module in ("greetings", "farewells"):
        assert (package / module).is_dir() == (start == "both")


@pytest.mark.parametrize("at", ["Start from", "Modules"])
def test_interrupt_at_the_prompts_of_modules_leaves_nothing(
    at: str, with_modules: str, tmp_path: Path
) -> None:
    terminal = prompted(with_modules, tmp_path)
    terminal.expect("pick modules one by one")
    if at == "Modules":
        terminal.send("\x1b[B\x1b[B\r")
        terminal.expect("Modules")
    terminal.send("\x03")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 130
    assert list(tmp_path.iterdir()) == []


def test_a_choice_at_the_prompt_brings_what_it_needs(with_modules: str, tmp_path: Path) -> None:
    terminal = prompted(with_modules, tmp_path)
    terminal.expect("pick modules one by one")
    terminal.send("\x1b[B\x1b[B\r")
    terminal.expect("Modules")
    terminal.send("\x1b[B \r")
    terminal.expect("farewells needs greetings, which comes too")
    take_defaults(terminal)
    terminal.expect("Create it")
    terminal.send("y")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0
    answers = (tmp_path / "shop" / ".copier-answers.yml").read_text("utf-8")
    assert "modules:\n- greetings\n- farewells\n" in answers


def take_defaults(terminal: pexpect.spawn[str]) -> None:
    """Answer the questions after that for modules with Enter."""
    for prompt in ("What does it do", "Lowest Python version", "Where its checks run"):
        terminal.expect(prompt)
        terminal.send("\r")


def prompted(template: str, folder: Path) -> pexpect.spawn[str]:
    """`create shop` in a terminal."""
    ours = {"NEW_SERVICE_TEMPLATE": template}
    return on_terminal("create", "shop", "--no-lock", cwd=folder, env=ours)


def test_what_the_teams_default_modules_need_comes_too(
    new_service: Run, with_modules: str, tmp_path: Path
) -> None:
    (tmp_path / "team").mkdir()
    config = tmp_path / "team" / "config.toml"
    config.write_text('[defaults]\nmodules = ["farewells"]\n')
    env = {"NEW_SERVICE_CONFIG": str(config), "NEW_SERVICE_TEMPLATE": with_modules}

    told = new_service("create", "shop", "--yes", "--no-lock", env=env).stdout

    assert "farewells needs greetings, which comes too" in told
    assert recorded(tmp_path / "shop")["modules"] == ["greetings", "farewells"]


def test_no_modules_can_be_said_where_the_team_has_some_by_default(
    new_service: Run, with_modules: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[defaults]\nmodules = ["greetings"]\n')
    env = {"NEW_SERVICE_CONFIG": str(config), "NEW_SERVICE_TEMPLATE": with_modules}
    command = ("create", "shop", "--yes", "--no-lock", "--json", "--dry-run")
    chosen = [
        json.loads(new_service(*command, *options, env=env).stdout)["modules"]
        for options in ((), ("--preset", "minimal"), ("--data", "modules="))
    ]

    assert chosen == [["greetings"], [], []]


def test_modules_are_listed_with_what_they_need(new_service: Run, with_modules: str) -> None:
    done = new_service("modules", "--json", env={"NEW_SERVICE_TEMPLATE": with_modules})

    assert json.loads(done.stdout) == [
        {"name": "greetings", "summary": "says hello", "needs": []},
        {"name": "farewells", "summary": "says goodbye, after a greeting", "needs": ["greetings"]},
    ]


@pytest.mark.parametrize("given", ["greetings,farewells", "farewells, greetings"])
def test_modules_are_recorded_in_the_templates_order(
    given: str, new_service: Run, with_modules: str
) -> None:
    done = new_service(
        "create",
        "shop",
        "--yes",
        "--no-lock",
        "--json",
        "--with",
        given,
        "--template",
        with_modules,
    )

    assert json.loads(done.stdout)["modules"] == ["greetings", "farewells"]


def test_the_preview_of_every_module_fits_the_screen(new_service: Run) -> None:
    done = new_service("create", "x" * 30, "--with", "database,example", "--dry-run", "--yes")

    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("items_0001_create_items.py" in line for line in lines)


def test_a_preset_chooses_modules(new_service: Run, with_modules: str) -> None:
    done = new_service(
        "create",
        "shop",
        "--yes",
        "--no-lock",
        "--json",
        "--preset",
        "both",
        "--template",
        with_modules,
    )

    assert json.loads(done.stdout)["modules"] == ["greetings", "farewells"]


def test_space_chooses_a_module_at_the_prompt(with_modules: str, tmp_path: Path) -> None:
    terminal = prompted(with_modules, tmp_path)
    terminal.expect("Start from")
    terminal.expect("pick modules one by one")
    terminal.send("\x1b[B\x1b[B\r")
    terminal.expect("Modules")
    terminal.send(" \r")
    take_defaults(terminal)
    terminal.expect("Create it")
    terminal.send("y")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0
    assert (tmp_path / "shop" / "src" / "shop" / "greetings").is_dir()
    assert not (tmp_path / "shop" / "src" / "shop" / "farewells").exists()


Combination = dict[str, object]


def combinations(new_service: Run, template: str, *options: str) -> list[Combination]:
    listed = new_service(
        "smoke", "--list", "--format", "json", *options, env={"NEW_SERVICE_TEMPLATE": template}
    )
    rows = json.loads(listed.stdout)
    assert len({row["id"] for row in rows}) == len(rows)
    return [row["answers"] for row in rows]


def settings(answers: Combination) -> set[tuple[str, object]]:
    modules = answers["modules"]
    assert isinstance(modules, list)
    on_or_off = {(name, name in modules) for name in ("greetings", "farewells")}
    return on_or_off | {(name, answers[name]) for name in ("python_version", "ci")}


@pytest.mark.parametrize(("strength", "at_least"), [("1", 5), ("2", 15), ("3", 35), ("all", 45)])
def test_combinations_cover_every_pair_and_are_valid(
    strength: str, at_least: int, new_service: Run, with_modules: str
) -> None:
    listed = [
        settings(each) for each in combinations(new_service, with_modules, "--strength", strength)
    ]

    assert len(listed) >= at_least
    assert all(("greetings", True) in each or ("farewells", True) not in each for each in listed)
    options = set().union(*listed)
    assert len(options) == 12
    if strength != "1":
        pairs = {pair for each in listed for pair in itertools.permutations(each, 2)}
        wanted = {
            pair for pair in itertools.permutations(options, 2) if pair[0][0] != pair[1][0]
        }  # fmt: skip
        assert wanted - pairs == {
            (("greetings", False), ("farewells", True)),
            (("farewells", True), ("greetings", False)),
        }


def test_shards_make_the_whole(new_service: Run, with_modules: str) -> None:
    whole = combinations(new_service, with_modules)
    parts = [combinations(new_service, with_modules, "--shard", f"{each}/3") for each in (1, 2, 3)]

    assert sorted(map(str, itertools.chain(*parts))) == sorted(map(str, whole))


def test_formats_for_pipelines(new_service: Run, with_modules: str) -> None:
    env = {"NEW_SERVICE_TEMPLATE": with_modules}
    github = json.loads(new_service("smoke", "--list", "--format", "github", env=env).stdout)
    gitlab = json.loads(new_service("smoke", "--list", "--format", "gitlab", env=env).stdout)

    assert {"id", "answers"} == set(github["include"][0])
    assert {"ID", "ANSWERS"} == set(gitlab["parallel"]["matrix"][0])
    assert "modules" in json.loads(github["include"][0]["answers"])


@pytest.fixture(scope="module")
def with_metrics(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Our template with a module more: one folder, and one line in the list of choices."""
    folder = copy_template(tmp_path_factory.mktemp("metrics") / "t")
    shutil.copytree(ROOT / "tests/metrics", folder / "template" / "{{ chosen.metrics }}")
    edit(folder / "copier.yml", DATABASE, DATABASE + METRICS)
    return str(repository(folder, tag="v1.0.0"))


DATABASE = '    "database: SQLAlchemy and Alembic, on SQLite or PostgreSQL": database\n'
METRICS = '    "metrics: what is counted": metrics\n'


def test_a_module_of_one_folder_and_one_line_comes_and_goes(
    with_metrics: str, new_service: Run, tmp_path: Path
) -> None:
    options = ("--yes", "--no-lock", "--template", with_metrics, "--data", "metrics_window=hour")
    told = new_service("create", "shop", "--with", "metrics,auth", *options).stdout
    shop = tmp_path / "shop"

    assert "metrics needs database, which comes too" in told
    assert "uv run poe count       start counting\n" in told
    assert recorded(shop)["modules"] == ["database", "metrics", "auth"]
    assert "METRICS_WINDOW=hour\n" in (shop / ".env").read_text("utf-8")
    assert "routers: list[APIRouter] = [database, metrics, auth]" in (
        shop / "src/shop/modules.py"
    ).read_text("utf-8")
    run(RUFF, "format", "--no-cache", "--check", cwd=shop)
    run(RUFF, "check", "--no-cache", cwd=shop)

    before = rendered_files(shop)
    told = run(COMMAND, "remove", "metrics", "--yes", *FAST, cwd=shop).stdout
    assert "rm -f counts.json" in told
    commit(shop)
    assert "metrics_window" not in recorded(shop)
    left = {file for file, text in rendered_files(shop).items() if b"metrics" in text.lower()}
    assert left == {".copier-answers.yml"}  # in the template's address
    back = ("add", "metrics", "--data", "metrics_window=hour")
    assert "uv run poe count " in run(COMMAND, *back, *FAST, cwd=shop).stdout
    commit(shop)
    assert rendered_files(shop) == before
    refused = run(COMMAND, "remove", "database", *FAST, cwd=shop, check=False)
    assert refused.returncode == 2
    assert "the module metrics needs database" in refused.stderr


def test_a_module_of_one_folder_is_booted_as_it_declares(
    with_metrics: str, new_service: Run, tmp_path: Path
) -> None:
    new_service("create", "shop", "--yes", "--with", "metrics", "--template", with_metrics)
    shop = tmp_path / "shop"
    validate = (COMMAND, "validate", "--only", "boot")

    run(*validate, cwd=shop)
    assert not (shop / "counts.json").exists()
    edit(shop / "pyproject.toml", "metrics.counting:start", "metrics.counting:begin")
    failed = run(*validate, cwd=shop, check=False)
    assert (failed.returncode, "poe count failed" in failed.stdout) == (1, True)


def test_a_module_of_one_folder_is_tried_with_all_others(
    with_metrics: str, new_service: Run
) -> None:
    rows = combinations(new_service, with_metrics, "--strength", "2")
    having = [set(map(str, row["modules"])) for row in rows if "metrics" in row["modules"]]  # type: ignore[operator, call-overload]

    assert set.union(*having) == {"metrics", *questions_of(ROOT).modules}
    assert all("database" in each for each in having)


def test_what_is_known_of_a_module_stands_in_its_folder(with_metrics: str) -> None:
    known = of_template(Path(with_metrics, "template"))["metrics"]

    assert known.prefix == "METRICS_"
    (fault,) = known.faults.values()
    assert fault.replace in (known.folder / fault.file).read_text("utf-8")
