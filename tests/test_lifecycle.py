"""Modules come and go, and versions move on, in a service that its owner has edited."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
import yaml

from conftest import COMMAND, UV, Run, on_terminal, repository, run
from shop import FAST, commit, create, edit, failure, git, status


def add_edits(shop: Path) -> dict[str, str]:
    """What an owner does to a service with both modules: the lines, by file."""
    edits = {
        "README.md": ("# shop\n", "# shop\n\nOurs since 2026.\n"),
        "pyproject.toml": ('version = "0.1.0"', 'version = "7.0.0"'),
        "src/shop/main.py": ("def create_app", "# Ours.\ndef create_app"),
    }
    for name, (before, after) in edits.items():
        edit(shop / name, before, after)
    with (shop / "README.md").open("a") as readme:
        readme.write("\nAt the end, ours too.\n")
    commit(shop)
    return {name: after for name, (_, after) in edits.items()}


def test_what_is_added_and_removed_leaves_the_tree_as_it_was(shop: Path, change: Run) -> None:
    add_edits(shop)
    environment = (shop / ".env").read_text()
    before = git(shop, "rev-parse", "HEAD^{tree}")
    for command in (
        *("add database", "add auth", "add example"),
        *("remove auth", "remove example", "remove database"),
        *("add auth", "remove auth"),
    ):
        change(*command.split(), "--yes")
        assert "DATABASE_URL" in (shop / ".env").read_text()
        commit(shop)

    assert git(shop, "rev-parse", "HEAD^{tree}") == before
    assert (shop / ".env").read_text().startswith(environment)
    assert status(shop) == []


@pytest.mark.xdist_group("whole")
def test_every_module_comes_and_goes_in_an_edited_service_without_network(
    versions: Path, tmp_path: Path
) -> None:
    offline = {"UV_OFFLINE": "1"}
    options = ("--yes", "--template", str(versions), "--template-version", "1.0.0")
    run(COMMAND, "create", "shop", *options, cwd=tmp_path)
    shop = tmp_path / "shop"
    edits = add_edits(shop)
    run(UV, "lock", cwd=shop, env=offline)  # its version is in there
    commit(shop)
    packages = packages_of(shop)
    for command in (
        *("add database", "add example", "add auth"),
        *("remove auth", "remove example", "remove database"),
    ):
        told = run(COMMAND, *command.split(), "--json", "--yes", cwd=shop, env=offline)
        document = json.loads(told.stdout)
        assert (document["locked"], document["applied"]) == (True, True), told.stderr
        assert {each["status"] for each in document["checks"]} == {"passed"}, told.stdout
        if command == "add example":
            router = shop / "src" / "shop" / "items" / "router.py"
            edit(router, "\n\n", "\n\n# Ours.\n")
        commit(shop)
        for name, text in edits.items():
            assert text in (shop / name).read_text(), name
        only = ("--only", "format", "--only", "lint", "--only", "boot")
        run(COMMAND, "validate", *only, cwd=shop, env=offline)
        if command == "remove auth":
            assert "# Ours." in router.read_text()
            edit(router, "# Ours.\n", "")
            commit(shop)

    assert packages_of(shop) == packages


def packages_of(shop: Path) -> list[tuple[str, str]]:
    """What is locked; uv keeps splits by Python version that another package once asked for."""
    packages = tomllib.loads((shop / "uv.lock").read_text())["package"]
    return [(each["name"], each["version"]) for each in packages]


def test_needs_of_a_module_come_with_it(shop: Path, change: Run) -> None:
    told = change("add", "example").stdout

    assert "example needs database, which comes too" in told
    assert yaml.safe_load((shop / ".copier-answers.yml").read_text())["modules"] == [
        "database",
        "example",
    ]


def test_a_module_that_an_answer_needs_stays(shop: Path, change: Run) -> None:
    change("add", "database", "auth", "--yes")
    commit(shop)

    refused = failure(change("remove", "database", check=False), 2)

    assert "the module auth needs database" in refused
    assert "new-service remove auth database" in refused
    assert status(shop) == []


def test_what_is_left_to_the_owner_is_named(shop: Path, change: Run) -> None:
    assert "uv run poe migrate" in change("add", "example", "--yes").stdout
    commit(shop)
    assert "uv run poe migration 'drop tables'" in change("remove", "example").stdout


def test_the_commit_has_what_the_steps_before_it_write(shop: Path, change: Run) -> None:
    change("add", "example", "--yes")
    commit(shop)
    told = change("remove", "example").stdout
    (shop / "src/shop/database/migrations/versions/drop_tables.py").write_text("# It drops them.\n")
    (command,) = re.findall(r"git add .*-- \.", told)

    run("git", "config", "user.email", "t@localhost", cwd=shop)
    run("git", "config", "user.name", "t", cwd=shop)
    run("sh", "-c", command, cwd=shop)

    assert status(shop) == []


def test_jobs_bring_the_database_and_leave_their_table(shop: Path, change: Run) -> None:
    added = change("add", "celery", "--yes").stdout
    assert "celery needs database, which comes too" in added
    assert "uv run poe migrate" in added
    commit(shop)
    refused = failure(change("remove", "database", "--yes", check=False), 2)
    assert "the module celery needs database" in refused

    removed = change("remove", "celery", "--yes").stdout

    assert "uv run poe migration 'drop tables'" in removed
    assert "that drops them, and run it" in removed
    versions = shop / "src" / "shop" / "database" / "migrations" / "versions"
    assert (versions / "jobs_0001_create_jobs.py").is_file()
    assert not (shop / "src" / "shop" / "worker").exists()


def test_what_an_update_leaves_to_the_owner_is_that_of_the_service_as_it_then_is(
    shop: Path, change: Run
) -> None:
    change("add", "auth", "--data", "auth_provider=oidc")
    commit(shop)
    told = change("update", "--data", "auth_provider=accounts").stdout
    assert re.search(r"uv run poe migrate +bring the tables up to date\n", told)


def test_a_change_is_staged_and_its_message_suggested(shop: Path, change: Run) -> None:
    told = change("add", "database").stdout

    assert "git commit -m 'Add database'" in told
    assert git(shop, "diff") == ""
    assert git(shop, "diff", "--staged", "--name-only") != ""
    git(shop, "reset", "--hard", "--quiet")
    assert status(shop) == []


def test_environment_file_grows_at_its_end(shop: Path, change: Run) -> None:
    (shop / ".env").write_text("DATABASE_URL=sqlite:///mine.db\nSECRET=mine")
    change("add", "database")

    lines = (shop / ".env").read_text().splitlines()
    assert lines[:2] == ["DATABASE_URL=sqlite:///mine.db", "SECRET=mine"]
    assert "DATABASE_POOL_SIZE=10" in lines
    assert sum(line.startswith("DATABASE_URL") for line in lines) == 1


def test_environment_file_may_have_any_form(shop: Path, change: Run) -> None:
    mine = b"export DATABASE_URL=sqlite:///mine.db\nDATABASE_POOL_SIZE = 5\nNAME=caf\xe9\n"
    (shop / ".env").write_bytes(mine)
    change("add", "database")

    text = (shop / ".env").read_bytes()
    assert text.startswith(mine)
    assert b"DATABASE_POOL_TIMEOUT=10" in text
    assert text.count(b"DATABASE_URL") == text.count(b"DATABASE_POOL_SIZE") == 1


def test_new_secrets_are_random(shop: Path, change: Run, tmp_path: Path) -> None:
    edit(shop / "pyproject.toml", '"~=1.0"', '"~=2.0"')
    commit(shop)
    other = Path(shutil.copytree(shop, tmp_path / "other"))
    before = (shop / ".env").read_text()
    change("update")
    change("update", cwd=other)

    texts = [(each / ".env").read_text() for each in (shop, other)]
    assert all(text.startswith(before) for text in texts)
    keys = {text.partition("# Signs.\nSHOP_KEY=")[2].strip() for text in texts}
    assert len(keys) == 2
    assert all(len(key) == 64 for key in keys)


def test_findings_of_the_checks_are_told_and_change_nothing(shop: Path) -> None:
    (shop / "ours.md").write_text("{{ package }}\n")
    commit(shop)
    told = run(COMMAND, "update", "--json", "--no-lock", cwd=shop)
    document = json.loads(told.stdout)

    assert document["applied"]
    assert {each["name"]: each["status"] for each in document["checks"]} == {
        "provenance": "passed",
        "residue": "failed",
        "lock": "failed",
    }
    assert "ours.md:1: Jinja {{ package }}" in told.stderr
    assert "there is no uv.lock" in told.stderr


def test_a_module_that_another_needs_stays(shop: Path, change: Run) -> None:
    change("add", "example", "--yes")
    commit(shop)
    for force in ((), ("--force",)):
        refused = failure(change("remove", "database", *force, check=False), 2)
        assert "example needs database" in refused
        assert "new-service remove example database" in refused
    assert status(shop) == []


@pytest.fixture
def with_edited_module(shop: Path, change: Run) -> Path:
    """The service with a module, one of its files edited, one added; the path of the first."""
    change("add", "example", "--yes")
    commit(shop)
    edit(shop / "src" / "shop" / "items" / "router.py", "\n\n", "\n\n# Ours.\n")
    (shop / "src" / "shop" / "items" / "ours.py").write_text("# Ours.\n")
    commit(shop)
    return shop / "src" / "shop" / "items" / "router.py"


def test_removal_that_would_lose_edits_is_refused(
    shop: Path, change: Run, with_edited_module: Path
) -> None:
    refused = change("remove", "example", check=False)
    assert refused.returncode == 3
    assert "src/shop/items/router.py" in refused.stdout.partition("with your edits")[2]
    assert "new-service remove example --force" in refused.stdout
    document = json.loads(change("remove", "example", "--json", check=False).stdout)
    assert document["would_lose"] == ["src/shop/items/router.py"]
    assert not document["applied"]
    assert status(shop) == []

    change("remove", "example", "--force")
    assert not with_edited_module.exists()
    assert with_edited_module.with_name("ours.py").is_file()
    assert "M  src/shop/modules.py" in status(shop)


def test_edited_files_of_a_removed_module_can_stay_as_conflicts(
    shop: Path, change: Run, with_edited_module: Path
) -> None:
    change("remove", "example", "--allow-conflicts")

    assert "# Ours." in with_edited_module.read_text()
    assert "UD src/shop/items/router.py" in status(shop)
    assert not with_edited_module.with_name("service.py").exists()


def test_bytecode_of_a_removed_module_goes_with_it(shop: Path, change: Run) -> None:
    change("add", "database")
    commit(shop)
    cache = shop / "src" / "shop" / "database" / "__pycache__"
    cache.mkdir()
    (cache / "engine.cpython-311.pyc").touch()
    change("remove", "database")

    assert not (shop / "src" / "shop" / "database").exists()


def test_update_keeps_edits_and_does_what_its_dry_run_says(shop: Path, change: Run) -> None:
    edits = add_edits(shop)
    before = {path: path.read_bytes() for path in sorted(shop.rglob("*")) if path.is_file()}
    dry = json.loads(change("update", "--dry-run", "--json").stdout)
    after = {path: path.read_bytes() for path in sorted(shop.rglob("*")) if path.is_file()}
    assert after == before  # in .git, too
    assert (dry["from"], dry["to"], dry["applied"]) == ("1.0.0", "1.1.0", False)

    done = json.loads(change("update", "--json").stdout)
    assert done["changes"] == dry["changes"]
    assert done["applied"]
    marks = {"added": "A ", "modified": "M ", "deleted": "D "}
    assert status(shop) == [f"{marks[each['kind']]} {each['path']}" for each in done["changes"]]
    assert {each["path"] for each in done["changes"]} == {
        ".copier-answers.yml",
        "NOTES.md",
        "src/shop/settings.py",
    }
    for name, text in edits.items():
        assert text in (shop / name).read_text(), name


def test_update_at_the_newest_version_does_nothing(shop: Path, change: Run) -> None:
    change("update")
    commit(shop)

    assert "nothing to do: the service is at 1.1.0" in change("update").stdout
    document = json.loads(change("update", "--json").stdout)
    assert (document["applied"], document["changes"]) == (False, [])


def test_update_stays_inside_the_pin_until_that_is_moved(shop: Path, change: Run) -> None:
    refused = failure(change("update", "--to", "2.0.0", check=False), 2)
    assert "2.0.0 is outside the pin '~=1.0'" in refused
    assert 'template-version = "~=2.0"' in refused

    edit(shop / "pyproject.toml", '"~=1.0"', '"~=2.0"')
    commit(shop)
    change("update", "--to", "2.0.0")
    assert "_commit: v2.0.0" in (shop / ".copier-answers.yml").read_text()
    assert 'template-version = "~=2.0"' in (shop / "pyproject.toml").read_text()


def test_a_pin_of_the_owner_never_conflicts(shop: Path, change: Run) -> None:
    edit(shop / "pyproject.toml", '"~=1.0"', '">=1,<3"')
    commit(shop)
    change("update")

    assert "_commit: v2.0.0" in (shop / ".copier-answers.yml").read_text()
    assert 'template-version = ">=1,<3"' in (shop / "pyproject.toml").read_text()


def test_update_never_goes_back(shop: Path, change: Run) -> None:
    change("update")
    commit(shop)

    assert "1.0.0 is older" in failure(change("update", "--to", "1.0.0", check=False), 2)
    edit(shop / "pyproject.toml", '"~=1.0"', '"==1.0.0"')
    commit(shop)
    told = change("update").stdout
    assert "modified  renovate.json" in told  # which follows the pin, and nothing else does
    assert "2 modified" in told
    commit(shop)
    assert "nothing to do" in change("update").stdout


@pytest.fixture
def in_conflict(shop: Path) -> Path:
    """The service after its owner has edited what version 1.1.0 changes."""
    with (shop / "src" / "shop" / "settings.py").open("a") as settings:
        settings.write("\nOURS = 1\n")
    commit(shop)
    return shop / "src" / "shop" / "settings.py"


@pytest.mark.usefixtures("in_conflict")
def test_conflicts_are_shown_and_nothing_is_applied(shop: Path, change: Run) -> None:
    for options in ((), ("--dry-run",)):
        refused = change("update", *options, check=False)
        assert refused.returncode == 3
        assert "1 conflicts with your edits; nothing was applied" in refused.stdout
        assert re.search(
            r"settings\.py\n +you +OURS = 1\n +1\.1\.0 +# The end of the settings\.\n",
            refused.stdout,
        )
        assert "new-service update --allow-conflicts" in refused.stdout
    document = json.loads(change("update", "--json", check=False).stdout)
    assert document["conflicts"] == ["src/shop/settings.py"]
    assert status(shop) == []


def test_allowed_conflicts_come_with_markers_and_index_stages(
    shop: Path, change: Run, in_conflict: Path
) -> None:
    told = change("update", "--allow-conflicts").stdout

    assert "1 file with conflict markers" in told
    assert "UU src/shop/settings.py" in status(shop)
    stages = git(shop, "ls-files", "--unmerged", "--", "src/shop/settings.py").splitlines()
    texts = [git(shop, "cat-file", "blob", stage.split()[1]) for stage in stages]
    assert ["OURS" in text for text in texts] == [False, True, False]
    assert ["The end" in text for text in texts] == [False, False, True]
    found = run(COMMAND, "validate", "--only", "residue", cwd=shop, check=False)
    assert found.returncode == 1
    lines = in_conflict.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        if line[:7] in {"<<<<<<<", ">>>>>>>"}:
            assert f"src/shop/settings.py:{number}: conflict marker" in found.stdout
    assert "<<<<<<< before updating" in lines


def test_an_edited_file_that_the_template_deletes_is_not_lost(shop: Path, change: Run) -> None:
    change("update")
    (shop / "NOTES.md").write_text("Notes of ours.\n")
    edit(shop / "pyproject.toml", '"~=1.0"', '">=1,<3"')
    commit(shop)
    refused = change("update", check=False)
    assert refused.returncode == 3
    assert "NOTES.md" in refused.stdout.partition("with your edits")[2]

    change("update", "--allow-conflicts")
    assert (shop / "NOTES.md").read_text() == "Notes of ours.\n"
    assert "UD NOTES.md" in status(shop)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template of files that are not UTF-8 text, in two versions."""
    folder = tmp_path_factory.mktemp("pictures") / "template"
    files = folder / "template"
    files.mkdir(parents=True)
    (folder / "copier.yml").write_text(
        "_subdirectory: template\n_templates_suffix: .jinja\nservice_name: {type: str}\n"
    )
    (files / "{{ _copier_conf.answers_file }}.jinja").write_text("{{ _copier_answers | to_yaml }}")
    (files / "pyproject.toml").touch()
    for name in ("kept", "changed", "both", "theirs"):
        (files / f"{name}.bin").write_bytes(b"\0" + name.encode())
    for name in ("text", "clash"):
        (files / f"{name}.txt").write_bytes("\n".join("abcdefghij").encode())
    repository(folder, tag="v1.0.0")
    for name in ("changed", "both", "theirs"):
        (files / f"{name}.bin").write_bytes(b"\0new " + name.encode())
    for name in ("text", "clash"):
        (files / f"{name}.txt").write_bytes("\n".join("aBcdefghij").encode())
    return repository(folder, tag="v1.1.0")


def test_edits_that_are_no_utf8_text_are_not_lost(pictures: Path, tmp_path: Path) -> None:
    shop = create(tmp_path, pictures, "1.0.0")
    for name in ("kept", "both"):
        (shop / f"{name}.bin").write_bytes(b"\0ours\xff")
    (shop / "text.txt").write_bytes("\n".join("abcdefghié").encode("latin-1"))
    (shop / "clash.txt").write_bytes("\n".join("aécdefghij").encode("latin-1"))
    (shop / "added.bin").write_bytes(b"\0\xff")
    commit(shop)
    refused = run(COMMAND, "update", "--json", *FAST, cwd=shop, check=False)
    assert refused.returncode == 3
    assert json.loads(refused.stdout)["conflicts"] == ["both.bin", "clash.txt"]

    run(COMMAND, "update", "--allow-conflicts", *FAST, cwd=shop)
    assert (shop / "kept.bin").read_bytes() == b"\0ours\xff"
    assert (shop / "both.bin").read_bytes() == b"\0ours\xff"
    assert (shop / "theirs.bin").read_bytes() == b"\0new theirs"
    assert (shop / "text.txt").read_bytes() == "\n".join("aBcdefghié").encode("latin-1")
    assert (shop / "added.bin").read_bytes() == b"\0\xff"
    assert [line for line in status(shop) if line.startswith("U")] == [
        "UU both.bin",
        "UU clash.txt",
    ]


@pytest.fixture
def flavoured(versions: Path, tmp_path: Path) -> Path:
    """A service whose module `example` brings a question."""
    folder = tmp_path / "flavoured"
    folder.mkdir()
    return create(folder, versions, "2.0.0")


def test_only_questions_of_the_new_module_are_asked(flavoured: Path) -> None:
    terminal = on_terminal("add", "example", *FAST, cwd=flavoured)
    terminal.logfile_read = shown = io.StringIO()
    terminal.expect("example needs database, which comes too")
    terminal.expect("Flavour of the example")
    terminal.send("\x1b[B\r")
    terminal.expect("nothing is committed")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 0
    for other in ("What does it do", "Lowest Python version", "Service name", "? Modules"):
        assert other not in shown.getvalue()
    assert (flavoured / "FLAVOUR.md").read_text() == "salty\n"


def test_questions_of_the_new_module_are_answered_by_data_or_defaults(flavoured: Path) -> None:
    missing = run(COMMAND, "add", "database", "example", *FAST, cwd=flavoured, check=False)
    assert "without a terminal; not answered: flavour" in failure(missing, 2)
    run(COMMAND, "add", "example", "database", "--data", "flavour=salty", *FAST, cwd=flavoured)
    assert (flavoured / "FLAVOUR.md").read_text() == "salty\n"
    git(flavoured, "reset", "--hard", "--quiet")
    run(COMMAND, "add", "example", "--yes", *FAST, cwd=flavoured)
    assert (flavoured / "FLAVOUR.md").read_text() == "plain\n"
    git(flavoured, "reset", "--hard", "--quiet")

    for data, words in {
        "flavour=sour": "unknown flavour 'sour'",
        "colour=red": "there is no question 'colour'",
        "description=x": "description is answered already",
    }.items():
        refused = run(COMMAND, "add", "database", "--data", data, *FAST, cwd=flavoured, check=False)
        assert words in failure(refused, 2)


def test_removal_on_a_terminal_lists_what_goes_and_asks(shop: Path, change: Run) -> None:
    change("add", "database")
    commit(shop)
    terminal = on_terminal("remove", "database", *FAST, cwd=shop)
    terminal.expect("deleted   src/shop/database/engine.py")
    terminal.expect("Remove database")
    terminal.send("n")
    terminal.expect(pexpect.EOF)
    terminal.close()

    assert terminal.exitstatus == 1
    assert status(shop) == []
    assert not (shop / ".git" / "new-service").exists()


BAD = {
    "unknown module": ("add nope", "unknown module 'nope'", 2),
    "close to a module": ("add databse", "did you mean 'database'", 2),
    "module is there": ("add database", "has the module database already", 2),
    "module is not there": ("remove example", "does not have the module example", 2),
    "unknown version": ("update --to 9.9.9", "has no version 9.9.9", 4),
    "no range": ("update --to ~=x", "range of versions", 2),
    "no data": ("add example --data x", "has no value", 2),
}


@pytest.mark.parametrize(("command", "words", "code"), BAD.values(), ids=BAD)
def test_bad_input_changes_nothing(
    shop: Path, change: Run, command: str, words: str, code: int
) -> None:
    if "already" in words:
        change("add", "database")
        commit(shop)
    assert words in failure(change(*command.split(), check=False), code)
    assert status(shop) == []


def no_service(shop: Path) -> None:
    (shop / ".copier-answers.yml").unlink()


def no_repository(shop: Path) -> None:
    shutil.rmtree(shop / ".git")


def no_commit(shop: Path) -> None:
    shutil.rmtree(shop / ".git")
    git(shop, "init", "--quiet")


def modified(shop: Path) -> None:
    (shop / "README.md").write_text("x")


def untracked(shop: Path) -> None:
    (shop / "new file.txt").touch()


def answers(text: str) -> Callable[[Path], None]:
    def write(shop: Path) -> None:
        path = shop / ".copier-answers.yml"
        recorded = yaml.safe_load(path.read_text())
        path.write_text(text.format(src=recorded["_src_path"]))
        commit(shop)

    return write


def pin(text: str) -> Callable[[Path], None]:
    def write(shop: Path) -> None:
        edit(shop / "pyproject.toml", '"~=1.0"', f'"{text}"')
        commit(shop)

    return write


def number_as_pin(shop: Path) -> None:
    edit(shop / "pyproject.toml", '"~=1.0"', "1.0")
    commit(shop)


REST = "service_name: shop\nmodules: []\n"
BROKEN = {
    "no service": (no_service, ".copier-answers.yml", 2),
    "no repository": (no_repository, "git init", 2),
    "no commit": (no_commit, "is not committed yet", 2),
    "modified": (modified, "not clean: README.md", 2),
    "untracked": (untracked, "not clean: new file.txt", 2),
    "answers are no YAML": (answers("{{: x"), "cannot be read: line 1", 2),
    "answers name no version": (answers(REST), "does not name a template", 2),
    "version is lacking": (
        answers("_commit: v9.0.0\n_src_path: {src}\n" + REST), "upgrade new-service", 4,
    ),
    "version looks like an option": (
        answers("_commit: --upload-pack=x\n_src_path: {src}\n" + REST), "has no version", 4,
    ),
    "template is unknown": (
        answers("_commit: v1.0.0\n_src_path: /nowhere/t.git\n" + REST), "is unavailable", 4,
    ),
    "module is unknown": (
        answers("_commit: v1.0.0\n_src_path: {src}\nservice_name: shop\nmodules: [x]\n"),
        ".copier-answers.yml: unknown module 'x'", 2,
    ),
    "answer is refused": (
        answers("_commit: v1.0.0\n_src_path: {src}\nservice_name: celery\nmodules: []\n"),
        "celery", 2,
    ),
    "pin matches nothing": (pin("~=7.0"), "no version of the template matches the pin", 4),
    "pin is none": (pin("seven"), "not a range of versions", 2),
    "pin is no text": (number_as_pin, "is not text", 2),
    "version has a strange character": (
        answers('_commit: "v1.0.0\\0"\n_src_path: {src}\n' + REST), "holds no answers", 2,
    ),
    "template of an unknown user": (
        answers("_commit: v1.0.0\n_src_path: ~nobody-here/t\n" + REST), "is unavailable", 4,
    ),
    "answers have a number": (
        answers("1: x\n_commit: v1.0.0\n_src_path: {src}\n" + REST), "holds no answers", 2,
    ),
    "answers are nested": (answers("[" * 5000), "cannot be read", 2),
}  # fmt: skip


@pytest.mark.parametrize(("breaking", "words", "code"), BROKEN.values(), ids=BROKEN)
def test_a_service_that_cannot_be_changed_is_left_alone(
    shop: Path, change: Run, breaking: Callable[[Path], None], words: str, code: int
) -> None:
    breaking(shop)
    before = {path: path.read_bytes() for path in sorted(shop.rglob("*")) if path.is_file()}

    assert words in failure(change("update", check=False), code)
    index = shop / ".git" / "index"  # git itself refreshes it
    now = {path: path.read_bytes() for path in sorted(shop.rglob("*")) if path.is_file()}
    assert {**now, index: b""} == {**before, index: b""} if index.exists() else now == before


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (": database\n", ": databank\n", "unknown module 'database'"),
        (
            "{% if not description.strip() -%}",
            "{% if 'tools' in description %}No tools.{% elif not description.strip() -%}",
            "template 1.2.0 does not accept description = 'Sells tools.'",
        ),
    ],
    ids=["choice", "validator"],
)
def test_an_update_that_would_drop_an_answer_is_refused(
    before: str, after: str, words: str, versions: Path, tmp_path: Path
) -> None:
    template = Path(shutil.copytree(versions, tmp_path / "template"))
    options = ("--with", "database", "--data", "description=Sells tools.")
    shop = create(tmp_path, template, "1.0.0", *options)
    git(template, "checkout", "--quiet", "v1.1.0")
    edit(template / "copier.yml", before, after)
    repository(template, tag="v1.2.0")
    refused = run(COMMAND, "update", *FAST, cwd=shop, check=False)

    assert words in failure(refused, 2)
    assert status(shop) == []


def test_plain_copier_gives_the_same_as_update(shop: Path, change: Run, tmp_path: Path) -> None:
    add_edits(shop)
    change("add", "example", "--yes")
    commit(shop)
    other = Path(shutil.copytree(shop, tmp_path / "other"))
    change("update")
    copier = Path(sys.executable).with_name("copier")
    run(copier, "update", "--defaults", "--quiet", "--vcs-ref", "v1.1.0", cwd=other)
    git(other, "add", "--all")

    assert git(shop, "write-tree") == git(other, "write-tree")
    assert git(shop, "write-tree") != git(shop, "rev-parse", "HEAD^{tree}")


def test_lock_keeps_what_its_owner_has_locked(versions: Path, tmp_path: Path) -> None:
    options = ("--yes", "--template", str(versions), "--template-version", "1.0.0")
    run(COMMAND, "create", "shop", *options, cwd=tmp_path)
    shop = tmp_path / "shop"
    before = (shop / "uv.lock").read_text()
    told = json.loads(run(COMMAND, "add", "database", "--json", cwd=shop).stdout)

    assert told["locked"]
    run(UV, "lock", "--check", cwd=shop)
    after = (shop / "uv.lock").read_text()
    assert 'name = "sqlalchemy"' in after
    assert "exclude-newer" not in after
    assert set(re.findall(r'name = "\S+"\nversion = "\S+"', before)) <= set(
        re.findall(r'name = "\S+"\nversion = "\S+"', after)
    )


LOOSE = """
_subdirectory: template
_templates_suffix: .jinja
_known_good: "2024-01-01"
service_name: {type: str}
modules: {type: str, multiselect: true, default: [], choices: {"extra: more": extra}}
"""
LOOSE_PROJECT = """\
[project]
name = "{{ service_name }}"
version = "1"
requires-python = ">=3.11"
dependencies = ["idna"{{ ', "packaging"' if 'extra' in modules }}]
"""


@pytest.fixture(scope="session")
def loose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template whose packages have no bounds, known to be good on a day long ago."""
    folder = tmp_path_factory.mktemp("loose") / "template"
    files = folder / "template"
    files.mkdir(parents=True)
    (folder / "copier.yml").write_text(LOOSE)
    (files / "{{ _copier_conf.answers_file }}.jinja").write_text("{{ _copier_answers | to_yaml }}")
    (files / "pyproject.toml.jinja").write_text(LOOSE_PROJECT)
    return repository(folder, tag="v1.0.0")


def locked(shop: Path) -> dict[str, int]:
    """The major versions that are locked."""
    text = (shop / "uv.lock").read_text()
    return {
        name: int(major)
        for name, major in re.findall(r'name = "(\w+)"\nversion = "(\d+)', text)
        if name != "shop"
    }


def test_lock_has_what_was_there_on_the_known_good_day(loose: Path, tmp_path: Path) -> None:
    run(COMMAND, "create", "shop", "--yes", "--template", loose, cwd=tmp_path)
    shop = tmp_path / "shop"
    assert 'name = "idna"\nversion = "3.6"' in (shop / "uv.lock").read_text()
    newer = Path(shutil.copytree(shop, tmp_path / "newer"))

    run(COMMAND, "add", "extra", "--no-check", cwd=shop)
    assert locked(shop) == {"idna": 3, "packaging": 23}
    assert 'name = "idna"\nversion = "3.6"' in (shop / "uv.lock").read_text()

    run(UV, "lock", "--quiet", "--upgrade", cwd=newer)  # its owner has moved on
    commit(newer)
    own = re.findall(r'name = "idna"\nversion = "\S+"', (newer / "uv.lock").read_text())
    assert own != ['name = "idna"\nversion = "3.6"']
    run(COMMAND, "add", "extra", "--no-check", cwd=newer)
    assert own[0] in (newer / "uv.lock").read_text()
    assert locked(newer)["packaging"] > 23


def test_a_template_that_tells_its_address_and_version_is_updated_and_seen_right(
    versions: Path, tmp_path: Path
) -> None:
    template = Path(shutil.copytree(versions, tmp_path / "template"))
    for version in ("v7.0.0", "v7.1.0"):
        (template / "template" / "ORIGIN.md.jinja").write_text(
            "{{ _copier_answers._src_path }} {{ _copier_answers._commit }}\n"
        )
        (template / "template" / "CHANGES.md").write_text(f"{version}\n")
        repository(template, tag=version)
    url = "https://git.example.com/team/template.git"
    hosted = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{template}.insteadOf",
        "GIT_CONFIG_VALUE_0": url,
    }
    options = ("--yes", "--no-lock", "--template", url, "--template-version", "7.0.0")
    run(COMMAND, "create", "shop", *options, cwd=tmp_path, env=hosted)
    shop = tmp_path / "shop"
    run(COMMAND, "update", *FAST, cwd=shop, env=hosted)

    assert (shop / "ORIGIN.md").read_text() == f"{url} v7.1.0\n"
    told = run(COMMAND, "status", "--json", cwd=shop, env=hosted).stdout
    assert json.loads(told)["services"][0]["modified"] == []
