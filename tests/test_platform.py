"""What a platform team does with its copy of the template, as the README has it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import tiny
from conftest import COMMAND, clean_environment, run
from shop import FAST, commit, create, edit, failure, git, status
from test_readme import COMMANDS

TEAM = "https://git.example.com/platform/new-service.git"


def line(start: str) -> str:
    """The README's command that begins so."""
    (found,) = (str(each) for each in COMMANDS if each.startswith(start))
    return found


@pytest.fixture
def hosted(versions: Path) -> dict[str, str]:
    """Settings with which git finds the team's address in a local repository."""
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{versions}.insteadOf",
        "GIT_CONFIG_VALUE_0": TEAM,
        "PATH": f"{Path(COMMAND).parent}{os.pathsep}{clean_environment()['PATH']}",
    }


def test_a_version_is_rolled_out_over_services(hosted: dict[str, str], tmp_path: Path) -> None:
    for name in ("billing", "orders", "stock"):
        options = ("--yes", "--no-lock", "--template", TEAM, "--template-version", "~=1.0.0")
        run(COMMAND, "create", name, *options, cwd=tmp_path, env=hosted)
    with (tmp_path / "stock" / "src" / "stock" / "settings.py").open("a") as settings:
        settings.write("\nOURS = 1\n")
    commit(tmp_path / "stock")
    told = run("sh", "-c", line("new-service status */"), cwd=tmp_path, env=hosted).stdout
    rows = json.loads(told)["services"]
    assert [(row["version"], row["newest"], row["outdated"]) for row in rows] == [
        ("1.0.0", "1.1.0", True)
    ] * 3
    assert {row["template"] for row in rows} == {TEAM}

    done = run("sh", "-c", line("for service in"), cwd=tmp_path, env=hosted, check=False)
    assert done.returncode == 3  # the last one's
    decoder, rest, documents = json.JSONDecoder(), done.stdout, []
    while rest.strip():
        document, end = decoder.raw_decode(rest.lstrip())
        documents.append(document)
        rest = rest.lstrip()[end:]
    assert [each["applied"] for each in documents] == [True, True, False]
    assert documents[2]["conflicts"] == ["src/stock/settings.py"]
    assert "A  NOTES.md" in git(tmp_path / "orders", "status", "--porcelain").splitlines()


def test_a_service_moves_from_the_embedded_template_to_the_teams_and_back(
    versions: Path, hosted: dict[str, str], tmp_path: Path
) -> None:
    shop = create(tmp_path, versions, "1.0.0")
    before = (shop / ".copier-answers.yml").read_text()
    moves = line("new-service update --template ")
    run("sh", "-ec", f"{moves} {' '.join(FAST)}", cwd=shop, env=hosted)
    answers = (shop / ".copier-answers.yml").read_text()
    assert f"_src_path: {TEAM}\n" in answers
    assert "_commit: v1.1.0\n" in answers
    commit(shop)

    edit(shop / "pyproject.toml", '"~=1.0"', '"~=2.0"')
    commit(shop)
    run("sh", "-ec", f"{moves.replace(TEAM, str(versions))} {' '.join(FAST)}", cwd=shop, env=hosted)
    after = (shop / ".copier-answers.yml").read_text()
    assert after == before.replace("v1.0.0", "v2.0.0").replace("~=1.0", "~=2.0")


@pytest.fixture
def moved(shop: Path, versions: Path, tmp_path: Path) -> Path:
    """Where the template of the service `shop` is from now on; at its recorded address is none."""
    edit(shop / ".copier-answers.yml", str(versions), str(tmp_path / "gone.git"))
    commit(shop)
    assert "is unavailable" in failure(run(COMMAND, "update", *FAST, cwd=shop, check=False), 4)
    return Path(shutil.copytree(versions, tmp_path / "moved"))


def test_a_service_follows_a_template_whose_old_address_is_dead(shop: Path, moved: Path) -> None:
    update = (COMMAND, "update", *FAST, "--template", moved, "--json")
    tried = json.loads(run(*update, "--dry-run", cwd=shop).stdout)
    assert (tried["applied"], tried["from"], tried["to"]) == (False, "1.0.0", "1.1.0")
    assert status(shop) == []

    done = json.loads(run(*update, cwd=shop).stdout)
    assert done["changes"] == tried["changes"]
    assert f"_src_path: {moved}\n" in (shop / ".copier-answers.yml").read_text()
    commit(shop)
    assert run(COMMAND, "status", "--check", shop).stdout.endswith("all are up to date\n")


def test_a_move_alone_is_a_change_and_the_same_address_is_none(shop: Path, moved: Path) -> None:
    before = (shop / ".copier-answers.yml").read_text()
    update = (COMMAND, "update", *FAST, "--template", "../moved", "--to", "1.0.0")
    told = run(*update, cwd=shop).stdout
    assert "git commit -m 'Follow the template to its new address'" in told
    assert git(shop, "status", "--porcelain") == "M  .copier-answers.yml"
    after = (shop / ".copier-answers.yml").read_text()
    assert after == before.replace(str(moved.with_name("gone.git")), str(moved))
    commit(shop)

    assert "nothing to do: the service is at 1.0.0" in run(*update, cwd=shop).stdout


def test_another_template_is_refused(shop: Path, moved: Path, tmp_path: Path) -> None:
    other = tiny.make(tmp_path / "other")
    update = (COMMAND, "update", *FAST, "--template")
    refused = failure(run(*update, other, cwd=shop, check=False), 2)
    assert f"{other} is another template: its version 1.0.0 does not ask for ci, " in refused

    nowhere = failure(run(*update, tmp_path / "nowhere", cwd=shop, check=False), 4)
    assert "is unavailable" in nowhere
    git(moved, "tag", "--delete", "v1.0.0")
    missing = failure(run(*update, moved, cwd=shop, check=False), 4)
    assert f"the template {moved} has no version v1.0.0" in missing
    assert status(shop) == []


def test_conflicts_on_the_way_to_another_address_name_it(shop: Path, moved: Path) -> None:
    with (shop / "src" / "shop" / "settings.py").open("a") as settings:
        settings.write("\nOURS = 1\n")
    commit(shop)
    refused = run(COMMAND, "update", *FAST, "--template", moved, cwd=shop, check=False)

    assert refused.returncode == 3
    assert f"new-service update --template {moved} --allow-conflicts" in refused.stdout
