"""Every Python that can be chosen runs the service that chose it."""

from pathlib import Path

import pytest

from conftest import UV, Required, Run, run


def find(version: str) -> str | None:
    """What uv takes for this version; a shim of pyenv's on PATH may be no Python."""
    found = run(UV, "python", "find", "--no-project", version, check=False)
    return found.stdout.strip() or None


LOWEST, NEWEST = "3.11", "3.15"
BETWEEN = [version for version in ("3.12", "3.13", "3.14") if find(version)]


@pytest.mark.parametrize("version", [LOWEST, *BETWEEN, NEWEST])
def test_service_passes_its_checks_on(
    version: str, new_service: Run, required: Required, tmp_path: Path
) -> None:
    python = required.of(find(version), f"Python {version} is not on PATH: bash .ci/run brings it")
    modules = "database,auth,example"
    if version == NEWEST:  # on the lowest they are tried together in test_celery.py
        modules += ",celery"
    options = ("--with", modules, "--data", f"python_version={version}")
    new_service("create", "orders-api", "--yes", *options)
    project = tmp_path / "orders-api"

    run(UV, "run", "--frozen", "poe", "check", cwd=project, env={"UV_PYTHON": python})

    assert f'requires-python = ">={version}"' in (project / "pyproject.toml").read_text("utf-8")
    used = run(project / ".venv" / "bin" / "python", "--version").stdout
    assert used.startswith(f"Python {version}.")
