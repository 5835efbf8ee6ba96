"""`new-service create` without a terminal: flags, files, what it leaves, and every bad input."""

import json
import keyword
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import (
    COMMAND,
    Required,
    Run,
    can_mount,
    clean_environment,
    copy_template,
    repository,
    run,
)

NO_NETWORK = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/", "UV_HTTP_RETRIES": "0"}


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def refused(done: subprocess.CompletedProcess[str], code: int, words: str) -> None:
    """Exactly two lines, an error with `words` and a hint, and nothing on stdout."""
    assert done.returncode == code, done.stderr
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert words in error
    assert hint.startswith("hint: ")
    assert done.stdout == ""


def test_service_is_whole(service: Path) -> None:
    assert stat.S_IMODE((service / ".env").stat().st_mode) == 0o600
    assert run("git", "log", "--format=%s", cwd=service).stdout == "Create from template 1.0.0\n"
    assert run("git", "status", "--porcelain", cwd=service).stdout == ""
    assert 'template-version = "~=1.0"' in (service / "pyproject.toml").read_text("utf-8")


def test_lock_is_the_known_good_one_and_holds_no_cut_off(service: Path) -> None:
    assert "exclude-newer" not in (service / "uv.lock").read_text("utf-8")


def test_the_end_names_the_next_commands(new_service: Run) -> None:
    said = new_service("create", "orders-api", "--yes", "--no-lock").stdout

    for command in ("cd orders-api", "uv run poe dev", "new-service validate"):
        assert command in said


def test_json_is_one_document(new_service: Run, template: Path, tmp_path: Path) -> None:
    done = new_service("create", "orders-api", "--yes", "--no-lock", "--json")
    document = json.loads(done.stdout)

    assert "pyproject.toml" in document.pop("files")
    assert document == {
        "path": str(tmp_path / "orders-api"),
        "package": "orders_api",
        "modules": [],
        "template": str(template),
        "version": "1.0.0",
        "locked": False,
        "ignored": [],
    }


def test_dry_run_writes_nothing(new_service: Run, tmp_path: Path) -> None:
    done = new_service("create", "orders-api", "--yes", "--dry-run")

    assert "pyproject.toml" in done.stdout
    assert listing(tmp_path) == []


def test_no_git_leaves_no_repository(new_service: Run, tmp_path: Path) -> None:
    new_service("create", "orders-api", "--yes", "--no-lock", "--no-git")

    assert not (tmp_path / "orders-api" / ".git").exists()
    assert not (tmp_path / "orders-api" / "uv.lock").exists()


def test_answers_come_from_a_file_and_flags_override_it(new_service: Run, tmp_path: Path) -> None:
    (tmp_path / "answers.yml").write_text(
        "_commit: ignored\nservice_name: from-file\ndescription: a file\npython_version: 3.12\n"
    )

    new_service(
        "create", "--answers-file", "answers.yml", "--data", "description=a=b", "--yes", "--no-lock"
    )

    answers = (tmp_path / "from-file" / ".copier-answers.yml").read_text("utf-8")
    assert "description: a=b\n" in answers
    assert "python_version: '3.12'\n" in answers


def test_flags_override_the_file_and_the_file_overrides_the_team(
    new_service: Run, tmp_path: Path
) -> None:
    team = tmp_path / "team.toml"
    team.write_text('[defaults]\npython_version = "3.12"\ndescription = "of the team"\n')
    (tmp_path / "answers.yml").write_text("python_version: '3.13'\n")
    command = ("create", "--yes", "--no-lock", "--no-git", "--output-dir", tmp_path)
    file, flag = ("--answers-file", "answers.yml"), ("--data", "python_version=3.14")
    recorded = []
    for name, options in (("one", ()), ("two", file), ("three", (*file, *flag))):
        new_service(*command, name, *options, env={"NEW_SERVICE_CONFIG": str(team)})
        answers = (tmp_path / name / ".copier-answers.yml").read_text("utf-8")
        assert "description: of the team\n" in answers
        recorded.append(next(line for line in answers.splitlines() if "python_version" in line))

    assert recorded == [f"python_version: '3.{minor}'" for minor in (12, 13, 14)]


def test_the_answers_file_of_a_service_makes_it_again(new_service: Run, tmp_path: Path) -> None:
    command = ("create", "--yes", "--no-lock", "--no-git")
    new_service(*command, "orders-api", "--data", "description=Takes: orders")
    (tmp_path / "again").mkdir()
    answers = tmp_path / "orders-api" / ".copier-answers.yml"

    new_service(*command, "--answers-file", answers, "--output-dir", "again")

    again = tmp_path / "again" / "orders-api"
    assert listing(again) == listing(tmp_path / "orders-api")
    assert (again / ".copier-answers.yml").read_bytes() == answers.read_bytes()


def test_preset_minimal(new_service: Run, tmp_path: Path) -> None:
    new_service("create", "orders-api", "--preset", "minimal", "--yes", "--no-lock")

    assert (tmp_path / "orders-api").is_dir()


def test_secrets_are_random_where_the_example_asks_for_them(
    new_service: Run, tmp_path: Path
) -> None:
    folder = copy_template(tmp_path / "template")
    with (folder / "template" / ".env.example.jinja").open("a") as example:
        example.write("APP_SECRET=  # generate\n")
    repository(folder)
    secrets = set()
    for name in ("one", "two"):
        new_service("create", name, "--yes", "--no-lock", "--template", folder)
        line = (tmp_path / name / ".env").read_text().splitlines()[-1]
        secrets.add(line.removeprefix("APP_SECRET="))

    assert len(secrets) == 2
    assert all(len(secret) >= 43 for secret in secrets)


def test_inside_a_repository_there_is_no_second_one(new_service: Run, tmp_path: Path) -> None:
    run("git", "init", "--quiet", cwd=tmp_path)

    new_service("create", "orders-api", "--yes", "--no-lock")

    assert not (tmp_path / "orders-api" / ".git").exists()


def test_without_a_git_identity_a_fallback_makes_the_commit(
    new_service: Run, tmp_path: Path
) -> None:
    nobody = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "EMAIL": ""}

    new_service("create", "orders-api", "--yes", "--no-lock", env=nobody)

    author = run("git", "log", "--format=%an", cwd=tmp_path / "orders-api").stdout
    assert author.strip()
    config = (tmp_path / "orders-api" / ".git" / "config").read_text()
    assert "new-service" not in config


def test_hooks_and_signing_of_the_user_are_left_alone(new_service: Run, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        "[user]\nname = A\nemail = a@b.example\n"
        f"[core]\nhooksPath = {hooks}\n[commit]\ngpgSign = true\n"
    )

    new_service(
        "create", "orders-api", "--yes", "--no-lock", env={"GIT_CONFIG_GLOBAL": str(config)}
    )

    assert run("git", "log", "--format=%an", cwd=tmp_path / "orders-api").stdout == "A\n"


def test_commit_is_whole_whatever_the_user_ignores(new_service: Run, tmp_path: Path) -> None:
    """A template of the user's with a hook, and patterns that would leave shipped files out."""
    hooks = tmp_path / "user" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    (tmp_path / "ignored").write_text(".env*\n*.toml\n")
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[init]\ntemplateDir = {tmp_path / 'user'}\n"
        f"[core]\nexcludesFile = {tmp_path / 'ignored'}\n"
        f"[commit]\ntemplate = {tmp_path / 'nowhere'}\n"
    )

    done = new_service(
        "create", "orders-api", "--yes", "--no-lock", "--json",
        env={"GIT_CONFIG_GLOBAL": str(config)},
    )  # fmt: skip

    committed = run("git", "ls-files", cwd=tmp_path / "orders-api").stdout.splitlines()
    assert sorted(committed) == sorted(json.loads(done.stdout)["files"])


@pytest.mark.parametrize("role", ["AUTHOR", "COMMITTER"])
def test_half_a_git_identity_is_filled_up(role: str, new_service: Run, tmp_path: Path) -> None:
    """As in a pipeline that sets one of the two."""
    half = {
        "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "EMAIL": "",
        "HOME": str(tmp_path), f"GIT_{role}_NAME": "A", f"GIT_{role}_EMAIL": "a@b.example",
    }  # fmt: skip

    new_service("create", "orders-api", "--yes", "--no-lock", env=half)

    people = run("git", "log", "--format=%an%n%cn", cwd=tmp_path / "orders-api").stdout.split("\n")
    assert people[0 if role == "AUTHOR" else 1] == "A"


def test_called_from_a_git_hook(new_service: Run, tmp_path: Path) -> None:
    """Git tells hooks about their repository in the environment."""
    other = repository(copy_template(tmp_path / "other"))

    new_service(
        "create", "orders-api", "--yes", "--no-lock", "--output-dir", tmp_path,
        env={"GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other)},
    )  # fmt: skip

    assert run("git", "status", "--porcelain", cwd=other).stdout == ""
    assert (tmp_path / "orders-api" / ".git").is_dir()


def test_folder_with_spaces_and_umlauts(new_service: Run, tmp_path: Path) -> None:
    folder = tmp_path / "für die Bestellungen"
    folder.mkdir()

    new_service("create", "orders-api", "--yes", "--no-lock", "--output-dir", folder)

    assert (folder / "orders-api" / "pyproject.toml").is_file()


def test_without_an_index_the_service_is_made_unlocked(new_service: Run, tmp_path: Path) -> None:
    env = NO_NETWORK | {"UV_CACHE_DIR": str(tmp_path / "cache")}

    done = new_service("create", "orders-api", "--yes", "--json", env=env)

    assert json.loads(done.stdout)["locked"] is False
    assert "uv lock" in done.stderr
    assert (tmp_path / "orders-api" / ".git").is_dir()


DEPENDENCIES = ["fastapi", "celery", "redis", "pydantic-settings", "pytest"]
PYTHON = sorted(
    {name.replace("_", "-") for name in {*sys.stdlib_module_names, *keyword.kwlist, "test"}}
    & {"email", "test", "json", "class", "async", "tomllib", "concurrent"}
)
BAD_NAMES = [
    *DEPENDENCIES, *PYTHON, "con", "nul", "com1", "tests", "", ".", "../orders", "a/b", "/abs",
    "Orders", "orders_api", "1st", "a--b", "a-", "-x", "ä", "a b", "orders\n", "x" * 51,
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name(name: str, new_service: Run, tmp_path: Path) -> None:
    done = new_service("create", "--yes", "--no-lock", "--", name, check=False)

    refused(done, 2, "")
    assert listing(tmp_path) == []


BAD_INPUT = [
    (["create", "b", "--yes", "--with", "nope"], 2, "unknown module 'nope'"),
    (["create", "b", "--yes", "--preset", "nope"], 2, "unknown preset 'nope'"),
    (["create", "b", "--yes", "--data", "nope=1"], 2, "no question 'nope'"),
    (["create", "b", "--yes", "--data", "nope"], 2, "no value"),
    (["create", "b", "--yes", "--data", "package=x"], 2, "no question 'package'"),
    (["create", "b", "--yes", "--data", "python_version=3.9"], 2, "'3.9'"),
    (["create", "b", "--yes", "--data", "description= "], 2, "empty"),
    (["create", "b", "--yes", "--data", "description=a\x01b"], 2, "control character"),
    (["create", "b", "--yes", "--data", "service_name=c"], 2, "twice"),
    (["create", "b", "--yes", "--answers-file", "nope.yml"], 2, "no answers file"),
    (["create", "b", "--yes", "--output-dir", "nope"], 2, "no folder"),
    (["create", "b", "--yes", "--template", "/nope"], 4, "is unavailable"),
    (["create", "b", "--yes", "--template", "http://127.0.0.1:9/x.git"], 4, "is unavailable"),
    (["create", "b", "--yes", "--template-version", "9.9.9"], 4, "no version 9.9.9"),
    (["create", "b", "--yes", "--template-version", "~=9.9"], 4, "no version ~=9.9"),
    (["create", "b", "--yes", "--template-version", ">x"], 2, "not a range"),
    (["create", "--yes"], 2, "no name"),
    (["create", "b"], 2, "description, python_version"),
    (["create", "b", "--bogus"], 2, "--bogus"),
    (["bogus"], 2, "bogus"),
    (["smoke", "--jobs", "0"], 2, "jobs"),
    (["smoke", "--list", "--strength", "4"], 2, "strength"),
    (["smoke", "--list", "--format", "xml"], 2, "format"),
    (["smoke", "--list", "--shard", "0/2"], 2, "part"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD_INPUT)
def test_bad_input(
    arguments: list[str], code: int, words: str, new_service: Run, tmp_path: Path
) -> None:
    refused(new_service(*arguments, check=False), code, words)
    assert listing(tmp_path) == []


def test_an_answers_file_that_is_nested_too_deeply(new_service: Run, tmp_path: Path) -> None:
    (tmp_path / "answers.yml").write_text("a: " + "[" * 5000)

    done = new_service("create", "b", "--yes", "--data-file", "answers.yml", check=False)

    refused(done, 2, "the answers file answers.yml cannot be read")


def test_a_traceback_only_for_those_who_ask(new_service: Run) -> None:
    env = {"NEW_SERVICE_DEBUG": "1"}

    done = new_service("create", "b", "--yes", "--preset", "nope", env=env, check=False)

    assert "Traceback" in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_destination_exists(what: str, new_service: Run, tmp_path: Path) -> None:
    destination = tmp_path / "orders-api"
    if what == "folder":
        destination.mkdir()
    elif what == "file":
        destination.touch()
    else:
        destination.symlink_to("nowhere")

    refused(new_service("create", "orders-api", "--yes", check=False), 2, "exists already")
    assert listing(tmp_path) == ["orders-api"]


@pytest.mark.parametrize("content", ["a: [", "- a\n", "just text", "\x00", "description: {a: b}"])
def test_broken_answers_file(content: str, new_service: Run, tmp_path: Path) -> None:
    (tmp_path / "answers.yml").write_text(content)

    done = new_service("create", "b", "--yes", "--answers-file", "answers.yml", check=False)

    refused(done, 2, "")
    assert listing(tmp_path) == ["answers.yml"]


def test_a_repository_that_is_no_template(new_service: Run, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "README").touch()

    done = new_service("create", "b", "--yes", "--template", repository(folder), check=False)

    refused(done, 4, "is not a template")
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_a_template_that_needs_trust(new_service: Run, tmp_path: Path) -> None:
    folder = copy_template(tmp_path / "template")
    with (folder / "copier.yml").open("a") as config:
        config.write('_tasks: ["touch owned"]\n')

    done = new_service("create", "b", "--yes", "--template", repository(folder), check=False)

    refused(done, 4, "code of its own")
    assert [path.name for path in tmp_path.iterdir()] == ["template"]


def test_git_is_missing(new_service: Run, tmp_path: Path) -> None:
    done = new_service("create", "b", "--yes", env={"PATH": str(tmp_path)}, check=False)

    refused(done, 5, "git is not installed")
    assert listing(tmp_path) == []


def test_a_destination_that_cannot_be_written(
    required: Required, tmp_path: Path, template: Path
) -> None:
    """A read-only mount, since root may write where permissions say no."""
    unshare = required.program("unshare", "apt-get install util-linux")
    required.of(can_mount(unshare), "mounting in a namespace of one's own is not allowed here")
    folder = tmp_path / "read-only"
    folder.mkdir()
    script = f'mount -t tmpfs -o ro none "{folder}" && exec "$@"'

    done = run(
        unshare, "-rm", "sh", "-c", script, "sh", COMMAND, "create", "b", "--yes", "--no-lock",
        "--output-dir", folder, "--template", template, check=False,
    )  # fmt: skip

    refused(done, 2, "Read-only file system")


def test_a_destination_that_is_full(required: Required, tmp_path: Path, template: Path) -> None:
    unshare = required.program("unshare", "apt-get install util-linux")
    required.of(can_mount(unshare), "mounting in a namespace of one's own is not allowed here")
    folder = tmp_path / "full"
    folder.mkdir()
    script = (
        f'mount -t tmpfs -o size=16k none "{folder}"; "$@"; code=$?; ls -A "{folder}"; exit $code'
    )

    done = run(
        unshare, "-rm", "sh", "-c", script, "sh", COMMAND, "create", "b", "--yes", "--no-lock",
        "--output-dir", folder, "--template", template, check=False,
    )  # fmt: skip

    refused(done, 2, "No space left")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_locking_nothing_is_left(
    sent: signal.Signals, template: Path, tmp_path: Path
) -> None:
    """The index is a socket that takes the connection and never answers."""
    with socket.socket() as index:
        index.bind(("127.0.0.1", 0))
        index.listen()
        environment = clean_environment() | {
            "UV_DEFAULT_INDEX": f"http://127.0.0.1:{index.getsockname()[1]}/",
            "UV_CACHE_DIR": str(tmp_path / "cache"),
            "TMPDIR": str(tmp_path / "tmp"),
        }
        (tmp_path / "tmp").mkdir()
        (tmp_path / "out").mkdir()
        process = subprocess.Popen(
            [COMMAND, "create", "orders-api", "--yes", "--template", template],
            cwd=tmp_path / "out",
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = index.accept()
        assert list((tmp_path / "out").glob(".new-service-*"))
        os.killpg(process.pid, sent)
        _, said = process.communicate()
        connection.close()

    assert process.returncode == 130
    assert "nothing is left behind" in said
    assert listing(tmp_path / "out") == []
    assert not [
        name for name in listing(tmp_path / "tmp") if "new-service" in name or "copier" in name
    ]


def interrupted(command: list[str | Path], ready: Path, pattern: str) -> tuple[int, str]:
    """Ctrl-C, to the whole group as a terminal sends it, once `ready` holds `pattern`."""
    process = subprocess.Popen(
        command, cwd=ready, env=clean_environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(ready.glob(pattern)):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    return process.returncode, said


def test_interrupted_while_rendering_nothing_is_left(tmp_path: Path) -> None:
    """The template's last file takes for ever to render."""
    folder = copy_template(tmp_path / "template")
    loops = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3
    (folder / "template" / "zz.txt.jinja").write_text(loops)
    (tmp_path / "out").mkdir()

    code, said = interrupted(
        [COMMAND, "create", "b", "--yes", "--no-lock", "--template", repository(folder)],
        tmp_path / "out",
        ".new-service-*/service/pyproject.toml",
    )

    assert code == 130
    assert "nothing is left behind" in said
    assert "Traceback" not in said
    assert listing(tmp_path / "out") == []


def test_interrupted_while_the_template_does_not_answer(tmp_path: Path) -> None:
    """The address is a socket that takes the connection and never answers."""
    (tmp_path / "tmp").mkdir()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/t.git"
        process = subprocess.Popen(
            [COMMAND, "create", "b", "--yes", "--template", url],
            cwd=tmp_path, env=clean_environment() | {"TMPDIR": str(tmp_path / "tmp")},
            start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        connection, _ = server.accept()
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate()
        connection.close()

    assert process.returncode == 130
    assert "Traceback" not in said
    assert listing(tmp_path) == ["tmp"]


def test_two_at_once_get_in_nobodys_way(template: Path, tmp_path: Path) -> None:
    command = [COMMAND, "create", "orders-api", "--yes", "--no-lock", "--template", str(template)]
    both = [
        subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    codes = sorted(process.wait() for process in both)

    assert codes[0] == 0
    assert codes[1] in {0, 2}
    assert list(tmp_path.iterdir()) == [tmp_path / "orders-api"]
    assert run("git", "status", "--porcelain", cwd=tmp_path / "orders-api").stdout == ""


def test_uv_of_the_wheel_serves_where_path_has_none(new_service: Run, tmp_path: Path) -> None:
    folders = os.environ["PATH"].split(os.pathsep)
    without = [folder for folder in folders if not shutil.which("uv", path=folder)]

    new_service("create", "orders-api", "--yes", env={"PATH": os.pathsep.join(without)})

    assert (tmp_path / "orders-api" / "uv.lock").is_file()
