"""Repositories around a service: what they ignore, hide or refuse; and names that clash."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import COMMAND, Required, Run, copy_template, repository, run
from shop import FAST, commit, create, failure, git, status

MARKER = "<<<<<<< before updating\n"
CREATE = ("create", "orders-api", "--yes", "--no-lock")


def init(folder: Path) -> Path:
    """An empty repository."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


@pytest.fixture
def within(made: Path, tmp_path: Path) -> Path:
    """The service in a larger repository, not committed yet."""
    repository = init(tmp_path / "mono")
    (repository / "other" / "deep").mkdir(parents=True)
    (repository / "other" / "deep" / "file").touch()
    place = repository / "services" / "shop"
    return Path(shutil.copytree(made, place, ignore=shutil.ignore_patterns(".git")))


def residue(service: Path) -> str:
    """What the check finds; empty if it passes."""
    done = run(COMMAND, "validate", "--only", "residue", "--json", cwd=service, check=False)
    (result,) = json.loads(done.stdout)["checks"]
    assert done.returncode == (1 if result["status"] == "failed" else 0)
    return str(result["detail"])


def leftovers(service: Path) -> object:
    document = json.loads(run(COMMAND, "status", "--json", service).stdout)
    return document["services"][0]["leftovers"]


@pytest.mark.parametrize("rule", ["services/", "*", "docs/", "*.py"])
def test_residue_is_found_in_what_the_repository_around_ignores(within: Path, rule: str) -> None:
    (within.parents[1] / ".gitignore").write_text(f"{rule}\n")
    assert residue(within) == ""
    file = within / "src" / "shop" / "docs" / "router.py"
    file.write_text(MARKER)

    assert residue(within) == "src/shop/docs/router.py:1: conflict marker <<<<<<<"
    assert leftovers(within) == ["src/shop/docs/router.py"]


@pytest.mark.parametrize("around", ["one that ignores it", "none"])
def test_residue_is_not_looked_for_in_what_belongs_to_tools_and_data(
    within: Path, around: str
) -> None:
    root = within.parents[1]
    (root / ".gitignore").write_text("services/\n" if around == "one that ignores it" else "")
    if around == "none":
        shutil.rmtree(root / ".git")
    # The service ignores the first two itself, the third is like those.
    for folder in ("data", ".venv", "node_modules/deep"):
        (within / folder).mkdir(parents=True)
        (within / folder / "file.py").write_text(MARKER)

    assert residue(within) == ""
    (within / "own.py").write_text(MARKER)
    assert residue(within) == "own.py:1: conflict marker <<<<<<<"


def test_residue_is_found_in_what_is_tracked_although_ignored(within: Path) -> None:
    (within / "data").mkdir()
    (within / "data" / "seed.txt").write_text(MARKER)
    assert residue(within) == ""

    git(within, "add", "--force", "data")

    assert residue(within) == "data/seed.txt:1: conflict marker <<<<<<<"


# What is sparse, and what is refused.


def committed(within: Path) -> Path:
    """The service with all that is around it committed."""
    commit(within.parents[1])
    return within


@pytest.mark.parametrize("options", [["--no-cone"], ["--cone", "--sparse-index"]], ids=" ".join)
def test_a_sparse_working_tree_that_has_the_service_is_like_any_other(
    within: Path, options: list[str]
) -> None:
    root = committed(within).parents[1]
    git(root, "sparse-checkout", "set", *options, "services/shop")
    assert not (root / "other").exists()

    run(COMMAND, "add", "example", *FAST, "--yes", cwd=within)

    assert (within / "src" / "shop" / "items" / "router.py").is_file()
    assert {line[:2] for line in status(root)} == {"A ", "M "}
    commit(root)
    assert not (root / "other").exists()
    assert "other/deep/file" in git(root, "ls-tree", "-r", "--name-only", "HEAD").split()


def test_new_folders_come_although_no_pattern_of_a_sparse_working_tree_has_them(
    within: Path,
) -> None:
    root = committed(within).parents[1]
    folders = {str(each.parent) for each in within.rglob("*") if each.is_file()}
    patterns = [f"/{Path(each).relative_to(root)}/*" for each in folders]
    # Each folder without those in it.
    git(root, "sparse-checkout", "set", "--no-cone", *patterns, "!/services/shop/src/shop/*/")
    git(
        root,
        "sparse-checkout",
        "add",
        "/services/shop/src/shop/docs/",
        "/services/shop/src/shop/health/",
    )
    assert " D" not in {line[:2] for line in status(root)}

    run(COMMAND, "add", "database", *FAST, cwd=within)

    assert (within / "src" / "shop" / "database" / "session.py").is_file()
    assert {line[:2] for line in status(root)} == {"A ", "M "}


def test_a_sparse_working_tree_without_a_part_of_the_service_is_refused(within: Path) -> None:
    root = committed(within).parents[1]
    git(root, "sparse-checkout", "set", "services/shop/src")
    assert not (within / "tests").exists()
    before = git(root, "ls-files", "--stage")

    done = run(COMMAND, "update", *FAST, cwd=within, check=False)

    said = failure(done, 2)
    assert "the working tree is sparse" in said
    assert "tests/" in said
    assert (status(root), git(root, "ls-files", "--stage")) == ([], before)


def test_a_service_whose_answers_a_sparse_working_tree_leaves_out_is_refused(within: Path) -> None:
    root = committed(within).parents[1]
    git(root, "sparse-checkout", "set", "--no-cone", "services/shop/src/")

    done = run(COMMAND, "update", *FAST, cwd=within / "src", check=False)

    assert "the working tree is sparse" in failure(done, 2)


def test_what_a_sparse_working_tree_leaves_out_is_not_called_deleted(within: Path) -> None:
    root = committed(within).parents[1]
    git(root, "sparse-checkout", "set", "services/shop/src")
    (within / "README.md").unlink()

    document = json.loads(run(COMMAND, "status", "--json", within).stdout)

    assert document["services"][0]["deleted"] == ["README.md"]


def test_a_file_that_git_is_told_to_skip_keeps_its_edits(shop: Path) -> None:
    settings = shop / "src" / "shop" / "settings.py"
    git(shop, "update-index", "--skip-worktree", "src/shop/settings.py")
    settings.write_text("MINE = 1\n")

    done = run(COMMAND, "update", *FAST, cwd=shop, check=False)

    assert "src/shop/settings.py" in failure(done, 2)
    assert settings.read_text() == "MINE = 1\n"


def test_a_file_that_git_is_told_not_to_look_at_keeps_its_edits(shop: Path) -> None:
    settings = shop / "src" / "shop" / "settings.py"
    git(shop, "update-index", "--assume-unchanged", "src/shop/settings.py")
    settings.write_text("MINE = 1\n")

    done = run(COMMAND, "update", *FAST, cwd=shop, check=False)

    assert "settings.py" in done.stderr
    assert done.returncode == 2
    assert settings.read_text() == "MINE = 1\n"


# What is ignored by whom.

RULES = """# of the whole company
docs/
*.lock
.env*
"""


def ignored(document: str) -> dict[str, str]:
    return {each["path"]: each["rule"] for each in json.loads(document)["ignored"]}


@pytest.mark.parametrize("where", [".gitignore", ".git/info/exclude", "core.excludesFile"])
def test_create_tells_what_the_repository_around_ignores(
    new_service: Run, tmp_path: Path, where: str
) -> None:
    root = init(tmp_path / "mono")
    file = tmp_path / "mine" if where == "core.excludesFile" else root / where
    file.write_text(RULES)
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\nexcludesFile = {tmp_path / 'mine'}\n")
    env = {"GIT_CONFIG_GLOBAL": str(config)}

    done = new_service(*CREATE, "--json", cwd=root, env=env)

    found = ignored(done.stdout)
    name = str(file) if where == "core.excludesFile" else where
    assert found["src/orders_api/docs/pages.py"] == f"{name}:2:docs/"
    assert found[".env.example"] == f"{name}:4:.env*"
    assert ".env" not in found, "it is ignored as it should be"
    assert f"      {name}:4:.env*\n        .env.example\n" in done.stderr
    run("git", "add", "--all", cwd=root, env=env)
    added = {each.removeprefix("orders-api/") for each in git(root, "ls-files").split()}
    rendered = set(json.loads(done.stdout)["files"])
    assert rendered - added == set(found)


def test_create_tells_of_the_lock_that_is_ignored_before_it_is_made(
    new_service: Run, tmp_path: Path
) -> None:
    root = init(tmp_path / "mono")
    (root / ".gitignore").write_text(RULES)

    done = new_service("create", "orders-api", "--yes", "--dry-run", "--json", cwd=root)

    assert ignored(done.stdout)["uv.lock"] == ".gitignore:3:*.lock"


def test_create_in_an_ignored_folder_tells_so_in_few_lines(
    new_service: Run, tmp_path: Path
) -> None:
    root = init(tmp_path / "mono")
    (root / ".gitignore").write_text("/build/\n")
    (root / "build").mkdir()

    done = new_service(*CREATE, cwd=root / "build")

    assert "      .gitignore:1:/build/\n        everything\n" in done.stdout


def test_create_in_a_repository_that_ignores_nothing_of_it_warns_of_nothing(
    new_service: Run, tmp_path: Path
) -> None:
    root = init(tmp_path / "mono")
    (root / ".gitignore").write_text("docs/\n!docs/\n")

    done = new_service(*CREATE, "--json", cwd=root)

    assert ignored(done.stdout) == {}
    assert "ignored  " not in done.stderr


def test_first_commit_is_whole_whatever_a_template_of_the_users_excludes(
    new_service: Run, tmp_path: Path
) -> None:
    (tmp_path / "user" / "info").mkdir(parents=True)
    (tmp_path / "user" / "info" / "exclude").write_text("docs/\n*.toml\n")

    done = new_service(*CREATE, "--json", env={"GIT_TEMPLATE_DIR": str(tmp_path / "user")})

    document = json.loads(done.stdout)
    assert git(tmp_path / "orders-api", "ls-files").split("\n") == sorted(document["files"])
    assert document["ignored"] == []


@pytest.mark.parametrize("dry", [True, False])
def test_add_tells_what_is_ignored_and_stages_it(within: Path, *, dry: bool) -> None:
    root = within.parents[1]
    (root / ".gitignore").write_text("/services/*/src/shop/database/\n")
    git(root, "add", "--all")
    commit(root)

    options = ["--dry-run"] if dry else []
    done = run(COMMAND, "add", "database", *FAST, *options, "--json", cwd=within)

    found = ignored(done.stdout)
    assert found["src/shop/database/session.py"] == ".gitignore:1:/services/*/src/shop/database/"
    assert all(name.startswith("src/shop/database/") for name in found)
    if dry:
        assert status(root) == []
    else:
        assert "A  services/shop/src/shop/database/session.py" in status(root)


# What git refuses to read.


@pytest.fixture(params=["another user's", "configuration", ".git file", "version"])
def refused(request: pytest.FixtureRequest, within: Path, required: Required) -> Path:
    """The service in a repository that git refuses; `said` in it says with which words."""
    root = within.parents[1]
    said = {
        "another user's": "detected dubious ownership in repository",
        "configuration": "bad config line",
        ".git file": "not a git repository: /nowhere",
        "version": "Expected git repo version <= 1, found 99",
    }[request.param]
    match request.param:
        case "another user's":
            required.of(os.geteuid() == 0 or None, "only root can give files away: run it as root")
            os.chown(root, 65534, 65534)
            os.chown(root / ".git", 65534, 65534)
        case "configuration":
            (root / ".git" / "config").write_text("[core\n")
        case ".git file":
            shutil.rmtree(root / ".git")
            (root / ".git").write_text("gitdir: /nowhere\n")
        case _:
            git(root, "config", "core.repositoryFormatVersion", "99")
    (root / "said").write_text(said)
    return within


def test_a_repository_that_git_refuses_is_not_taken_for_none(
    new_service: Run, refused: Path
) -> None:
    root = refused.parents[1]
    said = (root / "said").read_text()
    before = sorted(root.iterdir())

    assert said in failure(new_service(*CREATE, cwd=root, check=False), 2)
    assert sorted(root.iterdir()) == before
    assert said in failure(new_service("add", "database", *FAST, cwd=refused, check=False), 2)
    document = json.loads(new_service("status", refused, "--json", check=False).stdout)
    assert said in document["services"][0]["error"]
    checked = new_service("validate", "--only", "residue", cwd=refused, check=False)
    assert said in checked.stdout + checked.stderr
    assert checked.returncode in {1, 2}


def test_create_without_git_asks_nothing_of_a_repository_that_git_refuses(
    new_service: Run, within: Path
) -> None:
    root = within.parents[1]
    (root / ".git" / "config").write_text("[core\n")

    new_service(*CREATE, "--no-git", cwd=root)

    assert (root / "orders-api" / "pyproject.toml").is_file()


# Names that clash.


@pytest.mark.parametrize(
    ("file", "comes", "tracked"),
    [
        ("src/shop/database.py", "src/shop/database/", True),
        ("src/shop/database.py", "src/shop/database/", False),
        ("src/shop/items.cpython-311-x86_64-linux-gnu.so", "src/shop/items/", True),
        ("tests/database.py", "tests/database/", True),
    ],
)
def test_a_module_of_the_owners_is_not_hidden_by_one_that_comes(
    shop: Path, change: Run, file: str, comes: str, *, tracked: bool
) -> None:
    (shop / file).write_text("MINE = 1\n")
    if tracked:
        commit(shop)
    else:
        (shop / ".git" / "info" / "exclude").write_text(f"{file}\n")

    done = change("add", "example", "--yes", "--json", check=False)

    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert (document["would_lose"], document["applied"]) == ([file], False)
    assert f"    {file}   {comes}\n" in done.stderr
    assert status(shop) == []


@pytest.fixture(scope="session")
def made_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service whose template makes a package of a module, and brings a module, in 1.1.0."""
    template = repository(copy_template(tmp_path_factory.mktemp("t") / "template"), tag="v1.0.0")
    package = template / "template" / "src" / "{{package}}"
    (package / "settings").mkdir()
    (package / "settings.py").rename(package / "settings" / "__init__.py")
    (package / "ledger.py").write_text("THEIRS = 1\n")
    repository(template, tag="v1.1.0")
    return create(tmp_path_factory.mktemp("made"), template, "1.0.0")


@pytest.fixture
def before(made_before: Path, tmp_path: Path) -> Path:
    """A copy of that service."""
    return Path(shutil.copytree(made_before, tmp_path / "shop"))


def update(service: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run(COMMAND, "update", *FAST, *options, "--json", cwd=service, check=False)


def test_a_template_may_make_a_package_of_its_module(before: Path) -> None:
    source = before / "src" / "shop"
    # Of one name since long, in neither's way.
    (source / "tools").mkdir()
    (source / "tools" / "__init__.py").touch()
    (source / "tools.py").touch()
    commit(before)

    done = update(before)

    assert done.returncode == 0, done.stderr
    assert (source / "settings" / "__init__.py").is_file()
    assert not (source / "settings.py").exists()


def test_an_edited_module_of_which_a_template_makes_a_package_is_a_conflict(before: Path) -> None:
    settings = before / "src" / "shop" / "settings.py"
    settings.write_text(f"{settings.read_text()}MINE = 1\n")
    commit(before)

    refused = update(before)
    assert refused.returncode == 3
    assert json.loads(refused.stdout)["would_lose"] == ["src/shop/settings.py"]
    assert "these would be deleted with your edits" in refused.stderr
    allowed = update(before, "--allow-conflicts")

    assert allowed.returncode == 0, allowed.stderr
    assert json.loads(allowed.stdout)["conflicts"] == ["src/shop/settings.py"]
    assert settings.read_text().endswith("MINE = 1\n")


@pytest.mark.parametrize("name", ["__init__.py", "deep/own.py"])
def test_a_package_of_the_owners_is_not_hidden_by_a_module_that_comes(
    before: Path, name: str
) -> None:
    own = before / "src" / "shop" / "ledger" / name
    own.parent.mkdir(parents=True)
    own.write_text("MINE = 1\n")
    commit(before)

    done = update(before, "--allow-conflicts")

    assert done.returncode == 3
    assert json.loads(done.stdout)["would_lose"] == [f"src/shop/ledger/{name}"]
    assert f"    src/shop/ledger/{name}   src/shop/ledger.py\n" in done.stderr
    assert status(before) == []


def test_a_folder_without_python_shares_its_name_with_a_module(before: Path) -> None:
    texts = before / "src" / "shop" / "ledger"
    texts.mkdir()
    (texts / "page.html").touch()
    commit(before)

    assert update(before).returncode == 0
