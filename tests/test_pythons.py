"""Every Python that can be chosen runs the service that chose it."""

from pathlib import Path

import pytest

from conftest import UV, Required, Run, run

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]


@pytest.mark.parametrize("version", PYTHONS)
def test_service_passes_its_checks_on(
    version: str, new_service: Run, required: Required, tmp_path: Path
) -> None:
    required.program(f"python{version}", f"put Python {version} on PATH")
    new_service("create", "orders-api", "--yes", "--data", f"python_version={version}")
    project = tmp_path / "orders-api"

    run(UV, "run", "--frozen", "poe", "check", cwd=project, env={"UV_PYTHON": version})

    assert f'requires-python = ">={version}"' in (project / "pyproject.toml").read_text("utf-8")
