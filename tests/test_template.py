"""The template as it is, and what it renders."""

import re
from pathlib import Path

import pytest
from copier import run_copy
from pytest_copier.plugin import CopierFixture

from conftest import ROOT, UV, Run, clean_environment, rendered_files, run
from new_service.template import configuration

TEMPLATE = ROOT / "template"
CONDITION = re.compile(r"\{%-?\s*(?:if|elif)\b|\{\{[^}]*\bif\b[^}]*\}\}")
MAY_BRANCH = {
    "pyproject.toml.jinja",
    "compose.yaml.jinja",
    "ci.yaml.jinja",
    ".gitlab-ci.yml.jinja",
    ".env.example.jinja",
    "README.md.jinja",
}


def template_files() -> list[Path]:
    listed = run(
        "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=TEMPLATE
    )
    return [TEMPLATE / name for name in listed.stdout.split("\0") if name]


def conditions(path: Path) -> int:
    return len(CONDITION.findall(path.read_text("utf-8")))


def is_rendered(path: Path) -> bool:
    """Whether it is a file of services, not a part of one or what is known of a module."""
    inside = path.relative_to(TEMPLATE).parts
    return "parts" not in inside and path.name not in {"module.yml", "for-tests.yml"}


def test_conditions_stay_within_their_budget() -> None:
    counts = {path: conditions(path) for path in template_files()}

    assert sum(counts.values()) <= 30
    assert max(counts.values()) <= 8


def test_only_files_that_may_branch_do() -> None:
    branching = {path for path in template_files() if conditions(path)}

    assert {path.name for path in branching if is_rendered(path)} <= MAY_BRANCH
    assert not [path for path in branching if ".py" in path.suffixes]


def test_the_suffix_stands_only_on_files_that_contain_jinja() -> None:
    for path in template_files():
        if not is_rendered(path):
            continue
        has_jinja = re.search(r"\{\{|\{%", path.read_text("utf-8")) is not None
        assert has_jinja == (path.suffix == ".jinja"), path


def test_the_template_needs_no_trust() -> None:
    config = configuration.read((ROOT / "copier.yml").read_text("utf-8"), ROOT)

    assert not {"_tasks", "_migrations", "_jinja_extensions"} & config.keys()


def test_plain_copier_copy_gives_the_same_files(
    template: Path, new_service: Run, tmp_path: Path
) -> None:
    answers = {"service_name": "orders-api", "description": "Takes and tracks orders"}
    new_service(
        "create", "orders-api", "--yes", "--no-lock", "--no-git",
        "--data", "description=Takes and tracks orders",
    )  # fmt: skip
    run_copy(str(template), tmp_path / "plain", dict(answers), defaults=True, quiet=True)

    assert rendered_files(tmp_path / "plain") == rendered_files(tmp_path / "orders-api")


def test_nothing_of_the_template_is_left(service: Path) -> None:
    for name, content in rendered_files(service).items():
        if name.startswith("src") and "__pycache__" in name:
            continue
        assert not name.endswith(".jinja")
        assert "{{" not in name
        if not name.endswith((".pyc", ".js", ".css")):
            assert b"{{" not in content.replace(b"${{", b""), name  # those are GitHub's
            assert b"{%" not in content, name


def test_no_folder_is_empty(copier: CopierFixture, tmp_path: Path) -> None:
    copier.copy(tmp_path / "service", service_name="orders-api")
    folders = [path for path in (tmp_path / "service").rglob("*") if path.is_dir()]

    assert folders
    assert all(any(folder.iterdir()) for folder in folders)


def test_rendering_twice_gives_the_same_bytes(template: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        data = {"service_name": "orders-api"}
        run_copy(str(template), tmp_path / folder, data, defaults=True, quiet=True)

    assert rendered_files(tmp_path / "one") == rendered_files(tmp_path / "two")


@pytest.mark.parametrize("provider", ["accounts", "oidc"])
@pytest.mark.parametrize(
    ("name", "python"), [("a", "3.11"), ("zebra-crossing", "3.15"), ("x" * 50, "3.13")]
)
def test_a_service_of_any_name_is_formatted_and_linted(
    name: str, python: str, provider: str, new_service: Run, service: Path, tmp_path: Path
) -> None:
    everything = ("--preset", "full", "--data", f"auth_provider={provider}")
    version = ("--data", f"python_version={python}")
    new_service("create", name, "--yes", "--no-lock", "--no-git", *everything, *version)
    ruff = service / ".venv" / "bin" / "ruff"

    run(ruff, "format", "--check", cwd=tmp_path / name)
    run(ruff, "check", cwd=tmp_path / name)


def test_a_fresh_clone_without_environment_file_passes_its_checks(
    service: Path, tmp_path: Path
) -> None:
    run("git", "clone", "--quiet", service, tmp_path / "clone")

    assert not (tmp_path / "clone" / ".env").exists()
    run(UV, "run", "--frozen", "poe", "check", cwd=tmp_path / "clone")


def test_importing_a_service_warns_of_nothing(service: Path) -> None:
    python = service / ".venv" / "bin" / "python"

    run(python, "-W", "error", "-c", "import orders_api.main", cwd=service)


def test_a_wrong_setting_stops_the_start_in_words(service: Path) -> None:
    python = service / ".venv" / "bin" / "python"
    command = (python, "-m", "uvicorn", "orders_api.main:app", "--port", "0")
    stopped = run(*command, cwd=service, env={"APP_LOG_LEVEL": "loud"}, check=False)

    assert stopped.returncode != 0
    assert "APP_LOG_LEVEL" in stopped.stderr
    assert "Traceback" not in stopped.stderr


def test_environment_of_tests_holds_no_setting_of_a_service() -> None:
    assert not [name for name in clean_environment() if name.startswith("APP_")]
