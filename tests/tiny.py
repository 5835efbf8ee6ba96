"""A small template in two versions, the second with a question that has no default."""

from __future__ import annotations

from pathlib import Path

import yaml

from conftest import repository

COPIER_YML = """\
_subdirectory: template
_templates_suffix: .jinja
_exclude:
  - "{% if 'alpha' not in modules %}alpha.py{% endif %}"
service_name: {type: str}
colour: {type: str, choices: [red, blue], default: red}
modules: {type: str, multiselect: true, default: [], choices: [alpha, beta]}
"""
OWNER = """\
owner: {type: str}
depth:
  type: str
  when: "{{ 'beta' in modules }}"
  default: flat
"""
FILES = {
    "copier.yml": COPIER_YML,
    "template/{{_copier_conf.answers_file}}.jinja": "{{ _copier_answers|to_nice_yaml -}}\n",
    "template/pyproject.toml.jinja": '[project]\nname = "{{ service_name }}"\nversion = "0"\n',
    "template/colour.txt.jinja": "{{ colour }}\n",
    "template/alpha.py": "",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def make(folder: Path) -> Path:
    """The template in versions 1.0.0 and 1.1.0."""
    repository(write(folder, FILES), tag="v1.0.0")
    new = {"copier.yml": COPIER_YML + OWNER, "template/owner.txt.jinja": "{{ owner }}\n"}
    return repository(write(folder, new), tag="v1.1.0")


def recorded(service: Path, name: str = ".copier-answers.yml") -> dict[str, object]:
    answers: dict[str, object] = yaml.safe_load((service / name).read_text("utf-8"))
    return answers
