"""Where the template comes from: embedded, given, configured; and which version of it."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest
import yaml
from copier import run_copy

from conftest import COMMAND, ROOT, UV, Required, Run, copy_template, repository, run

pytestmark = pytest.mark.xdist_group("source")  # one environment, in the order of the file


def recorded(service: Path) -> dict[str, str]:
    answers: dict[str, str] = yaml.safe_load((service / ".copier-answers.yml").read_text("utf-8"))
    return answers


def canonical() -> str:
    (url,) = metadata("new-service").get_all("Project-URL") or []
    return str(url).removeprefix("Template, ")


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template with releases 1.0.0, 1.2.0 and 2.0.0, and a commit after them."""
    folder = copy_template(tmp_path_factory.mktemp("versions") / "t")
    for tag in ("v1.0.0", "v1.2.0", "v2.0.0", None):
        with (folder / "template" / "README.md.jinja").open("a") as readme:
            readme.write(f"\nOf {tag}.\n")
        repository(folder, tag=tag)
    return folder


def create(new_service: Run, tmp_path: Path, *options: str | Path, **env: str) -> dict[str, str]:
    new_service("create", "orders-api", "--yes", "--no-lock", "--no-git", *options, env=env)
    return recorded(tmp_path / "orders-api")


def test_embedded_template_records_the_canonical_url(new_service: Run, tmp_path: Path) -> None:
    answers = create(new_service, tmp_path, NEW_SERVICE_TEMPLATE="")

    assert answers["_src_path"] == canonical()
    assert canonical().endswith(".git")


def test_cache_of_plain_copier_is_left_alone(new_service: Run, tmp_path: Path) -> None:
    """An older tool would prune the tags of a newer one from it."""
    environment = {"NEW_SERVICE_TEMPLATE": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    new_service("create", "orders-api", "--yes", "--no-lock", env=environment)

    assert not (tmp_path / "cache" / "copier").exists()


@pytest.mark.parametrize(
    ("wanted", "tag"),
    [
        ("v1.0.0", "v1.0.0"),
        ("1.2.0", "v1.2.0"),
        ("~=1.0", "v1.2.0"),
        (">=1,<1.2", "v1.0.0"),
        ("==2.*", "v2.0.0"),
    ],
)
def test_template_version(
    wanted: str, tag: str, new_service: Run, versions: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "template.bundle"
    run("git", "bundle", "create", "--quiet", bundle, "HEAD", "--tags", cwd=versions)

    answers = create(new_service, tmp_path, "--template", bundle, "--template-version", wanted)

    assert answers["_commit"] == tag
    assert f"Of {tag}." in (tmp_path / "orders-api" / "README.md").read_text("utf-8")


def test_newest_release_is_the_default_of_an_address(
    new_service: Run, versions: Path, tmp_path: Path
) -> None:
    answers = create(new_service, tmp_path, "--template", f"file://{versions}")

    assert answers["_commit"] == "v2.0.0"
    assert answers["_src_path"] == f"git+file://{versions}"
    assert '"~=2.0"' in (tmp_path / "orders-api" / "pyproject.toml").read_text("utf-8")


def test_between_releases_there_is_no_pin(new_service: Run, versions: Path, tmp_path: Path) -> None:
    answers = create(new_service, tmp_path, "--template", versions)

    assert answers["_commit"].startswith("v2.0.0-1-g")
    assert "template-version" not in (tmp_path / "orders-api" / "pyproject.toml").read_text("utf-8")


def test_environment_names_the_template(new_service: Run, versions: Path, tmp_path: Path) -> None:
    url = f"file://{versions}"

    assert create(new_service, tmp_path, NEW_SERVICE_TEMPLATE=url)["_src_path"] == f"git+{url}"


def test_team_file_gives_template_version_and_defaults(
    new_service: Run, versions: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'template = "file://{versions}"\ntemplate-version = "~=1.0"\n'
        '[defaults]\npython_version = "3.13"\n'
    )

    answers = create(new_service, tmp_path, NEW_SERVICE_TEMPLATE="", NEW_SERVICE_CONFIG=str(config))

    assert answers["_commit"] == "v1.2.0"
    assert answers["python_version"] == "3.13"


def test_team_file_in_the_config_folder_is_found(
    new_service: Run, versions: Path, tmp_path: Path
) -> None:
    (tmp_path / "new-service").mkdir()
    (tmp_path / "new-service" / "config.toml").write_text(f'template = "file://{versions}"\n')

    answers = create(
        new_service, tmp_path, NEW_SERVICE_TEMPLATE="", XDG_CONFIG_HOME=str(tmp_path)
    )  # fmt: skip

    assert answers["_src_path"] == f"git+file://{versions}"


def test_flag_overrides_environment_and_environment_the_team_file(
    new_service: Run, versions: Path, template: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('template = "/nowhere"\ntemplate-version = "~=1.0"\n')
    env = {"NEW_SERVICE_CONFIG": str(config), "NEW_SERVICE_TEMPLATE": f"file://{versions}"}

    by_environment = create(new_service, tmp_path, **env)
    (tmp_path / "flag").mkdir()
    options = ("--template", template, "--template-version", "1.0.0", "--output-dir", "flag")
    new_service("create", "by-flag", "--yes", "--no-lock", "--no-git", *options, env=env)

    assert by_environment["_src_path"] == f"git+file://{versions}"
    assert by_environment["_commit"] == "v1.2.0"
    assert recorded(tmp_path / "flag" / "by-flag")["_src_path"] == str(template)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("templates = 'x'", "unknown key 'templates'"),
        ("template = 1", "wrong type"),
        ("template = ", "cannot be read"),
        ("[defaults]\nci = 'jenkins'", "unknown ci 'jenkins'"),
        (None, "is not a file"),
    ],
)
def test_team_file_that_is_wrong(
    content: str | None, words: str, new_service: Run, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    if content is not None:
        config.write_text(content)
    env = {"NEW_SERVICE_CONFIG": str(config)}

    done = new_service("create", "orders-api", "--yes", env=env, check=False)

    assert done.returncode == 2
    assert words in done.stderr


def test_git_settings_of_the_caller_stay(new_service: Run, versions: Path, tmp_path: Path) -> None:
    mirror = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{versions}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://git.example.org/mirrored.git",
    }

    answers = create(
        new_service, tmp_path, "--template", "https://git.example.org/mirrored.git", **mirror
    )  # fmt: skip

    assert answers["_commit"] == "v2.0.0"


@pytest.mark.parametrize("count", ["", "0"])
def test_no_git_settings_of_the_caller(
    count: str, new_service: Run, versions: Path, tmp_path: Path
) -> None:
    url = f"file://{versions}"

    answers = create(new_service, tmp_path, "--template", url, GIT_CONFIG_COUNT=count)

    assert answers["_commit"] == "v2.0.0"


@pytest.mark.parametrize("embedded", [True, False])
def test_plain_copier_copy_gives_the_same_bytes(
    embedded: bool,
    new_service: Run,
    versions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But for the address, which is the canonical one where the template is embedded."""
    # The user's own may know an earlier repository of that address.
    monkeypatch.setenv("COPIER_CACHE_DIR", str(tmp_path / "cache"))
    url, version = (
        (f"git+file://{ROOT}", "HEAD") if embedded else (f"git+file://{versions}", "v1.2.0")
    )
    options = () if embedded else ("--template", url, "--template-version", version)
    create(new_service, tmp_path, *options, NEW_SERVICE_TEMPLATE="")
    data = {"service_name": "orders-api"}
    run_copy(url, tmp_path / "plain", data, vcs_ref=version, defaults=True, quiet=True)

    assert files(tmp_path / "orders-api") == files(tmp_path / "plain")


def files(service: Path) -> dict[str, bytes]:
    return {
        path.relative_to(service).as_posix(): re.sub(
            rb"(?m)^_src_path: .*$", b"", path.read_bytes()
        )
        for path in service.rglob("*")
        if path.is_file() and path.name != ".env"
    }


def test_password_of_an_address_is_not_told(new_service: Run, tmp_path: Path) -> None:
    url = "http://someone:s3cret@127.0.0.1:9/t.git"

    done = new_service("create", "orders-api", "--yes", "--template", url, check=False)

    assert done.returncode == 4
    assert "s3cret" not in done.stderr + done.stdout
    assert list(tmp_path.iterdir()) == []


def test_plain_copier_update_works_on_a_service_made_from_an_address(
    new_service: Run, versions: Path, tmp_path: Path
) -> None:
    url = f"git+file://{versions}"
    new_service(
        "create",
        "orders-api",
        "--yes",
        "--no-lock",
        "--template",
        url,
        "--template-version",
        "1.0.0",
    )
    copier = Path(sys.executable).with_name("copier")

    run(copier, "update", "--defaults", "--vcs-ref", "v2.0.0", cwd=tmp_path / "orders-api")

    assert recorded(tmp_path / "orders-api")["_commit"] == "v2.0.0"
    assert "Of v2.0.0." in (tmp_path / "orders-api" / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def installed(required: Required, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, built from the sdist of a checkout with two releases."""
    folder = tmp_path_factory.mktemp("installed")
    checkout = folder / "checkout"
    run("git", "clone", "--quiet", ROOT, checkout)
    for name in ("generator", "template", "copier.yml", "pyproject.toml", "hatch_build.py"):
        run("cp", "-r", ROOT / name, checkout)
    (checkout / "CHANGELOG.md").write_text("One.\n")
    repository(checkout, tag="v7.1.0")
    (checkout / "CHANGELOG.md").write_text("Two.\n")
    repository(checkout, tag="v7.2.0")
    built = run(UV, "build", "--quiet", "--out-dir", folder / "dist", cwd=checkout, check=False)
    reachable = None if "Failed to fetch" in built.stderr else True
    required.of(reachable, "no package index can be reached")
    assert built.returncode == 0, built.stderr
    (wheel,) = (folder / "dist").glob("new_service-7.2.0-*.whl")
    run(UV, "venv", "--quiet", folder / "venv")
    run(UV, "pip", "install", "--quiet", "--python", folder / "venv", wheel)
    return folder / "venv"


@pytest.mark.parametrize("version", ["7.1.0", "7.2.0"])
def test_wheel_from_the_sdist_carries_every_version(
    version: str, installed: Path, tmp_path: Path
) -> None:
    command = installed / "bin" / "new-service"
    options = ("--yes", "--no-lock", "--template-version", version)
    run(command, "create", "orders-api", *options, cwd=tmp_path)

    answers = recorded(tmp_path / "orders-api")
    assert answers["_src_path"] == canonical()
    assert answers["_commit"] == f"v{version}"
    run(command, "validate", "--only", "provenance", cwd=tmp_path / "orders-api")


def test_wheel_carries_files_that_are_not_python(installed: Path) -> None:
    listed = run("git", "ls-files", "generator/new_service", cwd=ROOT).stdout.splitlines()
    data = [name.removeprefix("generator/") for name in listed if not name.endswith(".py")]
    (site,) = installed.glob("lib/python*/site-packages")

    assert data
    assert [name for name in data if not (site / name).is_file()] == []


def test_without_any_uv_the_program_is_named_before_anything_is_made(
    installed: Path, tmp_path: Path
) -> None:
    """The last test of this environment, which it spoils."""
    run(UV, "pip", "uninstall", "--quiet", "--python", installed, "uv")
    folders = os.environ["PATH"].split(os.pathsep)
    without = [folder for folder in folders if not shutil.which("uv", path=folder)]

    done = run(
        installed / "bin" / "new-service", "create", "orders-api", "--yes",
        cwd=tmp_path, env={"PATH": os.pathsep.join(without)}, check=False,
    )  # fmt: skip

    assert done.returncode == 5
    assert done.stderr.startswith("error: uv is not installed.\nhint: ")
    assert list(tmp_path.iterdir()) == []


def test_version_is_that_of_the_package() -> None:
    said = subprocess.run([COMMAND, "--version"], check=True, capture_output=True, text=True).stdout

    assert said.strip() == metadata("new-service")["Version"]
