"""What a user sees: prompts, previews, help, completion and tables, at 80 and at 40 columns."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pexpect
import pyte
import pytest

from conftest import (
    COMMAND,
    ROOT,
    Run,
    clean_environment,
    copy_template,
    questions_of,
    repository,
    run,
)
from shop import commit, edit

DOWN, ENTER, CTRL_D = "\x1b[B", "\r", "\x04"
SCREENS = pytest.mark.parametrize("columns", [80, 40])


class Terminal:
    """new-service on a terminal, as its user sees it."""

    def __init__(self, *arguments: str, cwd: Path, template: Path, columns: int = 80) -> None:
        environment = clean_environment() | {"TERM": "xterm", "NEW_SERVICE_TEMPLATE": str(template)}
        environment.pop("COLUMNS", None)  # would stand for the terminal's
        self.process = pexpect.spawn(
            COMMAND, list(arguments), cwd=cwd, env=environment, encoding="utf-8",
            timeout=60, dimensions=(24, columns),
        )  # fmt: skip
        self.screen = pyte.Screen(columns, 100)
        # Prompts ask where the cursor is.
        self.screen.write_process_input = self.process.send  # type: ignore[method-assign,assignment]
        self.stream = pyte.Stream(self.screen)

    def shown(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def sees(self, text: str) -> str:
        """Wait until `text` is on the screen, however it is folded; the screen."""
        wanted = "".join(text.split())
        while wanted not in "".join(self.shown().split()):
            try:
                self.stream.feed(self.process.read_nonblocking(4096))
            except (pexpect.EOF, pexpect.TIMEOUT):
                pytest.fail(f"{text!r} is not shown:\n{self.shown()}")
        return self.shown()

    def types(self, keys: str) -> None:
        self.process.send(keys)

    def ends(self) -> int | None:
        """Its exit code, once all is shown."""
        try:
            while True:
                self.stream.feed(self.process.read_nonblocking(4096))
        except pexpect.EOF:
            self.process.close()
        return self.process.exitstatus


def minimal(folder: Path, template: Path, columns: int = 80) -> Terminal:
    return Terminal(
        "create", "--no-lock", "--preset", "minimal", "--data", "python_version=3.12",
        "--data", "ci=none", cwd=folder, template=template, columns=columns,
    )  # fmt: skip


@SCREENS
def test_an_error_at_a_prompt_is_whole_and_in_our_words(
    columns: int, template: Path, tmp_path: Path
) -> None:
    terminal = minimal(tmp_path, template, columns)
    terminal.sees("Service name")
    terminal.types("celery" + ENTER)
    shown = terminal.sees(
        "the name 'celery' would hide the package celery, which services use. "
        "Add what it is about, for example 'celery-jobs'."
    )
    assert "Validation error" not in shown
    terminal.types("-jobs" + ENTER)  # what was typed is there to be mended
    terminal.sees("What does it do")
    terminal.types("\t" + ENTER)
    terminal.types("\x03")

    assert terminal.ends() == 130
    assert "celery-jobs" in terminal.shown()


def test_an_example_is_not_taken_for_an_answer(template: Path, tmp_path: Path) -> None:
    terminal = minimal(tmp_path, template)
    assert "Service name  (such as orders-api)" in terminal.sees("Service name")
    terminal.types(ENTER)
    terminal.sees("is not a service name")
    terminal.types("shop" + ENTER)
    assert "What does it do  (Enter: The shop service.)" in terminal.sees("What does it do")
    terminal.types("Sells." + ENTER)
    terminal.sees("Create it")
    terminal.types("y")

    assert terminal.ends() == 0
    assert "description: Sells.\n" in (tmp_path / "shop" / ".copier-answers.yml").read_text()


def test_a_folder_that_exists_is_told_at_the_name(template: Path, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    terminal = minimal(tmp_path, template)
    terminal.sees("Service name")
    terminal.types("shop" + ENTER)
    assert "What does it do" not in terminal.sees("shop exists already")
    terminal.types("2" + ENTER)
    terminal.sees("What does it do")
    terminal.types(CTRL_D)

    assert terminal.ends() == 130


@pytest.mark.parametrize("given", [["shop"], ["--data", "service_name=shop"]])
def test_a_folder_that_exists_is_told_before_any_question(
    given: list[str], template: Path, tmp_path: Path
) -> None:
    (tmp_path / "shop").mkdir()
    terminal = Terminal("create", *given, cwd=tmp_path, template=template)

    assert terminal.ends() == 2
    assert "exists already" in terminal.shown()
    assert "Start from" not in terminal.shown()


def test_a_name_that_is_wrong_is_told_before_any_question(template: Path, tmp_path: Path) -> None:
    terminal = Terminal("create", "celery", cwd=tmp_path, template=template)

    assert terminal.ends() == 2
    assert "would hide the package celery" in terminal.shown()
    assert "Start from" not in terminal.shown()


def test_no_is_an_answer(template: Path, tmp_path: Path) -> None:
    terminal = minimal(tmp_path, template)
    terminal.sees("Service name")
    terminal.types("shop" + ENTER)
    terminal.sees("What does it do")
    terminal.types(ENTER)
    terminal.sees("Create it")
    terminal.types("n")

    assert terminal.ends() == 1
    assert "nothing was created." in terminal.shown()
    assert "interrupted" not in terminal.shown()
    assert list(tmp_path.iterdir()) == []


def test_no_to_a_change_is_an_answer(shop: Path, versions: Path) -> None:
    run(COMMAND, "add", "docker", "--no-lock", "--no-check", cwd=shop)
    commit(shop)
    options = ("--no-lock", "--no-check")
    terminal = Terminal("remove", "docker", *options, cwd=shop, template=versions)
    terminal.sees("Remove docker")
    terminal.types("n")

    assert terminal.ends() == 1
    assert "nothing was changed." in terminal.shown()
    assert "interrupted" not in terminal.shown()


@SCREENS
def test_answers_stay_in_words_and_the_preview_is_short(
    columns: int, template: Path, tmp_path: Path
) -> None:
    terminal = Terminal(
        "create", "shop", "--no-lock", cwd=tmp_path, template=template, columns=columns
    )
    terminal.sees("pick modules one by one")
    terminal.types(DOWN * 3 + ENTER)
    terminal.sees("to copy and remove")
    terminal.types(DOWN + " " + DOWN * 3 + " " + ENTER)
    terminal.sees("? Modules  auth, example")
    terminal.sees("example needs")
    for prompt, answer in (
        ("What does it do (Enter", "The shop service."),
        ("Lowest Python version (arrow", "3.11"),
        ("Where its checks run (arrow", "github"),
        ("Who knows the users (arrow", "accounts"),
    ):
        terminal.sees(prompt)
        terminal.types(ENTER)
        terminal.sees(f"? {prompt.partition(' (')[0]}  {answer}")
    shown = terminal.sees("Create it").splitlines()
    preview = shown[shown.index("") : -1]
    terminal.types("y")

    assert terminal.ends() == 0
    assert len(preview) <= 15
    words = " ".join(" ".join(preview).split())
    assert "shop database · auth (accounts) · example · python_version 3.11 · ci github" in words
    assert "--dry-run lists them" in words
    assert all(line.startswith(("  ", "?")) or not line for line in shown)


def test_questions_of_all_forms_are_asked(tmp_path: Path) -> None:
    """Those that only Copier understands, by Copier."""
    folder = copy_template(tmp_path / "template")
    config = folder / "copier.yml"
    config.write_text(
        config.read_text().partition("# Derived from the answers.\n")[0]
        + "loud:\n  type: bool\n  help: Loud {{ service_name }}\n  default: false\n"
        + "volume:\n  type: int\n  help: Volume\n  when: '{{ loud }}'\n  default: 7\n"
        + config.read_text().partition("# Derived from the answers.\n")[2]
    )
    repository(folder, tag="v1.0.0")
    terminal = minimal(tmp_path, folder)
    terminal.sees("Service name")
    terminal.types("shop" + ENTER)
    terminal.sees("(Enter: The shop service.)")
    terminal.types(ENTER)
    terminal.sees("Loud shop (arrow")
    terminal.types(DOWN + ENTER)
    terminal.sees("Volume")
    terminal.types("1" + ENTER)
    terminal.sees("Create it")
    terminal.types("y")

    assert terminal.ends() == 0
    answers = (tmp_path / "shop" / ".copier-answers.yml").read_text()
    assert "loud: true\n" in answers
    assert "volume: 71\n" in answers


def test_help_lists_all_choices(new_service: Run) -> None:
    shown = new_service("create", "--help").stdout
    listed = shown[shown.index("Presets") :]

    for words in (
        "minimal  health, docs",
        "auth      accounts of its own",
        "python_version  3.11, 3.12",
        "auth_provider   accounts, oidc",
        "description     text",
    ):
        assert words in listed
    assert max(map(len, shown.splitlines())) <= 80
    assert "docker" in new_service("add", "--help").stdout


def test_help_takes_no_network(new_service: Run) -> None:
    unreachable = {"NEW_SERVICE_TEMPLATE": "https://nowhere.invalid/x.git"}

    assert "new-service modules" in new_service("create", "--help", env=unreachable).stdout


def completed(new_service: Run, *words: str, cwd: Path | None = None, **env: str) -> list[str]:
    """What bash is told to complete the last of `words` by."""
    line = {"COMP_WORDS": "\n".join(["new-service", *words]), "COMP_CWORD": str(len(words))}
    asked = {"_NEW_SERVICE_COMPLETE": "complete_bash"} | line | env
    done = new_service(env=asked, cwd=cwd)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["create", "--preset", "a"], ["api"]),
        (["create", "--with", "do"], ["docker"]),
        (["create", "--with", "docker,d"], ["docker,database"]),
        (["create", "--data", "c"], ["ci=github", "ci=gitlab", "ci=none", "celery_broker=redis",
                                     "celery_broker=rabbitmq"]),
        (["create", "--data", "ci", "=", "g"], ["github", "gitlab"]),
        (["create", "--data", "ci", "="], ["github", "gitlab", "none"]),
        (["create", "--data", "ci", "=", "none", "--data", "auth_p"],
         ["auth_provider=accounts", "auth_provider=oidc"]),
        (["create", "--data", "modules", "=", "docker,ce"], ["docker,celery"]),
        (["create", "--data", "package", "="], []),
        (["create", "--data", "=", "ci", "=", "gitl"], ["gitlab"]),
        (["create", "--data", "=", "auth"], ["auth_provider=accounts", "auth_provider=oidc"]),
        (["create", "--data", "ci=gitl"], ["ci=gitlab"]),  # where = is not in COMP_WORDBREAKS
        (["create", "--preset", "="], ["minimal", "api", "full"]),
        (["validate", "shop", "--only", "t"], ["types", "test"]),
        (["validate", "--skip", "t"], []),
        (["status", "s"], ["shop"]),
        (["status", "shop", "./"], ["./shop"]),
        (["add", "--project", "shop", "da"], ["database"]),
        (["add", "--project", "shop", "ex"], ["example"]),
        (["remove", "--project", "shop", "d"], ["docker"]),
        (["remove", ""], []),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)  # fmt: skip
def test_completion(
    words: list[str], expected: list[str], new_service: Run, dockered: Path
) -> None:
    assert completed(new_service, *words, cwd=dockered) == expected


@pytest.fixture(scope="module")
def dockered(versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the service `shop`, which has Docker, and what is no service."""
    folder = tmp_path_factory.mktemp("services")
    (folder / "stuff").mkdir()
    run(
        COMMAND, "create", "shop", "--with", "docker", "--yes", "--no-lock", "--no-git",
        "--template", versions, cwd=folder,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("break_", ["template", "team file", "answers"])
def test_completion_is_silent_where_something_is_broken(
    break_: str, new_service: Run, dockered: Path, tmp_path: Path
) -> None:
    shop = Path(shutil.copytree(dockered / "shop", tmp_path / "shop"))
    broken = tmp_path / "broken"
    broken.write_text("[")
    env = {
        "template": {"NEW_SERVICE_TEMPLATE": str(broken)},
        "team file": {"NEW_SERVICE_CONFIG": str(broken), "NEW_SERVICE_TEMPLATE": ""},
        "answers": {},
    }[break_]
    if break_ == "answers":
        (shop / ".copier-answers.yml").write_text("[")
        (shop / "pyproject.toml").write_text("[")
        words = [["remove", ""], ["validate", "--only", ""]]
    else:
        words = [["create", "--data", ""], ["create", "--with", ""], ["add", ""]]
    for each in words:
        assert completed(new_service, *each, cwd=shop, **env) == []


def test_a_real_bash_completes_values(template: Path, required_bash: str, tmp_path: Path) -> None:
    folders = os.pathsep.join([str(Path(COMMAND).parent), os.environ["PATH"]])
    env = clean_environment() | {"PATH": folders, "NEW_SERVICE_TEMPLATE": str(template)}
    bash = pexpect.spawn(
        required_bash, ["--norc", "--noprofile"], cwd=tmp_path, encoding="utf-8", timeout=60,
        env=env | {"TERM": "dumb", "PS1": "> "},
    )  # fmt: skip
    bash.sendline('eval "$(_NEW_SERVICE_COMPLETE=source_bash new-service)"')
    bash.sendline("echo rea''dy")
    bash.expect("ready\r\n")
    bash.send("echo new; new-service create --data ci=gitl\t--preset fu\t--dry-run")
    bash.expect("ci=gitlab --preset full --dry-run")
    bash.close()


@pytest.fixture
def required_bash(required: object) -> str:  # noqa: ARG001
    return shutil.which("bash") or pytest.skip("bash is not installed")


def test_status_names_the_first_edited_files(shop: Path) -> None:
    package = ("main.py", "middleware.py", "settings.py")
    for path in ("README.md", "pyproject.toml", *(f"src/shop/{name}" for name in package)):
        (shop / path).write_text((shop / path).read_text() + "\n# Ours.\n")
    (shop / "tasks.py").unlink()
    lines = run(COMMAND, "status", cwd=shop).stdout.splitlines()

    assert lines[1].endswith("5 edited, 1 deleted")
    assert lines[2:4] == [
        "      edited: README.md, pyproject.toml, src/shop/main.py and 2 more",
        "      deleted: tasks.py",
    ]
    assert max(map(len, lines)) <= 80


def test_validate_works_from_a_folder_of_the_service(shop: Path) -> None:
    inside = shop / "src" / "shop"
    for arguments, cwd in (([], inside), ([str(inside)], shop.parent)):
        done = run(COMMAND, "validate", "--only", "residue", "--json", *arguments, cwd=cwd)
        assert json.loads(done.stdout)["project"] == str(shop)


def test_validate_of_a_folder_that_is_not_there_judges_no_other(shop: Path) -> None:
    done = run(COMMAND, "validate", "nowhere", cwd=shop, check=False)

    assert done.returncode == 2
    assert "nowhere" in done.stderr


def test_skip_fits_services_without_the_check(shop: Path) -> None:
    done = run(
        COMMAND, "validate", "--only", "residue", "--skip", "migrations", "--skip", "tset", cwd=shop
    )

    assert re.search("· migrations +not a check of this service\n", done.stdout)
    assert re.search("· tset +not a check of this service; did you mean 'test'?", done.stdout)


@pytest.mark.parametrize(
    ("answer", "possible"),
    [
        ("python_version=3.10", "possible: 3.11, 3.12, 3.13, 3.14, 3.15."),
        ("ci=git", "did you mean 'gitlab'? possible: github, gitlab, none."),
        ("auth_provider=oidk", "did you mean 'oidc'? possible: accounts, oidc."),
        ("modules=data", f"possible: {', '.join(questions_of(ROOT).modules)}."),
    ],
)
def test_an_invalid_choice_lists_the_valid_ones(
    answer: str, possible: str, new_service: Run
) -> None:
    done = new_service("create", "shop", "--yes", "--data", answer, check=False)

    assert done.returncode == 2
    assert possible in done.stderr


def test_without_a_terminal_it_says_what_to_answer(new_service: Run) -> None:
    """Only what would be asked: another answer would be refused."""
    done = new_service("create", "shop", "--with", "auth", "--data", "description=x", check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "not answered: python_version, ci, auth_provider." in done.stderr


def test_the_whole_tree_fits_a_narrow_terminal(template: Path, tmp_path: Path) -> None:
    terminal = Terminal(
        "create", "shop", "--preset", "full", "--yes", "--dry-run",
        cwd=tmp_path, template=template, columns=40,
    )  # fmt: skip

    assert terminal.ends() == 0
    names = terminal.sees("test_worker.py").splitlines()
    assert any(line.startswith("  ├── tests/worker/") for line in names)


def test_edits_are_named_without_being_cut_in_a_pipe(shop: Path) -> None:
    edit(shop / ".copier-answers.yml", "_src_path: ", "_src_path: /nowhere/at/all/")
    lines = run(COMMAND, "status", cwd=shop).stdout.splitlines()

    assert "is unavailable" in lines[1]
