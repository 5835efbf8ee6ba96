"""`smoke --list`: which combinations there are, in which parts and forms."""

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from conftest import COMMAND, Required, Run, can_mount, clean_environment, repository, run
from new_service.combining.combinations import Combination, combine, name, shard_of
from new_service.combining.trial import compare
from new_service.service.checks import Failed
from new_service.template.questions import Questions

Option = tuple[str, Hashable]

WORDS = ["none", "redis", "x", "a-b", "3.11"]
MODULES = ["alpha", "beta", "gamma", "delta"]
# For longer than a test takes; no other run of them has the same.
SLEEP = ("sleep", str(1_000_000 + os.getpid()))


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, object]:
    """What a copier.yml may ask: choices, yes or no, modules that need earlier ones."""
    config: dict[str, object] = {"service_name": {"type": "str"}}
    for each in range(draw(st.integers(1, 2))):
        words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True))
        config[f"choice_{each}"] = {"type": "str", "choices": words}
    if draw(st.booleans()):
        config["sure"] = {"type": "bool", "default": True}
    modules = MODULES[: draw(st.integers(0, 4))]
    config["modules"] = {"type": "str", "multiselect": True, "choices": modules}
    needs = {
        module: draw(st.lists(st.sampled_from(modules[:at]), max_size=2, unique=True))
        for at, module in enumerate(modules)
        if at and draw(st.booleans())
    }
    config["needs"] = {"type": "yaml", "when": False, "default": needs}
    if len(modules) > 1 and draw(st.booleans()):
        # Asked with the first module; one of its answers does not go with the second.
        config["kind"] = {
            "type": "str",
            "choices": ["own", "foreign"],
            "when": "{{ 'alpha' in modules }}",
            "validator": "{% if kind == 'own' and 'beta' in modules %}no{% endif %}",
        }
    return config


def options(combination: Combination, modules: list[str]) -> frozenset[Option]:
    """The choices of a combination, each module on or off."""
    chosen = combination.get("modules", [])
    assert isinstance(chosen, list)
    plain: set[Option] = {
        (key, value) for key, value in combination.items() if not isinstance(value, list)
    }
    return frozenset(plain | {(module, module in chosen) for module in modules})


def complete(rows: set[frozenset[Option]], config: dict[str, object]) -> set[frozenset[Option]]:
    """Each with an answer to every question, None to one that is not asked."""
    if "kind" not in config:
        return rows
    return {row if "kind" in dict(row) else row | {("kind", None)} for row in rows}


def valid_rows(config: dict[str, object], modules: list[str]) -> set[frozenset[Option]]:
    """All that may stand together, counted out without the code under test."""
    possible: dict[str, list[Hashable]] = {module: [False, True] for module in modules}
    needs: dict[str, list[str]] = {}
    for key, details in config.items():
        assert isinstance(details, dict)
        if key == "needs":
            needs = details["default"]
        elif key.startswith("choice"):
            possible[key] = details["choices"]
        elif key == "sure":
            possible[key] = [False, True]
        elif key == "kind":
            possible[key] = ["own", "foreign"]
    rows = [dict(zip(possible, row, strict=True)) for row in itertools.product(*possible.values())]
    asked = [
        {key: answer if key != "kind" or row["alpha"] else None for key, answer in row.items()}
        for row in rows
        if all(row[need] for module in modules if row[module] for need in needs.get(module, []))
    ]
    return {
        frozenset(row.items()) for row in asked if not (row.get("kind") == "own" and row["beta"])
    }


def held(rows: set[frozenset[Option]], size: int) -> set[frozenset[Option]]:
    return {frozenset(some) for row in rows for some in itertools.combinations(row, size)}


@settings(max_examples=60, deadline=None)
@given(config=configurations(), strength=st.sampled_from(["1", "2", "3", "all"]))
def test_all_that_can_stand_together_does(config: dict[str, object], strength: str) -> None:
    questions = Questions.from_config(config)
    modules = list(questions.modules)
    found = [options(each, modules) for each in combine(questions, strength)]
    rows, valid = complete(set(found), config), valid_rows(config, modules)

    assert rows <= valid
    assert len(rows) == len(found)
    size = len(next(iter(valid))) if strength == "all" else int(strength)
    size = min(size, len(next(iter(valid))))
    assert held(rows, size) == held(valid, size)


@settings(max_examples=60, deadline=None)
@given(config=configurations())
@example(config={"one": {"choices": ["a", "a-b"]}, "two": {"choices": ["b-c", "c"]}})
@example(config={"one": {"choices": ["a", "A"]}})
def test_each_combination_has_an_id_of_its_own(config: dict[str, object]) -> None:
    ids = [name(each) for each in combine(Questions.from_config(config), "all")]

    assert len(set(ids)) == len(ids)


@settings(max_examples=30, deadline=None)
@given(config=configurations(), parts=st.integers(1, 6))
def test_parts_make_the_whole_and_cost_about_the_same(
    config: dict[str, object], parts: int
) -> None:
    whole = combine(Questions.from_config(config), "2")
    assume(parts <= len(whole))
    shards = [shard_of(whole, f"{each}/{parts}") for each in range(1, parts + 1)]

    assert sorted(map(str, itertools.chain(*shards))) == sorted(map(str, whole))
    assert all(shards)
    costs = [[1 + len(each.get("modules", [])) for each in shard] for shard in shards]  # type: ignore[arg-type]  # a list
    assert max(map(sum, costs)) - min(map(sum, costs)) <= max(map(max, costs))


@pytest.mark.parametrize("strength", ["1", "2", "3", "all"])
def test_every_python_is_in_a_combination(strength: str, new_service: Run) -> None:
    listed = new_service("smoke", "--list", "--strength", strength, "--format", "json")

    pythons = {row["answers"]["python_version"] for row in json.loads(listed.stdout)}
    assert pythons == {"3.11", "3.12", "3.13", "3.14", "3.15"}


def test_text_is_a_line_for_each_combination(new_service: Run) -> None:
    rows = json.loads(new_service("smoke", "--list", "--format", "json").stdout)
    lines = new_service("smoke", "--list").stdout.splitlines()

    assert [line.split(maxsplit=1)[0] for line in lines] == [row["id"] for row in rows]
    assert [json.loads(line.split(maxsplit=1)[1]) for line in lines] == [
        row["answers"] for row in rows
    ]


def test_the_list_is_the_same_each_time(new_service: Run) -> None:
    command = ("smoke", "--list", "--format", "json")

    assert new_service(*command).stdout == new_service(*command).stdout


def test_a_listed_combination_can_be_created(new_service: Run) -> None:
    row = json.loads(new_service("smoke", "--list", "--format", "json").stdout)[-1]
    data = [
        f"{key}={','.join(value) if isinstance(value, list) else value}"
        for key, value in row["answers"].items()
    ]
    flags = itertools.chain.from_iterable(("--data", each) for each in data)

    done = new_service("create", "b", "--yes", "--no-lock", "--no-git", "--json", *flags)

    assert json.loads(done.stdout)["package"] == "b"


@pytest.mark.parametrize(
    "shard", ["", "1", "/", "2/1", "0/0", "a/b", "1/2/3", "-1/2", "1.5/2", "1/999"]
)
def test_a_part_that_is_none(shard: str, new_service: Run) -> None:
    done = new_service("smoke", "--list", "--shard", shard, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "\nhint: " in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (["modules=celery", "celery_broker=kafka"], "unknown celery_broker"),
        (["auth_provider=oidc"], "not asked"),
        (["python_version=3.10"], "unknown python_version"),
        (["ci=jenkins"], "unknown ci"),
    ],
)
def test_what_is_in_no_combination_is_refused(
    data: list[str], words: str, new_service: Run
) -> None:
    flags = itertools.chain.from_iterable(("--data", each) for each in data)
    done = new_service("create", "b", "--yes", "--no-lock", *flags, check=False)

    assert done.returncode == 2
    assert words in done.stderr


TINY = {
    "copier.yml": """\
_subdirectory: template
_templates_suffix: .jinja
_exclude:
  - "{% if 'alpha' not in modules %}alpha.py{% endif %}"
  - "{% if 'beta' not in modules %}beta.py{% endif %}"
service_name: {type: str}
colour: {type: str, choices: [red, blue], default: red}
modules: {type: str, multiselect: true, default: [], choices: [alpha, beta]}
""",
    "template/{{_copier_conf.answers_file}}.jinja": "{{ _copier_answers|to_nice_yaml -}}\n",
    "template/.gitignore": ".venv/\n__pycache__/\n",
    "template/colour.txt.jinja": "{{ colour }}\n",
    "template/pyproject.toml.jinja": """\
[project]
name = "{{ service_name }}"
version = "0"
requires-python = ">=3.11"
dependencies = ["fastapi", "uvicorn"]

[dependency-groups]
dev = ["poethepoet"]

[tool.fastapi]
entrypoint = "app:app"

[tool.new-service]
checks = ["test"]

[tool.poe.tasks.test]
cmd = "python test.py"
""",
    "template/app.py": """\
from fastapi import FastAPI

app = FastAPI()


@app.get("/health/live")
@app.get("/health/ready")
def healthy() -> str:
    return "yes"
""",
    "template/test.py": """\
import os
import pathlib
import runpy

print("server:", os.environ.get("TEST_SERVER"))
for module in sorted(pathlib.Path().glob("*a.py")):
    runpy.run_path(str(module))
""",
    "template/alpha.py": 'print("alpha")\n',
    "template/beta.py": 'print("beta")\n',
}


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Path]:
    """A template with one question and two modules, its files replaced by those given."""

    def make(**files: str) -> Path:
        given = {f"template/{name}.py": content for name, content in files.items()}
        for file, content in (TINY | given).items():
            path = tmp_path / "tiny" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return repository(tmp_path / "tiny", tag="v1.0.0")

    return make


@pytest.fixture
def smoke(tmp_path: Path) -> Run:
    """`smoke` with the tiny template; what it makes meanwhile is in the folder `scratch`."""
    (tmp_path / "scratch").mkdir()

    def call(
        *options: str | Path, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        ours = {"NEW_SERVICE_TEMPLATE": str(tmp_path / "tiny"), "TMPDIR": str(tmp_path / "scratch")}
        return run(COMMAND, "smoke", *options, cwd=tmp_path, env=ours | (env or {}), check=False)

    return call


def test_every_combination_is_created_checked_and_changed(
    tiny: Callable[..., Path], smoke: Run, tmp_path: Path
) -> None:
    tiny()
    listed = json.loads(smoke("--list", "--json").stdout)
    done = smoke("--jobs", "2", "--json", "--junit", tmp_path / "report.xml")

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [each["id"] for each in document["combinations"]] == [each["id"] for each in listed]
    assert all(each["ok"] and not each["failed"] for each in document["combinations"])
    assert document["pairs_covered"] == document["pairs_total"] == 12
    report = ElementTree.parse(tmp_path / "report.xml")  # noqa: S314  we wrote it
    suites = {each.get("name"): each for each in report.getroot()}
    steps = {name: [case.get("name") for case in suite] for name, suite in suites.items()}
    assert steps["red"][:6] == ["create", "provenance", "residue", "lock", "test", "boot"]
    assert steps["red"][6] == "edit"
    module = str(steps["red"][7]).removeprefix("add ")
    assert module in {"alpha", "beta"}
    looks = ["provenance", "residue", "lock"]
    assert steps["red"][7:] == [
        f"add {module}",
        *(f"add {module}: {check}" for check in [*looks, "boot"]),
        f"remove {module}",
        *(f"remove {module}: {check}" for check in looks),
        "as before",
    ]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_fault_in_a_module_is_found_by_the_combinations_that_have_it(
    tiny: Callable[..., Path], smoke: Run, tmp_path: Path
) -> None:
    tiny(alpha="raise SystemExit('alpha is broken')\n")
    done = smoke("--jobs", "2", "--keep", tmp_path / "kept")

    assert done.returncode == 1
    told = [line for line in done.stdout.splitlines() if line.startswith(("  ✓", "  ✗"))]
    assert {"alpha" in line for line in told} == {True, False}
    assert all(("alpha" in line) == (line[2] == "✗") for line in told), done.stdout
    assert "alpha is broken" in done.stdout
    commands = [
        line.partition("repeat: ")[2] for line in done.stdout.splitlines() if "repeat: " in line
    ]
    assert len(commands) == sum(line[2] == "✗" for line in told)
    (tmp_path / "again").mkdir()
    env = {
        "NEW_SERVICE_TEMPLATE": str(tmp_path / "tiny"),
        "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}",
    }
    again = run("bash", "-c", commands[0], cwd=tmp_path / "again", env=env, check=False)
    assert again.returncode == 1
    assert "alpha is broken" in again.stdout
    assert len(list((tmp_path / "kept").iterdir())) == len(told)


def test_a_change_of_modules_that_does_harm_is_found(tiny: Callable[..., Path], smoke: Run) -> None:
    """Whoever adds alpha has it at the start of the application, which only `boot` sees."""
    tiny(
        app=TINY["template/app.py"]
        + "\nimport pathlib\n\nassert not pathlib.Path('alpha.py').exists()\n"
    )
    done = smoke("--json", "--jobs", "2")
    document = json.loads(done.stdout)

    found = {each["id"]: each["failed"] for each in document["combinations"]}
    assert found["blue+beta"] == ["add alpha: boot"], done.stderr
    assert found["red"] == []


def test_what_a_module_leaves_behind_when_it_goes_is_found(tmp_path: Path) -> None:
    service = tmp_path / "service"
    service.mkdir()
    commits = []
    for edit in ("", "# An edit\n"):
        for each in ("core", "module"):
            (service / f"{each}.py").write_text(f"{edit}print()\n")
        repository(service)
        commits.append(run("git", "rev-parse", "HEAD", cwd=service).stdout.strip())
    (service / "module.py").write_text("print()\n")  # it came back without the edit
    (service / "uv.lock").touch()
    (service / "migration.sql").touch()
    repository(service)
    kept = ["/*.sql"]
    assert compare(service, commits, kept) == ""

    (service / "core.py").write_text("# An edit\nimport module\n\nprint()\n")
    (service / "left.py").touch()
    repository(service)
    with pytest.raises(Failed, match=r"core\.py, left\.py"):
        compare(service, commits, kept)


def running(*command: str) -> list[int]:
    """The processes that run `command`, wherever their program lies."""
    everything = psutil.process_iter(["pid", "cmdline"])
    lines = {each.info["pid"]: each.info["cmdline"] or [""] for each in everything}
    return [pid for pid, line in lines.items() if (Path(line[0]).name, *line[1:]) == command]


def test_a_check_that_hangs_is_killed_and_what_it_said_is_shown(
    tiny: Callable[..., Path], smoke: Run, tmp_path: Path
) -> None:
    tiny(alpha=f"import subprocess\nprint('waiting', flush=True)\nsubprocess.run({[*SLEEP]})\n")
    done = smoke("--strength", "1", "--jobs", "2", env={"NEW_SERVICE_CHECK_SECONDS": "15"})

    assert done.returncode == 1
    assert "did not end within 15 s" in done.stdout
    assert "waiting" in done.stdout
    assert running(*SLEEP) == []
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("busy", ["creating", "checking"])
def test_an_interrupt_ends_all_and_leaves_nothing(
    busy: str, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    tiny(test=f"import subprocess\n\nsubprocess.run({[*SLEEP]})\n")
    (scratch := tmp_path / "scratch").mkdir()
    env = {"NEW_SERVICE_TEMPLATE": str(tmp_path / "tiny"), "TMPDIR": str(scratch)}
    process = subprocess.Popen(
        [COMMAND, "smoke", "--jobs", "2"], cwd=tmp_path, env=clean_environment() | env
    )
    end = time.monotonic() + 120
    while not (running(*SLEEP) if busy == "checking" else list(scratch.glob("**/copier.*"))):
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)

    assert process.wait(60) == 130
    assert list(scratch.iterdir()) == []
    assert running(*SLEEP) == []


def test_a_python_that_is_not_here_leaves_its_pairs_uncovered(
    tiny: Callable[..., Path], smoke: Run, tmp_path: Path
) -> None:
    tiny()
    project = tmp_path / "tiny/template/pyproject.toml.jinja"
    python = "{{ '>=3.11' if colour == 'red' else '>=3.99' }}"
    project.write_text(project.read_text().replace(">=3.11", python))
    repository(tmp_path / "tiny", tag="v1.1.0")
    strict = smoke("--strength", "1")
    done = smoke("--json", "--strength", "1", "--allow-skips")

    assert strict.returncode == 1
    assert "1 could not be tried; --allow-skips accepts that." in strict.stdout
    document = json.loads(done.stdout)
    skipped = {each["answers"]["colour"]: each["skipped"] for each in document["combinations"]}
    assert "3.99" in skipped["blue"]
    assert skipped["red"] == ""
    assert document["pairs_covered"] < document["pairs_total"]


def test_a_disk_that_is_full(tiny: Callable[..., Path], required: Required, tmp_path: Path) -> None:
    """It has room to create a service, and none for its environment."""
    unshare = required.program("unshare", "apt-get install util-linux")
    required.of(can_mount(unshare), "mounting in a namespace of one's own is not allowed here")
    template, scratch = tiny(), tmp_path / "scratch"
    scratch.mkdir()
    script = (
        f'mount -t tmpfs -o size=24m none "{scratch}"; "$@"; code=$?; ls -A "{scratch}"; exit $code'
    )

    done = run(
        *(unshare, "-rm", "sh", "-c", script, "sh", COMMAND, "smoke", "--jobs", "2"),
        env={"NEW_SERVICE_TEMPLATE": str(template), "TMPDIR": str(scratch)},
        check=False,
    )

    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("error: no space is left in ")
    assert "\nhint: " in done.stderr
    assert done.stdout == ""  # of `ls`


def test_servers_that_only_some_meet(tiny: Callable[..., Path], smoke: Run) -> None:
    tiny(alpha="import os\n\nraise SystemExit(os.environ.get('TEST_SERVER', 'none'))\n")
    told = smoke("--jobs", "2", env={"TEST_SERVER__red": "redis://x"}).stdout

    assert "redis://x" in told
    assert "none" in told


def test_a_template_without_choices(tmp_path: Path, smoke: Run, tiny: Callable[..., Path]) -> None:
    tiny()
    (tmp_path / "tiny/copier.yml").write_text("service_name: {type: str}\n")
    repository(tmp_path / "tiny", tag="v1.1.0")
    for options in ((), ("--list",)):
        done = smoke(*options)
        assert done.returncode == 2
        assert "asks no question with choices" in done.stderr


def test_a_folder_to_keep_that_is_taken(
    tmp_path: Path, smoke: Run, tiny: Callable[..., Path]
) -> None:
    tiny()
    (tmp_path / "kept/smoke-01").mkdir(parents=True)
    done = smoke("--keep", tmp_path / "kept")

    assert done.returncode == 2
    assert "exists already" in done.stderr
