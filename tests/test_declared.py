"""What modules declare of themselves: how a service is booted with them, and what is next."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from conftest import COMMAND, ROOT, UV, Run, repository, run
from new_service.service.declared import Declared
from new_service.service.folder import Service
from new_service.system.errors import BadInput
from shop import FAST, commit, edit, failure, git, status
from test_needs import SPREAD
from tiny import write

DECLARED = """\
[tool.new-service.modules.search]
boot.before = "fill"
boot.beside = "stand-in"
boot.variables = { SEARCH_INDEX = "{scratch}/index", SEARCH_MODE = "{fast}" }
unset = ["SEARCH_*", "FINDER"]
next = [
    { after = "create", run = "uv run poe fill", to = "fill the index" },
    { after = "add", run = "uv run poe fill", to = "fill it for the first time" },
    { after = "remove", run = "rm -r index", to = "forget what was found" },
    { added = "*/models.py", run = "uv run poe fill all", to = "find the new ones" },
    { deleted = "*/models.py", run = "uv run poe forget", to = "find the old ones no more" },
    { present = "index.json", run = "uv run poe fill new", to = "fill what is kept" },
]
"""
FILES = {
    "copier.yml": """\
_subdirectory: template
_templates_suffix: .jinja
_exclude:
  - "{% if 'goods' not in modules %}goods{% endif %}"
service_name: {type: str}
modules: {type: str, multiselect: true, default: [], choices: [search, goods]}
""",
    "template/{{_copier_conf.answers_file}}.jinja": "{{ _copier_answers|to_nice_yaml -}}\n",
    "template/.gitignore": ".venv\n__pycache__\n",
    "template/goods/models.py": "",
    "template/pyproject.toml.jinja": """\
[project]
name = "{{ service_name }}"
version = "1"
requires-python = ">=3.11"
dependencies = ["uvicorn"]

[dependency-groups]
dev = ["poethepoet"]

[tool.fastapi]
entrypoint = "app:app"

[tool.new-service]
checks = ["see"]

{% if 'search' in modules %}
DECLARED
{% endif %}
[tool.poe]
executor.type = "simple"
tasks.see.cmd = "python see.py"
tasks.fill.cmd = "python fill.py"
tasks.stand-in.cmd = "python stand_in.py"
tasks.stand-in.use_exec = true
tasks.fail.cmd = "python -c 'raise SystemExit(\\"no index\\")'"
tasks.wait.cmd = "python -c 'import time; time.sleep(600)'"
""".replace("DECLARED\n", DECLARED),
    "template/see.py": "import os\n"
    "print([name for name in os.environ if name.startswith(('SEARCH', 'FINDER'))])\n",
    "template/fill.py": "import os, pathlib\n"
    "pathlib.Path(os.environ['SEARCH_INDEX']).write_text(os.environ['SEARCH_MODE'])\n",
    "template/stand_in.py": "import os, sys\n"
    "os.execvpe(sys.argv[1], sys.argv[1:], os.environ | {'FINDER': 'a stand-in'})\n",
    "template/app.py": """\
import json, os, pathlib

assert pathlib.Path(os.environ["SEARCH_INDEX"]).read_text() == "{fast}"
assert os.environ["FINDER"] == "a stand-in"
assert "SEARCH_TOKEN" not in os.environ
DOCUMENT = {"openapi": "3.1.0", "info": {"title": "shop", "version": "1"}, "paths": {}}


async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(DOCUMENT).encode()})
""",
}
# What the caller has and no check may see.
CALLER = {"SEARCH_TOKEN": "hunter2", "SEARCH_INDEX": "/dev/null", "FINDER": "the caller's"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template whose module `search` declares all that there is to declare."""
    return repository(write(tmp_path_factory.mktemp("t") / "template", FILES), tag="v1.0.0")


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A locked service with `search`. Not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    options = ("--yes", "--with", "search", "--template", template)
    run(COMMAND, "create", "shop", *options, cwd=folder)
    return folder / "shop"


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "shop"))


def test_boot_has_what_is_declared(new_service: Run, shop: Path) -> None:
    done = new_service("validate", shop, "--only", "boot", env=CALLER, check=False)

    assert done.returncode == 0, done.stdout
    assert status(shop) == []


def test_what_is_declared_to_be_unset_reaches_no_check(new_service: Run, shop: Path) -> None:
    env = CALLER | {"SEARCHING": "yes"}
    done = new_service("validate", shop, "--only", "see", "--json", env=env)

    (seen,) = json.loads(done.stdout)["checks"]
    assert seen["detail"] == "['SEARCHING']"


@pytest.mark.parametrize(
    ("key", "task", "words"),
    [
        ("before", "fail", "poe fail failed\nno index"),
        ("before", "nobody", "poe nobody failed\nError: Unrecognized task 'nobody'"),
        ("beside", "nobody", "Error: Unrecognized task 'nobody'"),
        ("before", "wait", "did not end within 5 s, and was killed"),
    ],
)
def test_a_task_that_boot_cannot_run_is_named(
    key: str, task: str, words: str, new_service: Run, shop: Path
) -> None:
    edit(shop / "pyproject.toml", f'boot.{key} = "', f'boot.{key} = "{task}" #')
    run(UV, "sync", "--quiet", "--frozen", cwd=shop)
    env = {"NEW_SERVICE_CHECK_SECONDS": "5"} if task == "wait" else {}

    done = new_service("validate", shop, "--only", "boot", "--json", env=env, check=False)

    (boot,) = json.loads(done.stdout)["checks"]
    assert (done.returncode, boot["status"]) == (1, "failed")
    assert words in boot["detail"]


INVALID = {
    "boot.before = 3": "boot.before of {} is not the name of a task.",
    'boot.beside = ["stand-in"]': "boot.beside of {} is not the name of a task.",
    "boot.variables = { PORT = 1 }": "boot.variables of {} is not a table of variables.",
    'boot.variables = { "A B" = "" }': "boot.variables of {} is not a table of variables.",
    'boot.variables = { A = "\\u0000" }': "boot.variables of {} is not a table of variables.",
    'boot.before = "--help"': "boot.before of {} is not the name of a task.",
    'unset = "SEARCH_*"': "unset of {} is not a list of names.",
    "next = [3]": "next of {} is not a list of steps.",
    'next = [{ run = "fill", to = "fill" }]': "next of {} is not a list of steps.",
    'next = [{ after = "lunch", run = "fill", to = "fill" }]': "next of {} is not a list of steps.",
    'next = [{ added = "*", deleted = "*", run = "a", to = "b" }]': "next of {} is not a list",
    'boot.befor = "fill"': "{} has an unknown key 'boot.befor'.\nhint: did you mean 'boot.before'?",
    'boot = "fill"': "{} has an unknown key 'boot'.",
}
WHERE = "[tool.new-service.modules.search] in pyproject.toml"


@pytest.mark.parametrize(("line", "words"), INVALID.items(), ids=INVALID)
def test_a_declaration_of_another_form_is_told(line: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.new-service.modules.search]\n{line}\n")

    with pytest.raises(BadInput) as told:
        Declared.by(Service(tmp_path))

    assert words.format(WHERE) in f"{told.value.message}\nhint: {told.value.hint}"


def test_nothing_is_done_by_a_declaration_of_another_form(new_service: Run, shop: Path) -> None:
    edit(shop / "pyproject.toml", '"fill it for the first time"', "1")
    commit(shop)

    told = failure(new_service("validate", cwd=shop, check=False), 2)
    refused = new_service("add", "goods", "--yes", *FAST, cwd=shop, check=False)

    assert told.startswith(f"error: next of {WHERE} is not a list of steps.\n")
    assert (refused.returncode, refused.stderr) == (2, told)
    assert status(shop) == []


def test_modules_that_are_no_tables_are_told(new_service: Run, shop: Path) -> None:
    edit(shop / "pyproject.toml", DECLARED, "[tool.new-service.modules]\nsearch = true\n")

    told = failure(new_service("validate", cwd=shop, check=False), 2)

    assert "[tool.new-service.modules] in pyproject.toml does not hold tables alone" in told


def test_nothing_is_made_of_a_template_whose_declaration_has_another_form(
    new_service: Run, template: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(template, tmp_path / "t"))
    edit(copied / "template" / "pyproject.toml.jinja", '"fill it for the first time"', "1")
    repository(copied, tag="v1.1.0")
    command = ("create", "shop", "--yes", "--no-lock", "--with", "search", "--template", copied)

    told = failure(new_service(*command, check=False), 2)

    assert f"next of {WHERE} is not a list of steps." in told
    assert [each.name for each in tmp_path.iterdir()] == ["t"]


def steps(told: str) -> list[str]:
    """The lines that name what is declared, their columns joined by one space each."""
    lines = (" ".join(line.split()) for line in told.splitlines())
    return [line for line in lines if line.startswith(("uv run poe f", "rm "))]


def test_what_is_next_is_said_as_declared(new_service: Run, template: Path, tmp_path: Path) -> None:
    options = ("--yes", "--no-lock", "--template", str(template))
    first = new_service("create", "first", *options, "--with", "search").stdout
    assert steps(first) == ["uv run poe fill fill the index"]
    assert steps(new_service("create", "shop", *options).stdout) == []

    def change(*arguments: str) -> list[str]:
        told = steps(run(COMMAND, *arguments, "--yes", *FAST, cwd=tmp_path / "shop").stdout)
        commit(tmp_path / "shop")
        return told

    assert change("add", "search") == ["uv run poe fill fill it for the first time"]
    (tmp_path / "shop" / "index.json").touch()
    commit(tmp_path / "shop")
    kept = "uv run poe fill new fill what is kept"
    assert change("add", "goods") == ["uv run poe fill all find the new ones", kept]
    (tmp_path / "shop" / "index.json").unlink()
    commit(tmp_path / "shop")
    assert change("remove", "goods") == ["uv run poe forget find the old ones no more"]
    assert change("remove", "search") == ["rm -r index forget what was found"]
    assert change("add", "goods") == []


def test_what_is_next_is_said_beside_a_conflict_in_the_declaration(
    new_service: Run, template: Path, tmp_path: Path
) -> None:
    options = ("--yes", "--no-lock", "--template", str(template))
    new_service("create", "shop", *options, "--with", "search,goods")
    shop = tmp_path / "shop"
    edit(shop / "pyproject.toml", '"fill the index"', '"fill ours"')
    commit(shop)

    done = run(COMMAND, "remove", "search", "goods", "--yes", "--allow-conflicts", *FAST, cwd=shop)

    assert "UU pyproject.toml" in status(shop)
    assert "uv run poe forget find the old ones no more" in steps(done.stdout)


def test_a_declaration_comes_beside_checks_of_the_owners(shop: Path) -> None:
    """They end where the declaration begins, two lines apart."""
    run(COMMAND, "remove", "search", "--yes", *FAST, cwd=shop)
    edit(shop / "pyproject.toml", 'checks = ["see"]', 'checks = ["see", "mine"]')
    commit(shop)

    run(COMMAND, "add", "search", "--yes", *FAST, cwd=shop)

    assert DECLARED in (shop / "pyproject.toml").read_text()
    assert 'checks = ["see", "mine"]' in (shop / "pyproject.toml").read_text()


def test_the_example_in_the_readme_is_valid(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (example,) = (each for each in readme.split("```toml\n") if "boot.before" in each)
    (tmp_path / "pyproject.toml").write_text(example.partition("```")[0])

    declared = Declared.by(Service(tmp_path))

    assert declared.before
    assert declared.beside
    assert declared.variables
    assert declared.unset
    assert [step for steps in declared.next.values() for step in steps]


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template of a commit at which no module declared anything."""
    folder = tmp_path_factory.mktemp("t") / "template"
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    git(ROOT, "archive", f"--output={archive}", SPREAD, "copier.yml", "template")
    shutil.unpack_archive(archive, folder, filter="data")
    return repository(folder, tag="v1.0.0")


def test_a_service_that_was_made_earlier_is_booted_and_told_the_same(
    early: Path, new_service: Run, tmp_path: Path
) -> None:
    answers = ("--with", "auth,celery,example", "--data", "auth_provider=oidc")
    told = new_service("create", "shop", "--yes", *answers, "--template", early).stdout
    shop = tmp_path / "shop"
    assert "new-service.modules" not in (shop / "pyproject.toml").read_text()
    assert "  uv run poe migrate     create the tables\n" in told
    servers = {
        "DATABASE_URL": "postgresql://127.0.0.1:1/ours",
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
        "AUTH_ISSUER": "http://127.0.0.1:1",
        "AUTH_AUDIENCE": "ours",
    }

    done = new_service("validate", shop, "--only", "boot", env=servers, check=False)

    assert done.returncode == 0, done.stdout
    assert not list(shop.glob("*.db"))
    assert not (shop / "data").exists()
    told = run(COMMAND, "remove", "example", "--yes", *FAST, cwd=shop).stdout
    assert "uv run poe migration 'drop tables'" in told
    assert "that drops them, and run it" in told
