"""What a platform team does with its copy of the template, as the README has it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from conftest import COMMAND, clean_environment, run
from shop import FAST, commit, create, edit, git
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
    identity = {"GIT_CONFIG_COUNT": "3"}
    for number, key in enumerate(("user.name", "user.email"), start=1):
        identity |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": "t@localhost"}
    environment = hosted | identity
    run("sh", "-ec", f"{line('perl')}\n{line('git commit')}", cwd=shop, env=environment)
    run(COMMAND, "update", *FAST, cwd=shop, env=environment)
    answers = (shop / ".copier-answers.yml").read_text()
    assert f"_src_path: {TEAM}\n" in answers
    assert "_commit: v1.1.0\n" in answers
    commit(shop)

    back = line("perl").replace(TEAM, str(versions))
    run("sh", "-ec", f"{back}\n{line('git commit')}", cwd=shop, env=environment)
    edit(shop / "pyproject.toml", '"~=1.0"', '"~=2.0"')
    commit(shop)
    run(COMMAND, "update", *FAST, cwd=shop)
    after = (shop / ".copier-answers.yml").read_text()
    assert after == before.replace("v1.0.0", "v2.0.0").replace("~=1.0", "~=2.0")
