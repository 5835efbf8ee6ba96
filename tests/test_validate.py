"""`new-service validate`: what it finds, and how it tells."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Run, run

COMMIT = "20cfd1bf945f4377ade1205e4dbc17946fc9a30d"  # of setup-uv
WORKFLOW = ".github/workflows/ci.yaml"
STALE = '{"paths": {"/gone": {"get": {"responses": {}}}}}'
ALL = ["provenance", "residue", "lock", "format", "lint", "types", "test", "openapi", "ci", "boot"]
Edit = Callable[[Path], object]


def outcome(new_service: Run, folder: Path, *options: str) -> dict[str, dict[str, str]]:
    done = new_service("validate", folder, "--json", *options, check=False)
    document = json.loads(done.stdout)
    assert document["project"] == str(folder)
    assert document["ok"] == (done.returncode == 0)
    return {check["name"]: check for check in document["checks"]}


def append(name: str, text: str) -> Edit:
    def edit(folder: Path) -> None:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(text)

    return edit


def replace(name: str, old: str, new: str) -> Edit:
    def edit(folder: Path) -> None:
        path = folder / name
        assert old in path.read_text("utf-8")
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")

    return edit


def test_a_fresh_service_passes(new_service: Run, edited: Path) -> None:
    checks = outcome(new_service, edited)

    assert list(checks) == ALL
    assert {check["status"] for check in checks.values()} == {"passed"}
    assert checks["provenance"]["detail"] == "template 1.0.0, pin ~=1.0"
    assert checks["boot"]["detail"].startswith(
        "live, ready, docs, redoc, OpenAPI 3.1 with 2 operations"
    )


@pytest.mark.parametrize(
    ("check", "edit", "words"),
    [
        ("provenance", replace(".copier-answers.yml", "_commit:", "commit:"), "does not name"),
        ("provenance", replace(".copier-answers.yml", "v1.0.0", "v9.9.9"), "no version v9.9.9"),
        ("provenance", append(".copier-answers.yml", "a: [\n"), "cannot be read"),
        ("provenance", lambda folder: (folder / ".copier-answers.yml").unlink(), "missing"),
        ("residue", append("README.md", "{{ service_name }}\n"), "Jinja {{ service_name }}"),
        ("residue", append("README.md", "{% if x %}\n"), "Jinja {% if"),
        ("residue", append("README.md", "<<<<<<< before\n"), "conflict marker"),
        ("residue", lambda folder: (folder / "README.md.rej").touch(), "rejected hunk"),
        (
            "lock",
            replace("pyproject.toml", "structlog>=26.1", "structlog>=99"),
            "not in step",
        ),
        ("lock", lambda folder: (folder / "uv.lock").unlink(), "no uv.lock"),
    ],
)
def test_what_is_wrong_is_named(
    check: str, edit: Edit, words: str, new_service: Run, edited: Path
) -> None:
    edit(edited)

    found = outcome(new_service, edited, "--only", check)[check]

    assert found["status"] == "failed"
    assert words in found["detail"]


@pytest.mark.parametrize(
    ("check", "edit", "words"),
    [
        ("format", append("src/orders_api/main.py", "x  =  1\n"), "main.py"),
        ("lint", append("src/orders_api/main.py", "import json\n"), "F401"),
        ("types", append("src/orders_api/main.py", "wrong: int = 'text'\n"), "Incompatible types"),
        ("test", append("tests/test_tasks.py", "\ndef test_no():\n    assert 0\n"), "test_no"),
        ("openapi", append("openapi.json", STALE), "breaks clients: GET /gone is gone"),
        ("openapi", append("openapi.json", "{}<<<<<<<\n"), "openapi.json is not JSON"),
        ("ci", replace(WORKFLOW, COMMIT, "v10"), "unpinned-uses"),
        ("ci", replace(WORKFLOW, "    steps:", "    stages:"), 'unexpected key "stages"'),
        ("ci", replace(WORKFLOW, "poe test", 'poe test "${{ github.head_ref }}"'), "injection"),
        ("ci", replace("renovate.json", '"7 days"', "7"), "minimumReleaseAge"),
        ("boot", append("src/orders_api/main.py", "raise RuntimeError('no start')\n"), "no start"),
        ("boot", replace("src/orders_api/health/router.py", '"/live"', '"/l"'), "live answers 404"),
    ],
)  # fmt: skip
def test_a_check_that_fails_shows_why(
    check: str, edit: Edit, words: str, new_service: Run, edited: Path
) -> None:
    edit(edited)

    done = new_service("validate", edited, "--only", check, check=False)

    assert done.returncode == 1
    assert words in done.stdout
    assert "1 of 1 failed" in done.stdout


def test_text_that_a_description_holds_is_no_residue(new_service: Run, tmp_path: Path) -> None:
    new_service(
        "create",
        "odd",
        "--yes",
        "--no-lock",
        "--data",
        "description=Says {{ service_name }} {% if %}",
    )

    assert (
        outcome(new_service, tmp_path / "odd", "--only", "residue")["residue"]["status"] == "passed"
    )


def test_an_owners_own_check_runs(new_service: Run, edited: Path) -> None:
    replace("pyproject.toml", '    "ci",\n]\n', '    "ci",\n    "mine",\n]\n')(edited)
    append("pyproject.toml", "\n[tool.poe.tasks.mine]\ncmd = \"python -c 'print(42)'\"\n")(edited)

    mine = outcome(new_service, edited, "--only", "mine")["mine"]

    assert (mine["status"], mine["detail"]) == ("passed", "42")


def test_checks_leave_the_service_as_it_was(new_service: Run, edited: Path) -> None:
    new_service("validate", edited)

    assert run("git", "status", "--porcelain", cwd=edited).stdout == ""


def test_a_setting_of_the_user_does_not_reach_boot(new_service: Run, edited: Path) -> None:
    env = {"APP_LOG_LEVEL": "nonsense", "APP_DOCS": "false"}

    done = new_service("validate", edited, "--only", "boot", env=env, check=False)

    assert done.returncode == 0, done.stdout


def test_skip_leaves_a_check_out(new_service: Run, edited: Path) -> None:
    skipped = [option for name in ALL[2:] for option in ("--skip", name)]

    assert list(outcome(new_service, edited, *skipped)) == ALL[:2]


def test_junit_report_names_what_failed(new_service: Run, edited: Path, tmp_path: Path) -> None:
    (edited / "README.md.rej").touch()
    report = tmp_path / "report.xml"

    new_service(
        "validate",
        edited,
        "--only",
        "residue",
        "--only",
        "provenance",
        "--junit",
        report,
        check=False,
    )

    suite = ET.parse(report).getroot()[0]  # noqa: S314  we wrote it
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failure = suite.find("testcase[@name='residue']/failure")
    assert failure is not None
    assert "README.md.rej" in str(failure.text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "is not a service"),
        ([".", "--only", "boto"], "is not a service"),
    ],
)
def test_no_service(arguments: list[str], words: str, new_service: Run) -> None:
    done = new_service("validate", *arguments, check=False)

    assert done.returncode == 2
    assert words in done.stderr


def test_unknown_check(new_service: Run, edited: Path) -> None:
    done = new_service("validate", edited, "--only", "boto", check=False)

    assert done.returncode == 2
    said = "error: unknown check 'boto'.\nhint: did you mean 'boot'? possible: provenance"
    assert done.stderr.startswith(said)
