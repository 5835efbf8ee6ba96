"""What surrounds the command: variables, settings of the user's, and uv workspaces."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import COMMAND, ROOT, UV, repository, run
from new_service.system.variables import TABLE, chosen, decision
from shop import commit, edit

CONFIG = """
_subdirectory: template
_templates_suffix: .jinja
_known_good: "2024-01-01"
service_name: {type: str}
modules: {type: str, multiselect: true, default: [], choices: {"extra: more": extra}}
"""
PROJECT = """\
[project]
name = "{{ service_name }}"
version = "1"
requires-python = ">=3.11"
dependencies = ["idna"{{ ', "packaging"' if 'extra' in modules }}]

[dependency-groups]
dev = ["poethepoet"]

[tool.new-service]
checks = ["see"]

[tool.poe]
executor.type = "simple"
tasks.see.cmd = "python see.py"
"""
SEE = """\
import os, sys
import idna
assert sys.prefix == os.path.realpath(".venv"), sys.prefix
"""
# What a good day had, and no other does.
TESTED = 'name = "idna"\nversion = "3.6"'
DROPPED = {name for kind, _, names in TABLE if kind == "drop" for name in names.split()}


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template of two packages, with one check."""
    folder = tmp_path_factory.mktemp("small") / "template"
    files = folder / "template"
    files.mkdir(parents=True)
    (folder / "copier.yml").write_text(CONFIG)
    (files / "{{ _copier_conf.answers_file }}.jinja").write_text("{{ _copier_answers | to_yaml }}")
    (files / "pyproject.toml.jinja").write_text(PROJECT)
    (files / "see.py").write_text(SEE)
    (files / ".gitignore").write_text(".venv\n")
    return repository(folder, tag="v1.0.0")


@pytest.fixture(scope="session")
def made(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A locked service. Not to be changed."""
    return create(tmp_path_factory.mktemp("made"), small)


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "shop"))


def create(folder: Path, small: Path, env: dict[str, str] | None = None) -> Path:
    run(COMMAND, "create", "shop", "--yes", "--template", small, cwd=folder, env=env)
    return folder / "shop"


def validate(
    shop: Path, *options: str, env: dict[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Its checks but `boot`, which needs an application."""
    return run(COMMAND, "validate", "--skip", "boot", *options, cwd=shop, env=env, check=check)


def variables_in_help(*command: str) -> set[str]:
    """What `uv COMMAND --help` and those of the commands below say that they read."""
    said = run(UV, *command, "--help").stdout
    found = set(re.findall(r'\[env:\s+"?(\w+)=', said))
    commands = re.search(r"^Commands:\n((?:  .*\n)+)", said, re.MULTILINE)
    for name in re.findall(r"^  ([a-z]\S*)", commands[1] if commands else "", re.MULTILINE):
        if name != "help":
            found |= variables_in_help(*command, name)
    return found


def test_each_variable_that_uv_documents_has_a_decision() -> None:
    decided = {name for _, _, names in TABLE for name in names.split()}
    families = tuple(each[:-1] for each in decided if each.endswith("*") and each != "UV_*")
    listed = variables_in_help()
    assert "UV_PROJECT" in listed
    undecided = sorted(
        each for each in listed - decided if not each.startswith(families) and each != "NO_COLOR"
    )
    assert not undecided, f"add {undecided} to generator/new_service/system/variables.py"


def test_each_variable_that_points_git_at_a_repository_has_a_decision() -> None:
    local = set(run("git", "rev-parse", "--local-env-vars").stdout.split())
    settings = {"GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT"}
    assert {each for each in local if decision(each) == "pass"} == settings


def test_each_variable_of_python_that_changes_a_program_is_dropped() -> None:
    listed = set(re.findall(r"PYTHON\w+", run(sys.executable, "--help-env").stdout))
    assert "PYTHONPATH" in listed
    harmless = {each for each in listed if decision(each) == "pass"}
    assert harmless <= {
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONHASHSEED",
        "PYTHONPYCACHEPREFIX",
        "PYTHONUNBUFFERED",
        "PYTHON_COLORS",
        "PYTHON_CPU_COUNT",
    }


def test_credentials_pass_and_what_nobody_knows_does_not() -> None:
    given = {
        "UV_INDEX_OURS_PASSWORD": "x",
        "UV_NEW_THING": "x",
        "SHOP_KEY": "x",
        "https_proxy": "x",
    }
    assert chosen(given) == {"UV_INDEX_OURS_PASSWORD": "x", "SHOP_KEY": "x", "https_proxy": "x"}


def harmful(other: Path) -> dict[str, str]:
    """Every variable that is dropped, with a value that would do harm."""
    folders = ("UV_PROJECT", "UV_WORKING_DIR", "UV_WORKING_DIRECTORY", "POE_PROJECT_DIR", "GIT_DIR")
    values = {each.replace("*", "X"): "1" for each in DROPPED} | {
        "UV_PROJECT_ENVIRONMENT": str(other / "environment"),
        "VIRTUAL_ENV": str(other / "environment"),
        "UV_RESOLUTION": "lowest",
        "UV_PRERELEASE": "allow",
        "UV_FORK_STRATEGY": "fewest",
        "UV_EXCLUDE_NEWER": "2023-01-01",
        "UV_NO_GROUP": "dev",
        "UV_NO_BINARY_PACKAGE": "idna",
        "UV_COMPILE_BYTECODE_TIMEOUT": "0",
        "UV_TORCH_BACKEND": "cpu",
        "UV_ENV_FILE": str(other / "none.env"),
        "PYTHONPATH": str(other),
        "PYTHONHOME": str(other),
        "PYTHONOPTIMIZE": "2",
        "PYTHONWARNINGS": "error",
        "PYTEST_ADDOPTS": "--collect-only",
    }
    # Our own interpreter reads it before we can drop it.
    del values["PYTHONHOME"]
    return values | dict.fromkeys(folders, str(other))


def test_variables_that_choose_for_us_change_nothing(
    small: Path, made: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "pyproject.toml").write_text('[project]\nname = "other"\nversion = "1"\n')
    (other / "idna.py").write_text("raise SystemError")
    before = sorted(other.iterdir())
    env = harmful(other)

    shop = create(tmp_path, small, env)
    assert (shop / "uv.lock").read_bytes() == (made / "uv.lock").read_bytes()
    validate(shop, env=env)
    told = run(COMMAND, "add", "extra", "--json", cwd=shop, env=env).stdout
    assert json.loads(told)["locked"]
    validate(shop, env=env)
    edit(shop / "pyproject.toml", '"idna"', '"idna", "tomli"')
    assert "uv.lock is not in step" in validate(shop, env=env, check=False).stdout
    assert sorted(other.iterdir()) == before


def test_an_environment_of_the_user_is_left_alone(shop: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    run(UV, "venv", "--quiet", environment)
    tool = installed(environment)
    validate(shop, env={"UV_PROJECT_ENVIRONMENT": str(environment)})
    assert tool.is_dir()


def installed(environment: Path) -> Path:
    """The files of a package that no lock has."""
    (site,) = environment.glob("lib/python*/site-packages")
    info = site / "tool-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tool\nVersion: 1\n")
    (info / "RECORD").write_text("tool-1.dist-info/METADATA,,\ntool-1.dist-info/RECORD,,\n")
    return info


def test_the_environment_in_which_we_run_is_left_alone(shop: Path) -> None:
    run(UV, "venv", "--quiet", "--python", sys.executable, ".venv", cwd=shop)
    tool = installed(shop / ".venv")
    ours = "\n".join(each for each in sys.path if each.endswith("site-packages"))
    (tool.parent / "ours.pth").write_text(f"{ROOT / 'generator'}\n{ours}\n")
    python = shop / ".venv" / "bin" / "python"
    command = (python, "-m", "new_service.cli", "validate", "--only", "see")
    done = run(*command, cwd=shop, check=False)
    assert "AssertionError" in done.stdout  # an environment of its own, and not `.venv`
    assert tool.is_dir()
    (shop / "see.py").write_text("import idna\n")
    run(*command, cwd=shop)
    assert tool.is_dir()


def test_a_uv_that_is_too_old_is_not_used(small: Path, tmp_path: Path) -> None:
    old = tmp_path / "bin" / "uv"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho uv 0.4.30\n")
    old.chmod(0o755)
    path = f"{old.parent}{os.pathsep}{os.environ['PATH']}"
    shop = create(tmp_path, small, {"PATH": path})
    assert TESTED in (shop / "uv.lock").read_text()


def settings(folder: Path, text: str) -> dict[str, str]:
    """The variable that makes `text` the user's own settings of uv."""
    (folder / "uv").mkdir()
    (folder / "uv" / "uv.toml").write_text(text)
    return {"XDG_CONFIG_HOME": str(folder)}


def test_a_user_who_waits_for_packages_gets_the_tested_ones(
    small: Path, made: Path, tmp_path: Path
) -> None:
    env = settings(tmp_path, 'exclude-newer = "14 days"\n')
    shop = create(tmp_path, small, env)
    assert (shop / "uv.lock").read_bytes() == (made / "uv.lock").read_bytes()
    validate(shop, env=env)
    told = json.loads(run(COMMAND, "add", "extra", "--json", cwd=shop, env=env).stdout)
    assert told["locked"]
    assert "exclude-newer" not in (shop / "uv.lock").read_text()
    assert TESTED in (shop / "uv.lock").read_text()
    validate(shop, env=env)


def test_the_indexes_of_a_user_are_used(small: Path, tmp_path: Path) -> None:
    index = '[[index]]\nurl = "https://127.0.0.1:9/simple"\ndefault = true\n'
    env = settings(tmp_path, f'exclude-newer = "14 days"\n{index}') | {"UV_HTTP_RETRIES": "0"}
    done = run(COMMAND, "create", "shop", "--yes", "--template", small, cwd=tmp_path, env=env)
    assert "https://127.0.0.1:9/simple" in done.stdout
    assert not (tmp_path / "shop" / "uv.lock").exists()


def test_a_cut_off_for_one_package_that_prevents_the_lock_is_named(
    small: Path, tmp_path: Path
) -> None:
    env = settings(tmp_path, 'exclude-newer-package = { idna = "2010-01-01" }\n')
    done = run(COMMAND, "create", "shop", "--yes", "--template", small, cwd=tmp_path, env=env)
    assert "exclude-newer-package" in done.stdout
    assert not (tmp_path / "shop" / "uv.lock").exists()


def test_settings_of_the_user_that_a_lock_has_are_named(small: Path, tmp_path: Path) -> None:
    env = settings(tmp_path, 'fork-strategy = "fewest"\n')
    done = run(COMMAND, "create", "shop", "--yes", "--template", small, cwd=tmp_path, env=env)
    assert "with your own uv settings: fork-strategy" in done.stdout


def test_the_cut_off_of_a_service_stays(shop: Path) -> None:
    with (shop / "pyproject.toml").open("a") as project:
        project.write('\n[tool.uv]\nexclude-newer = "2024-02-01T00:00:00Z"\n')
    run(UV, "lock", "--quiet", cwd=shop)
    commit(shop)
    validate(shop)
    done = run(COMMAND, "add", "extra", cwd=shop)
    assert "your own" not in done.stdout
    assert "exclude-newer" in (shop / "uv.lock").read_text()
    validate(shop)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A repository with a workspace, which has an application of its own."""
    folder = tmp_path / "work space"
    (folder / "services").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "all"\nversion = "1"\nrequires-python = ">=3.11"\n'
        '[tool.uv.workspace]\nmembers = ["services/*"]\nexclude = ["services/apart"]\n'
    )
    return repository(folder)


def test_a_service_in_a_workspace_is_locked_by_the_workspace(workspace: Path, small: Path) -> None:
    services = workspace / "services"
    options = ("--yes", "--json", "--template", str(small))
    done = run(COMMAND, "create", "shop", *options, cwd=services)
    shop = services / "shop"
    assert json.loads(done.stdout)["locked"] is False
    (command,) = re.findall(r"lock its workspace with: (.+)", done.stderr)
    assert not (shop / "uv.lock").exists()
    assert f"make it with: {command}/.." in validate(shop, check=False).stdout

    run(*uv(command), cwd=services)
    assert (workspace / "uv.lock").is_file()
    before = {each.name for each in workspace.iterdir()}
    validate(shop)
    assert {each.name for each in workspace.iterdir()} == before  # no `.venv` of all members
    commit(workspace)

    done = run(COMMAND, "add", "extra", "--json", cwd=shop)
    assert json.loads(done.stdout)["locked"] is False
    assert [each["name"] for each in json.loads(done.stdout)["checks"]] == ["provenance", "residue"]
    (command,) = re.findall(r"lock its workspace with: (.+)", done.stderr)
    assert "uv.lock is not in step" in validate(shop, check=False).stdout
    run(*uv(command), cwd=shop)
    validate(shop)


def uv(command: str) -> list[str]:
    """The words of a command that was printed, for the uv that is here."""
    first, *rest = shlex.split(command)
    assert first == "uv"
    return [UV, *rest]


def test_a_service_that_a_workspace_excludes_has_a_lock(workspace: Path, small: Path) -> None:
    options = ("--yes", "--template", str(small))
    run(COMMAND, "create", "apart", *options, cwd=workspace / "services")
    assert TESTED in (workspace / "services" / "apart" / "uv.lock").read_text()
    validate(workspace / "services" / "apart")
    assert not (workspace / "uv.lock").exists()


def test_the_lock_of_another_workspace_is_never_written(workspace: Path, small: Path) -> None:
    """Even where the folder in which a service is made, beside its own, is a member."""
    edit(workspace / "pyproject.toml", "services/*", "services/**")
    options = ("--yes", "--template", str(small))
    done = run(COMMAND, "create", "apart", *options, cwd=workspace / "services")
    assert "not locked, run `uv lock` later" in done.stdout
    assert not list(workspace.rglob("uv.lock"))
