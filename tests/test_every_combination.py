"""All services that the template can make, by what can be seen without running them."""

import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from conftest import COMMAND, MODULES, run
from new_service.combining.combinations import Combination

# What `status` reads of a service.
READ = {".copier-answers.yml", "pyproject.toml"}
RUFF = Path(sys.executable).with_name("ruff")


def texts(service: Path) -> Iterator[tuple[str, str]]:
    """The name of each file, and what it holds."""
    for path in service.rglob("*"):
        if path.is_file():
            yield path.relative_to(service).as_posix(), path.read_text("utf-8")


@pytest.mark.xdist_group("every combination")
def test_all_are_formatted_and_linted_for_every_python(
    every_choice_of_modules: dict[Path, Combination],
) -> None:
    (folder,) = {service.parent for service in every_choice_of_modules}
    pythons = {str(answers["python_version"]) for answers in every_choice_of_modules.values()}
    assert len(pythons) == 5
    for python in pythons:
        target = f"--target-version=py{python.replace('.', '')}"
        run(RUFF, "format", "--no-cache", "--check", target, folder)
        run(RUFF, "check", "--no-cache", target, folder)


@pytest.mark.xdist_group("every combination")
def test_none_speaks_of_what_it_lacks(every_choice_of_modules: dict[Path, Combination]) -> None:
    for service, answers in every_choice_of_modules.items():
        modules = answers["modules"]
        assert isinstance(modules, list)
        chosen = {
            *modules,
            *(f"{module}_{answer}" for module in modules for answer in answers.values()),
        }
        absent = {word for name in MODULES.keys() - chosen for word in MODULES[name].words}
        # A word may be part of another one.
        speaks = re.compile(rf"\b({'|'.join(sorted(absent))})")
        for file, text in texts(service):
            found = speaks.search(f"{file}\n{text}".lower()) if absent else None
            assert not found or file.endswith((".js", ".css")), (service.name, file, found)


@pytest.mark.xdist_group("every combination")
def test_what_programs_read_can_be_read(every_choice_of_modules: dict[Path, Combination]) -> None:
    for service in every_choice_of_modules:
        for file, text in texts(service):
            where = f"{service.name}: {file}"
            assert text.endswith("\n") or not text, where
            assert "\n\n\n\n" not in text, where
            if file.endswith(".toml"):
                tomllib.loads(text)
            elif file.endswith((".yaml", ".yml")) and file != ".gitlab-ci.yml":  # it has tags
                yaml.safe_load(text)
            elif file.endswith(".json"):
                json.loads(text)


@pytest.mark.xdist_group("every combination")
def test_what_status_renders_is_what_copier_renders(
    every_choice_of_modules: dict[Path, Combination], template: Path, tmp_path: Path
) -> None:
    whole, empty = tmp_path / "whole", tmp_path / "empty"
    for number, rendered in enumerate(every_choice_of_modules):
        shutil.copytree(rendered, whole / str(number))
        with (whole / str(number) / ".copier-answers.yml").open("a") as answers:
            answers.write(f"_commit: v1.0.0\n_src_path: {template}\n")
        (empty / str(number)).mkdir(parents=True)
        for file in READ:
            shutil.copy(whole / str(number) / file, empty / str(number))
    services = [*sorted(whole.iterdir()), *sorted(empty.iterdir())]
    told = json.loads(run(COMMAND, "status", *services, "--json", cwd=tmp_path).stdout)["services"]

    assert len(told) == 2 * len(every_choice_of_modules)
    for has_all, has_none in zip(told[: len(told) // 2], told[len(told) // 2 :], strict=True):
        assert has_all["error"] is has_none["error"] is None
        assert has_all["modified"] == has_all["deleted"] == has_all["leftovers"] == []
        files = {file for file, _ in texts(Path(has_all["path"]))} - READ
        assert set(has_none["deleted"]) == files
