"""Addresses of templates: with secrets, short, relative; answers files; a git that forbids much."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from conftest import COMMAND, ROOT, repository, run
from new_service.system.errors import BadInput
from new_service.template.addresses import Address, without_credentials
from shop import FAST, commit, failure, git
from tiny import make, recorded, write

COPIER = Path(sys.executable).with_name("copier")
PASSWORD, ENCODED = "s3/cr@t%", "s3%2Fcr%40t%25"
DATA = ("--data", "owner=me")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small template in versions 1.0.0 and 1.1.0."""
    return make(tmp_path_factory.mktemp("tiny") / "tiny")


def bare(template: Path, path: Path) -> Path:
    """A bare copy, fit for a server that only serves files."""
    run("git", "clone", "--quiet", "--bare", template, path)
    run("git", "update-server-info", cwd=path)
    return path


class Guarded(SimpleHTTPRequestHandler):
    """Serves files to those who know the password, and watches where it is to be seen."""

    leaks: set[str]
    watched: Path

    def do_GET(self) -> None:
        expected = base64.b64encode(f"some one:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {expected}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="templates"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.leaks |= {str(path) for path in holding_it(self.watched)}
        for process in psutil.process_iter():
            try:
                command = process.cmdline()
            except psutil.Error:
                continue
            if any(tells(word) for word in command):
                self.leaks.add(" ".join(command))
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def tells(text: str) -> bool:
    return PASSWORD in text or ENCODED in text


def holding_it(folder: Path) -> list[Path]:
    found = []
    for path in folder.rglob("*"):
        with suppress(IsADirectoryError, FileNotFoundError):  # git renames what it writes
            if tells(path.read_bytes().decode("utf-8", "replace")):
                found.append(path)
    return found


class Server:
    """A real one, on the loopback."""

    def __init__(self, files: Path, watched: Path) -> None:
        handler = type("Handler", (Guarded,), {"leaks": set(), "watched": watched})
        self.leaks: set[str] = handler.leaks  # type: ignore[attr-defined]  # of the type made here
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(files)))
        self.host = f"127.0.0.1:{self.http.server_port}"

    def url(self, user: str = "") -> str:
        return f"http://{user}{self.host}/t.git"

    @property
    def secret(self) -> str:
        return self.url(f"some%20one:{ENCODED}@")


@pytest.fixture
def server(tiny: Path, tmp_path: Path) -> Iterator[Server]:
    bare(tiny, tmp_path / "served" / "t.git")
    (tmp_path / "temporary").mkdir()
    server = Server(tmp_path / "served", tmp_path / "temporary")
    thread = threading.Thread(target=server.http.serve_forever)
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def call(
    tmp_path: Path,
    *arguments: str | Path,
    env: dict[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """The command, its temporary files in a folder of the test; it never tells the password."""
    ours = {"TMPDIR": str(tmp_path / "temporary"), "NEW_SERVICE_DEBUG": "1", **(env or {})}
    done = run(COMMAND, *arguments, cwd=tmp_path, env=ours, check=False)
    assert not tells(done.stdout + done.stderr)
    assert done.returncode == 0 or not check, done.stderr
    return done


OLD = ("--yes", "--no-lock", "--template-version", "1.0.0")


def test_user_and_password_serve_one_run_and_are_written_nowhere(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "made").mkdir()
    config = tmp_path / "config.toml"
    config.write_text(f'template = "{server.secret}"\n')
    by_environment = {"NEW_SERVICE_TEMPLATE": server.secret}

    told = call(tmp_path, "create", "one", *OLD, "--output-dir", "made", env=by_environment)
    made = call(
        tmp_path, "create", "two", *OLD, "--output-dir", "made", "--json",
        env={"NEW_SERVICE_CONFIG": str(config)},
    )  # fmt: skip
    call(tmp_path, "modules", env=by_environment)

    assert "user and password are not recorded" in told.stdout
    assert "credential helpers" in told.stdout
    assert json.loads(made.stdout)["template"] == server.url()
    for name in ("one", "two"):
        assert recorded(tmp_path / "made" / name)["_src_path"] == server.url()
    assert holding_it(tmp_path / "made") == []
    assert server.leaks == set()


def test_user_and_password_of_an_address_to_move_to_are_written_nowhere(
    server: Server, tiny: Path, tmp_path: Path
) -> None:
    call(tmp_path, "create", "shop", *OLD, "--template", tiny)
    move = ("update", "--project", "shop", "--template", server.secret, "--no-lock", *DATA)
    done = call(tmp_path, *move, "--json")

    checks = {each["name"]: each["status"] for each in json.loads(done.stdout)["checks"]}
    assert checks["provenance"] == "passed"
    assert "user and password of the address are not recorded" in done.stderr
    assert recorded(tmp_path / "shop")["_src_path"] == server.url()
    assert holding_it(tmp_path / "shop") == []
    # Where its user has typed it, and nowhere else.
    assert all("new-service update --project shop" in each for each in server.leaks)


def test_password_in_the_environment_opens_what_a_service_records(
    server: Server, tmp_path: Path
) -> None:
    """As a pipeline needs it: services do not record the password."""
    env = {"NEW_SERVICE_TEMPLATE": server.secret}
    call(tmp_path, "create", "shop", *OLD, env=env)
    shop = tmp_path / "shop"

    call(tmp_path, "validate", shop, "--only", "provenance", env=env)
    call(tmp_path, "update", "--project", shop, *FAST, *DATA, env=env)
    refused = call(tmp_path, "validate", shop, "--only", "provenance", check=False)

    assert refused.returncode == 1
    assert "credential helpers" in refused.stdout
    assert server.leaks == set()


def test_password_that_an_old_service_records_is_neither_told_nor_kept(
    server: Server, tmp_path: Path
) -> None:
    call(tmp_path, "create", "shop", *OLD, env={"NEW_SERVICE_TEMPLATE": server.secret})
    answers = tmp_path / "shop" / ".copier-answers.yml"
    answers.write_text(answers.read_text().replace(server.url(), server.secret))
    commit(tmp_path / "shop")

    status = call(tmp_path, "status", "shop", "--json")
    call(tmp_path, "validate", "shop", "--only", "provenance")
    updated = call(tmp_path, "update", "--project", "shop", *FAST, *DATA)

    assert json.loads(status.stdout)["services"][0]["template"] == server.url()
    assert "git's history: replace them" in updated.stdout
    assert recorded(tmp_path / "shop")["_src_path"] == server.url()
    assert not tells(answers.read_text())
    assert server.leaks == set()


def test_wrong_password_is_not_told(server: Server, tmp_path: Path) -> None:
    done = call(
        tmp_path, "create", "shop", *OLD, check=False,
        env={"NEW_SERVICE_TEMPLATE": server.url("me:wr0ng@")},
    )  # fmt: skip

    assert done.returncode == 4
    assert "Authentication failed" in done.stderr
    assert "wr0ng" not in done.stderr
    assert not (tmp_path / "shop").exists()


def test_user_alone_is_asked_for_by_a_credential_helper(server: Server, tmp_path: Path) -> None:
    helper = f"!if grep -qx 'username=some one'; then echo 'password={PASSWORD}'; fi #"
    settings = tmp_path / "gitconfig"
    run("git", "config", "--file", settings, "credential.helper", helper)

    call(
        tmp_path, "create", "shop", *OLD, env={
            "GIT_CONFIG_GLOBAL": str(settings),
            "NEW_SERVICE_TEMPLATE": server.url("some%20one@"),
        },
    )  # fmt: skip

    assert recorded(tmp_path / "shop")["_src_path"] == server.url()


def test_address_that_no_url_is_is_not_told(tmp_path: Path) -> None:
    done = call(
        tmp_path, "create", "shop", *OLD, check=False,
        env={"NEW_SERVICE_TEMPLATE": f"https://me:{PASSWORD}@localhost/t.git"},
    )  # fmt: skip

    assert done.returncode == 2
    assert "write / as %2F" in done.stderr
    assert "'s3'" not in done.stderr


@pytest.mark.parametrize(
    ("given", "url", "for_git"),
    [
        ("https://me:pw@h.example/t.git", "https://h.example/t.git", None),
        ("https://token@h.example/t.git", "https://h.example/t.git", None),
        ("https://me:p@w@h.example/t.git", "https://h.example/t.git", None),
        ("HTTPS://me:pw@h.example/t.git", "HTTPS://h.example/t.git", None),
        ("git+https://me:pw@h.example/t", "git+https://h.example/t", "https://h.example/t"),
        ("https://h.example/t", "git+https://h.example/t", "https://h.example/t"),
        ("https://h.example/@scope/t.git", "https://h.example/@scope/t.git", None),
        ("ssh://git@h.example/t.git", "ssh://git@h.example/t.git", None),
        ("ssh://git:pw@h.example/t.git", "ssh://git@h.example/t.git", None),
        ("git@h.example:t.git", "git@h.example:t.git", None),
        ("me@h.example:t", "git+me@h.example:t", "me@h.example:t"),
        ("gh:o/t", "gh:o/t", "https://github.com/o/t.git"),
        ("gl:/o/t.git", "gl:/o/t.git", "https://gitlab.com/o/t.git"),
        ("https://github.com/o/t", "https://github.com/o/t", "https://github.com/o/t.git"),
        ("/srv/t", "/srv/t", None),
    ],
)
def test_forms_of_an_address(given: str, url: str, for_git: str | None) -> None:
    address = Address.of(given)

    assert (address.url, address.for_git) == (url, for_git or url)
    assert "pw" not in repr(address)
    assert Address.of(address.url).url == url


def test_text_without_credentials() -> None:
    said = "cannot read 'https://me:p@w@h.example/t', ssh://git:pw@h.example/ or git@h.example:t"

    assert without_credentials(said) == (
        "cannot read 'https://h.example/t', ssh://git@h.example/ or git@h.example:t"
    )


def test_port_that_is_none_is_no_address() -> None:
    with pytest.raises(BadInput) as refused:
        Address.of("https://me:pass/word@h.example/t.git")

    assert "word" not in refused.value.message


@pytest.mark.parametrize(
    ("kind", "settings", "variables"),
    [
        ("bundle", "", {"GIT_ALLOW_PROTOCOL": "https", "GIT_PROTOCOL_FROM_USER": "0"}),
        (
            "checkout",
            '[protocol]\nallow = never\n[protocol "file"]\nallow = never\n'
            "[clone]\nrejectShallow = true\n",
            {},
        ),
    ],
)
def test_embedded_template_is_read_whatever_git_forbids(
    kind: str, settings: str, variables: dict[str, str], tiny: Path, tmp_path: Path
) -> None:
    package = embedded(tiny, tmp_path / "tool", kind)
    (tmp_path / "gitconfig").write_text(settings)
    env = {
        "PYTHONPATH": str(package.parent), "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"),
        **variables,
    }  # fmt: skip
    shop = tmp_path / "shop"

    def call(*arguments: str) -> str:
        command = (sys.executable, "-m", "new_service.cli", *arguments)
        cwd = shop if shop.exists() else tmp_path
        return run(*command, cwd=cwd, env=env).stdout

    call("create", "shop", "--yes", "--no-lock", "--template-version", "1.0.0")
    assert "1.0.0" in call("status")
    call("add", "alpha", *FAST)
    commit(shop)
    call("remove", "alpha", *FAST, "--yes")
    git(shop, "reset", "--hard", "--quiet")
    call("update", *FAST, *DATA)
    call("validate", "--only", "provenance")
    assert "alpha" in call("modules")
    assert "red" in call("smoke", "--list")
    assert recorded(shop)["_commit"] == "v1.1.0"
    assert recorded(shop)["modules"] == ["alpha"]


def embedded(template: Path, folder: Path, kind: str) -> Path:
    """A tool of its own that carries `template`, as its wheel or its checkout does."""
    if kind == "checkout":
        run("git", "clone", "--quiet", template, folder)
    package = Path(
        shutil.copytree(ROOT / "generator" / "new_service", folder / "generator" / "new_service")
    )
    if kind == "bundle":
        bundle = package / "template.bundle"
        run("git", "bundle", "create", "--quiet", bundle, "HEAD", "--tags", cwd=template)
    return package


def test_template_of_the_users_own_is_read_as_their_git_allows(tiny: Path, tmp_path: Path) -> None:
    """What is forbidden is told in git's words."""
    done = call(
        tmp_path, "create", "shop", *OLD, "--template", tiny, check=False,
        env={"GIT_ALLOW_PROTOCOL": "https"},
    )  # fmt: skip

    assert done.returncode == 4
    assert "transport 'file' not allowed" in done.stderr


def by_copier(cwd: Path, *arguments: str | Path, **env: str) -> None:
    data = ("--data", "service_name=shop", "--defaults", "--quiet", "--vcs-ref", "v1.0.0")
    run(COPIER, "copy", *data, *arguments, cwd=cwd, env=env)


@pytest.mark.parametrize(
    "address",
    [
        "gh:org/tiny",
        "gl:org/tiny.git",
        "https://github.com/org/tiny",
    ],
)
def test_short_addresses_as_copier_records_them(address: str, tiny: Path, tmp_path: Path) -> None:
    bare(tiny, tmp_path / "hosted" / "org" / "tiny.git")
    settings = tmp_path / "gitconfig"
    for host in ("github", "gitlab"):
        key = f"url.file://{tmp_path}/hosted/.insteadOf"
        run("git", "config", "--file", settings, "--add", key, f"https://{host}.com/")
    env = {"GIT_CONFIG_GLOBAL": str(settings), "COPIER_CACHE_DIR": str(tmp_path / "cache")}
    by_copier(tmp_path, address, "shop", **env)
    shop = repository(tmp_path / "shop")

    (row,) = json.loads(run(COMMAND, "status", "--json", cwd=shop, env=env).stdout)["services"]
    run(COMMAND, "update", *FAST, *DATA, cwd=shop, env=env)
    run(COMMAND, "create", "other", *OLD, "--template", address, cwd=tmp_path, env=env)

    assert (row["template"], row["newest"], row["modified"]) == (address, "1.1.0", [])
    assert recorded(shop)["_commit"] == "v1.1.0"
    assert recorded(shop)["_src_path"] == recorded(tmp_path / "other")["_src_path"] == address
    assert (shop / "owner.txt").read_text() == "me\n"


@pytest.mark.parametrize(
    ("cwd", "template", "service"),
    [
        ("work", "../tiny", "services/shop"),
        ("work/services/shop", "../../../tiny", "."),
        ("", "tiny.bundle", "work/shop"),
    ],
)
def test_relative_address_as_copier_records_it(
    cwd: str, template: str, service: str, tiny: Path, tmp_path: Path
) -> None:
    run("git", "clone", "--quiet", tiny, tmp_path / "tiny")
    run("git", "bundle", "create", "--quiet", tmp_path / "tiny.bundle", "--all", cwd=tiny)
    (tmp_path / cwd).mkdir(parents=True, exist_ok=True)
    by_copier(tmp_path / cwd, template, service)
    shop = repository(tmp_path / cwd / service)
    (tmp_path / "elsewhere").mkdir()
    elsewhere = tmp_path / "elsewhere"

    told = run(COMMAND, "status", shop, "--json", cwd=elsewhere)
    run(COMMAND, "update", "--project", shop, *FAST, *DATA, cwd=elsewhere)

    (row,) = json.loads(told.stdout)["services"]
    assert (row["template"], row["newest"], row["error"]) == (template, "1.1.0", None)
    assert recorded(shop)["_src_path"] == template
    assert recorded(shop)["_commit"] == "v1.1.0"


def test_relative_address_that_leads_nowhere(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "tiny")
    by_copier(tmp_path, "tiny", "shop")
    shop = repository(tmp_path / "shop")
    shutil.rmtree(tmp_path / "tiny")

    assert f"{shop}/tiny" in failure(run(COMMAND, "update", cwd=shop, check=False), 4)


NAME = ".copier-answers.backend.yml"
OTHER = {
    "copier.yml": "_subdirectory: t\n_templates_suffix: .jinja\nword: {type: str, default: x}\n",
    "t/{{_copier_conf.answers_file}}.jinja": "{{ _copier_answers|to_nice_yaml -}}\n",
    "t/word.txt.jinja": "{{ word }}\n",
}


@pytest.fixture
def named(tiny: Path, tmp_path: Path) -> Path:
    """A service whose answers file has a name, made by Copier."""
    by_copier(tmp_path, "--answers-file", NAME, tiny, "shop")
    return repository(tmp_path / "shop")


def add_another(shop: Path, tmp_path: Path) -> None:
    """Let another template have the usual name."""
    other = repository(write(tmp_path / "other", OTHER), tag="v1.0.0")
    run(COPIER, "copy", "--defaults", "--quiet", other, shop)
    commit(shop)


@pytest.mark.parametrize("several", [False, True])
def test_answers_file_with_another_name(several: bool, named: Path, tmp_path: Path) -> None:
    if several:
        add_another(named, tmp_path)
    others = (named / ".copier-answers.yml").read_text() if several else ""

    run(COMMAND, "update", *FAST, *DATA, cwd=named)
    commit(named)
    told = run(COMMAND, "status", "--json", cwd=named)
    run(COMMAND, "validate", "--only", "provenance", cwd=named)

    assert recorded(named, NAME)["_commit"] == "v1.1.0"
    (row,) = json.loads(told.stdout)["services"]
    assert (row["version"], row["modified"], row["deleted"]) == ("1.1.0", [], [])
    assert several == (named / ".copier-answers.yml").exists()
    assert not several or (named / ".copier-answers.yml").read_text() == others


def test_of_several_answers_files_ours_is_the_one_of_the_teams_template(
    named: Path, tiny: Path, tmp_path: Path
) -> None:
    """Both have services of a name; only the address tells."""
    second = tmp_path / "second"
    run("git", "clone", "--quiet", tiny, second)
    by_copier(
        tmp_path, "--answers-file", ".copier-answers.front.yml", second, "shop", "--overwrite"
    )
    commit(named)

    refused = run(COMMAND, "add", "alpha", *FAST, cwd=named, check=False)
    chosen = run(COMMAND, "status", "--answers-file", NAME, "--json", cwd=named)
    run(COMMAND, "add", "alpha", *FAST, cwd=named, env={"NEW_SERVICE_TEMPLATE": str(second)})

    assert f"several answers files: {NAME}, .copier-answers.front.yml" in failure(refused, 2)
    assert "--answers-file" in refused.stderr
    assert json.loads(chosen.stdout)["services"][0]["template"] == str(tiny)
    assert recorded(named, ".copier-answers.front.yml")["modules"] == ["alpha"]
    assert recorded(named, NAME)["modules"] == []


def test_answers_file_is_chosen_by_every_command(tiny: Path, tmp_path: Path) -> None:
    name = "conf/answers.yml"
    by_copier(tmp_path, "--answers-file", name, tiny, "shop")
    shop = repository(tmp_path / "shop")
    add_another(shop, tmp_path)
    flag = ("--answers-file", name)

    run(COMMAND, "add", "alpha", *FAST, *flag, cwd=shop)
    commit(shop)
    run(COMMAND, "remove", "alpha", *FAST, *flag, "--yes", cwd=shop)
    commit(shop)
    run(COMMAND, "update", *FAST, *DATA, *flag, cwd=shop)
    run(COMMAND, "validate", "--only", "provenance", *flag, cwd=shop)
    told = run(COMMAND, "status", shop, "--json", *flag)

    assert recorded(shop, name)["_commit"] == "v1.1.0"
    assert json.loads(told.stdout)["services"][0]["version"] == "1.1.0"


@pytest.mark.parametrize("name", ["nope.yml", "../shop/.copier-answers.yml", "/answers.yml"])
@pytest.mark.parametrize("command", ["update", "validate"])
def test_answers_file_that_is_none(command: str, name: str, named: Path) -> None:
    done = run(COMMAND, command, "--answers-file", name, cwd=named, check=False)

    assert name in failure(done, 2)
