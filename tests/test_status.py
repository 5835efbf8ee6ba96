"""Where services stand: one, or many at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import tiny
from conftest import COMMAND, repository, run
from shop import FAST, create, edit, failure


def rows(*folders: Path, cwd: Path) -> list[dict[str, object]]:
    document = json.loads(run(COMMAND, "status", *folders, "--json", cwd=cwd).stdout)
    services: list[dict[str, object]] = document["services"]
    return services


def test_a_fresh_service_is_clean(shop: Path) -> None:
    (row,) = rows(cwd=shop / "src" / "shop")

    assert row["path"] == str(shop)
    assert (row["version"], row["pin"], row["newest"]) == ("1.0.0", "~=1.0", "1.1.0")
    assert row["newest_outside"] == "2.0.0"
    assert (row["outdated"], row["off_pin"]) == (True, False)
    assert row["modified"] == row["deleted"] == row["leftovers"] == []


def test_drift_and_leftovers_are_named(shop: Path) -> None:
    edit(shop / "README.md", "# shop", "# Our shop")
    edit(shop / "pyproject.toml", '"~=1.0"', '"~=1.1"')
    (shop / "tasks.py").unlink()
    (shop / "ours.py").write_text("<<<<<<< before updating\n")
    (shop / "src" / "shop" / "main.py.rej").touch()
    main = shop / "src" / "shop" / "main.py"
    main.write_bytes(main.read_bytes().replace(b"\n", b"\r\n"))  # as git may be set to write it
    (row,) = rows(shop, cwd=shop)

    assert row["modified"] == ["README.md", "pyproject.toml"]
    assert row["deleted"] == ["tasks.py"]
    assert row["leftovers"] == ["ours.py", "src/shop/main.py.rej"]
    assert row["off_pin"] is True


def test_status_after_an_update_is_clean(shop: Path) -> None:
    run(COMMAND, "update", *FAST, cwd=shop)
    (row,) = rows(shop, cwd=shop)

    assert (row["version"], row["newest"], row["outdated"]) == ("1.1.0", "1.1.0", False)
    assert row["modified"] == row["deleted"] == []


def test_status_leaves_the_service_alone(shop: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(shop.rglob("*")) if path.is_file()}
    run(COMMAND, "status", cwd=shop)

    index = shop / ".git" / "index"  # git itself refreshes it
    now = {path: path.read_bytes() for path in sorted(shop.rglob("*")) if path.is_file()}
    assert {**now, index: b""} == {**before, index: b""}


def test_many_services_are_a_table_and_a_broken_one_is_a_row(
    versions: Path, shop: Path, tmp_path: Path
) -> None:
    others = tmp_path / "others"
    others.mkdir()
    newer = create(others, versions, "1.1.0", "--with", "database")
    legacy = Path(shutil.copytree(shop, tmp_path / "legacy"))
    (legacy / ".copier-answers.yml").write_text("a: 1\nb: [\n")
    lost = Path(shutil.copytree(shop, tmp_path / "lost"))
    edit(lost / ".copier-answers.yml", "_src_path: ", "_src_path: /nowhere")
    folders = (shop, newer, legacy, lost, tmp_path / "nothing")
    told = run(COMMAND, "status", *folders, cwd=tmp_path).stdout.splitlines()

    assert told[0].split() == ["service", "template", "pin", "newest", "drift"]
    assert told[1].split() == ["shop", "1.0.0", "~=1.0", "1.1.0", "(2.0.0)", "clean"]
    assert told[2].split() == ["shop", "1.1.0", "~=1.1", "=", "(2.0.0)", "clean"]
    assert told[3].split(maxsplit=2)[:2] == ["legacy", "!"]
    assert ".copier-answers.yml cannot be read: line 3" in told[3]
    assert "is unavailable" in told[4]
    assert "not a service" in told[5]
    assert told[6].strip() == "1 outdated · 3 cannot be read"
    assert [row["error"] is None for row in rows(*folders, cwd=tmp_path)] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_many_services_are_held_against_what_each_has_answered(
    versions: Path, tmp_path: Path
) -> None:
    answers = ("ci=none", "modules=docker", "modules=celery", "ci=gitlab", "modules=database")
    services = []
    for number, answer in enumerate(answers):
        (folder := tmp_path / str(number)).mkdir()
        services.append(create(folder, versions, "1.1.0", "--data", answer))
    edit(services[2] / "README.md", "# shop", "# Our shop")
    found = rows(*services, cwd=tmp_path)

    assert [row["modified"] for row in found] == [[], [], ["README.md"], [], []]
    assert all(row["deleted"] == [] and row["error"] is None for row in found)


@pytest.mark.parametrize(
    ("version", "pin", "code"),
    [("1.0.0", "~=1.0", 1), ("1.1.0", "~=1.1", 0), ("1.1.0", "==1.0.0", 1), ("1.1.0", "~=9.0", 1)],
    ids=["outdated", "well", "off its pin", "pin matches nothing"],
)
def test_check_is_for_pipelines(
    version: str, pin: str, code: int, versions: Path, tmp_path: Path
) -> None:
    shop = create(tmp_path, versions, version)
    text = (shop / "pyproject.toml").read_text()
    major = version.rpartition(".")[0]
    (shop / "pyproject.toml").write_text(text.replace(f'"~={major}"', f'"{pin}"'))

    assert run(COMMAND, "status", "--check", cwd=shop, check=False).returncode == code
    assert run(COMMAND, "status", cwd=shop).returncode == 0


def test_an_unreadable_service_fails_the_check(tmp_path: Path) -> None:
    assert run(COMMAND, "status", "--check", tmp_path, cwd=tmp_path, check=False).returncode == 1


def test_status_outside_of_a_service_says_so(tmp_path: Path) -> None:
    assert "is not in a service" in failure(run(COMMAND, "status", cwd=tmp_path, check=False), 2)


def test_what_a_service_did_not_choose_may_be_included(tmp_path: Path) -> None:
    words = "template/{{ 'beta' if 'beta' in modules }}/words.txt"
    files = {words: "hello", "template/said.txt.jinja": f'{{% include "{words}" %}}'}
    template = repository(tiny.write(tmp_path / "template", tiny.FILES | files), tag="v1.0.0")
    options = ("--yes", "--no-lock", "--no-git", "--template", template)
    run(COMMAND, "create", "plain", *options, cwd=tmp_path)
    (row,) = rows(tmp_path / "plain", cwd=tmp_path)

    said = tmp_path / "plain" / "said.txt"
    assert said.read_text() == "hello"
    assert row["modified"] == row["deleted"] == []
    assert row["error"] is None
    said.unlink()
    (row,) = rows(tmp_path / "plain", cwd=tmp_path)
    assert row["deleted"] == ["said.txt"]
