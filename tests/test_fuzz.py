"""A fresh service under schemathesis, which sends what its description allows and forbids."""

import sys
from pathlib import Path

from conftest import run


def test_schemathesis_finds_nothing(address: str, tmp_path: Path) -> None:
    schemathesis = Path(sys.executable).with_name("schemathesis")

    done = run(
        schemathesis, "run", f"{address}/openapi.json", "--checks", "all", "--seed", "1",
        cwd=tmp_path, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert "Test cases" in done.stdout
