"""Faults in what services and templates hold: each is told in words, and blamed on its cause."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import tiny
from conftest import COMMAND, Run, repository, run
from shop import FAST, commit, failure, git, status
from test_platforms import programs

DEEP = {"most": "[" * 600 + "]" * 600, "too much": "[" * 5000 + "]" * 5000}
IDENTITY = {
    f"GIT_{who}_{what}": "t@localhost"
    for who in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}
CREATE = ("create", "orders-api", "--yes", "--no-lock", "--no-git")


def template_with(tmp_path: Path, config: str, files: dict[str, bytes]) -> Path:
    folder = tiny.write(tmp_path / "faulty", tiny.FILES)
    with (folder / "copier.yml").open("a") as file:
        file.write(f"{config}\n")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return repository(folder)


@pytest.mark.parametrize(
    ("config", "files"),
    [
        ('port: {type: int, default: "http"}', {}),
        ('names: {type: yaml, default: "["}', {}),
        ('names: {type: json, default: "{"}', {}),
        ("key: {type: str, secret: true}", {}),
        ("port: {type: strange, default: 1}", {}),
        ('colours: {type: str, default: "{{ 1 / 0 }}"}\nlast: {type: str, default: x}', {}),
        ("shade: {type: str, choices: [{a: {b: c}}]}", {}),
        ("shade: {type: str, choices: [[a]]}", {}),
        ("_envops: 3", {}),
        ("_skip_if_exists: 3", {}),
        ('_exclude: ["a[z-a]"]', {}),
        (f"names: {{type: yaml, default: {DEEP['most']}}}", {}),
        (f"names: {{type: yaml, default: {DEEP['too much']}}}", {}),
        ("", {"template/latin.txt.jinja": b"caf\xe9 {{ service_name }}\n"}),
    ],
)
def test_a_fault_of_a_template_is_not_blamed_on_an_answer(
    config: str, files: dict[str, bytes], tmp_path: Path
) -> None:
    template = template_with(tmp_path, config, files)
    refused = run(COMMAND, *CREATE, "--template", template, cwd=tmp_path, check=False)

    said = failure(refused, 4)
    assert "the template" in said or "is not a template" in said
    assert "--data" not in said
    assert not (tmp_path / "orders-api").exists()


@pytest.mark.parametrize(
    ("question", "answer", "words"),
    [
        ("port: {type: int, default: 1}", "port=http", "give port a whole number."),
        ("port: {default: 1}", "port=http", "give port a whole number."),
        ("ratio: {type: float, default: 1}", "ratio=much", "give ratio a number."),
        ('names: {type: yaml, default: "[]"}', "names=[", "give names YAML."),
        ('names: {type: yaml, default: "[]"}', f"names={DEEP['too much']}", "give names YAML."),
        ('names: {type: yaml, default: "[]"}', f"names={DEEP['most']}", "give names YAML."),
        ('names: {type: json, default: "[]"}', "names={", "give names JSON."),
        ('names: {type: json, default: "[]"}', f"names={DEEP['too much']}", "give names JSON."),
        ("port: {type: int, default: 1, validator: '{% if port > 9 %}No. Less.{% endif %}'}",
         "port=10", "error: No.\nhint: Less.\n"),
    ],
)  # fmt: skip
def test_an_answer_of_another_type_is_named(
    question: str, answer: str, words: str, tmp_path: Path
) -> None:
    template = template_with(tmp_path, question, {})
    options = ("--template", str(template), "--data", answer)
    refused = run(COMMAND, *CREATE, *options, cwd=tmp_path, check=False)

    assert words in failure(refused, 2)


def test_a_text_may_look_like_anything(tmp_path: Path) -> None:
    template = template_with(tmp_path, "slogan: {default: none}", {})
    options = ("--template", str(template), "--data", "slogan=[ {")
    run(COMMAND, *CREATE, *options, cwd=tmp_path)

    assert tiny.recorded(tmp_path / "orders-api")["slogan"] == "[ {"


@pytest.fixture
def asks_origin(tmp_path: Path) -> Path:
    """A service that has its template's version in a file."""
    files = {"template/origin.txt.jinja": b"{{ _copier_answers._commit }}\n"}
    template = template_with(tmp_path, "", files)
    run(COMMAND, *CREATE, "--template", template, cwd=tmp_path)
    return tmp_path / "orders-api"


def failing_git(folder: Path, case: str, code: int) -> dict[str, str]:
    """A git that fails where a word of the command is one of `case`."""
    refuses = f'for word; do case "$word" in {case}) exit {code};; esac; done'
    script = f'{refuses}; exec {shutil.which("git")} "$@"'
    path = programs(folder, git=script)["PATH"]
    return {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"}


def test_a_git_without_perls_patterns_finds_no_drift(asks_origin: Path, tmp_path: Path) -> None:
    path = failing_git(tmp_path / "git", "-P|--perl-regexp", 128)
    told = run(COMMAND, "status", asks_origin, "--json", env=path)

    assert json.loads(told.stdout)["services"][0]["modified"] == []


def test_a_search_that_fails_is_not_taken_for_one_that_finds_nothing(
    asks_origin: Path, tmp_path: Path
) -> None:
    path = failing_git(tmp_path / "git", "grep", 128)
    refused = run(COMMAND, "status", asks_origin, env=path, check=False)

    assert "git failed: " in failure(refused, 2)


LATIN = b"# caf\xe9\nSHOP_NAME=caf\xe9\n"


def test_variables_of_any_encoding_move_along(change: Run, shop: Path) -> None:
    with (shop / ".env.example").open("ab") as example:
        example.write(LATIN)
    commit(shop)
    change("add", "database")

    assert b"SHOP_NAME=caf\xe9\n" in (shop / ".env").read_bytes()
    assert b"DATABASE_URL=" in (shop / ".env.example").read_bytes()
    assert not (shop / ".git" / "new-service").exists()
    told = run(COMMAND, "validate", shop, "--only", "boot", check=False)
    assert "there is no uv.lock" in told.stdout  # and no traceback


def test_a_template_may_have_variables_of_any_encoding(tmp_path: Path) -> None:
    template = template_with(tmp_path, "", {"template/.env.example": LATIN + b"K=  # generate\n"})
    run(COMMAND, *CREATE, "--template", template, cwd=tmp_path)

    assert LATIN in (tmp_path / "orders-api" / ".env").read_bytes()


CONFLICT = "<<<<<<< ours\nversion = 1\n=======\nversion = 2\n>>>>>>> theirs\n"


@pytest.mark.parametrize(
    ("lock", "words"),
    [
        (CONFLICT.encode(), "uv.lock cannot be read"),
        (b"version = 1\n", "it lists no packages"),
        (b"# caf\xe9\n", "uv.lock cannot be read"),
        (f"version = {DEEP['too much']}\n".encode(), "nested too deeply"),
    ],
    ids=["conflict", "no lock", "latin", "deep"],
)
def test_a_broken_lock_is_told_and_stops_nothing(lock: bytes, words: str, shop: Path) -> None:
    (shop / "uv.lock").write_bytes(lock)
    git(shop, "add", "--force", "uv.lock")
    commit(shop)
    told = run(COMMAND, "add", "database", "--no-check", "--project", shop).stdout

    assert words in told
    assert "not locked, run `uv lock` later" in told
    assert (shop / "uv.lock").read_bytes() == lock
    assert "A  src/shop/database/session.py" in status(shop)


def damage(service: Path, kind: str) -> None:
    """Make a service one that cannot be read."""
    answers, project = service / ".copier-answers.yml", service / "pyproject.toml"
    match kind:
        case "deep answers":
            answers.write_text(f"{answers.read_text()}resources: {DEEP['most']}\n")
        case "deepest answers":
            answers.write_text(f"{answers.read_text()}resources: {DEEP['too much']}\n")
        case "deep project":
            project.write_text(f"{project.read_text()}[x]\ny = {DEEP['too much']}\n")
        case "latin answers":
            answers.write_bytes(answers.read_bytes() + b"# caf\xe9\n")
        case "latin project":
            project.write_bytes(project.read_bytes() + b"# caf\xe9\n")
        case "folder":
            project.unlink()
            project.mkdir()
        case "git":
            shutil.rmtree(service / ".git")
            (service / ".git").write_text("nonsense\n")
        case "index":
            (service / ".git" / "index").write_bytes(b"nonsense")
            (service / "README.md").unlink()
        case "loop":
            shutil.rmtree(service)
            service.symlink_to(service)


KINDS = (
    *("deep answers", "deepest answers", "deep project", "latin answers", "latin project"),
    *("folder", "git", "index", "loop"),
)


def test_one_of_a_fleet_that_cannot_be_read_is_a_row(shop: Path, tmp_path: Path) -> None:
    folders = [Path(shutil.copytree(shop, tmp_path / kind.replace(" ", "-"))) for kind in KINDS]
    for folder, kind in zip(folders, KINDS, strict=True):
        damage(folder, kind)
    done = run(COMMAND, "status", *folders, shop, "--json", "--check", check=False)

    *broken, well = json.loads(done.stdout)["services"]
    assert all(row["error"] for row in broken), broken
    assert (well["error"], well["modified"]) == (None, [])
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_service_that_cannot_be_read_is_not_changed(kind: str, shop: Path) -> None:
    damage(shop, kind)
    if kind not in ("git", "index", "loop"):
        commit(shop)
    refused = run(COMMAND, "update", *FAST, "--project", shop, check=False)

    failure(refused, 2)


def printed(output: str, word: str) -> str:
    """The command among the next steps that has `word`."""
    (line,) = (
        line for line in output.splitlines() if line.startswith(("  git", "  uv")) and word in line
    )
    return line.strip().split("   ")[0]


@pytest.mark.parametrize("where", ["services/our shop", "services/our shop/src", ".", ".."])
def test_what_is_printed_leaves_other_work_in_the_repository_alone(
    where: str, shop: Path, tmp_path: Path
) -> None:
    root = repository(tiny.write(tmp_path / "mono", {"other.txt": "1\n", "staged.txt": "1\n"}))
    service = root / "services" / "our shop"
    shutil.copytree(shop, service, ignore=shutil.ignore_patterns(".git"))
    commit(root)
    tiny.write(root, {"other.txt": "2\n", "staged.txt": "2\n", "untracked.txt": "2\n"})
    git(root, "add", "staged.txt")
    before = status(root)
    add = (COMMAND, "add", "database", *FAST, "--project", service)
    said = run(*add, cwd=root / where).stdout
    run("sh", "-ec", printed(said, " diff "), cwd=root / where)
    run("sh", "-ec", printed(said, " restore "), cwd=root / where)

    assert status(root) == before
    assert not (service / "src" / "shop" / "database").exists()

    said = run(*add, cwd=root / where).stdout
    run("sh", "-ec", printed(said, " commit "), cwd=root / where, env=IDENTITY)
    assert status(root) == before
    assert all(
        each.startswith("services/our shop/")
        for each in git(root, "show", "--format=", "--name-only", "-z").rstrip("\0").split("\0")
    )


def test_a_change_with_conflicts_can_be_taken_back(shop: Path) -> None:
    with (shop / "src" / "shop" / "settings.py").open("a") as settings:
        settings.write("\nOURS = 1\n")
    commit(shop)
    said = run(COMMAND, "update", "--allow-conflicts", *FAST, cwd=shop).stdout
    assert any(line.startswith("UU") for line in status(shop))
    run("sh", "-ec", printed(said, " restore "), cwd=shop)

    assert status(shop) == []
