"""The module docker for real: images that are built and run, stacks that come up and survive."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from conftest import COMMAND, UV, Required, run
from containers import Engine, own_engine, until

pytestmark = pytest.mark.xdist_group("containers")  # one engine, in the order of the file

BASE = "python:3.15-slim-trixie"
ODD = r"""It's "odd": $HOME, ${PATH}, $(id), `id`, \n, a\\b, {{ x }}, naïve, 日本"""
HARDENED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
# What the Dockerfile may add to its base, in MB.
MAY_ADD = {"plain": 80, "shop": 175}
ADA = {"email": "ada@example.com", "password": "a difference engine"}
JOBS, ITEMS, SECONDS = "/api/v1/jobs", "/api/v1/items", 30


@pytest.fixture(scope="module")
def projects(template: Path, required: Required, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of three services: one has docker alone, two have all, in different ways."""
    folder = tmp_path_factory.mktemp("projects")
    found = run(UV, "python", "find", "--no-project", "3.13", check=False).stdout.strip()
    newer = required.of(found or None, "Python 3.13 is not on PATH: bash .ci/run brings it")
    rabbitmq = ("--data", "auth_provider=oidc", "--data", "celery_broker=rabbitmq")

    def create(*options: str, **env: str) -> None:
        run(COMMAND, "create", *options, "--yes", "--template", template, cwd=folder, env=env)

    create("plain", "--with", "docker", "--data", f"description={ODD}")
    create("shop", "--preset", "full")
    create(
        *("mailer", "--with", "auth,celery,docker", "--data", "python_version=3.13", *rabbitmq),
        UV_PYTHON=newer,
    )
    scopes = "AUTH_NEW_ACCOUNT_SCOPES=items:write,jobs:read,jobs:write"
    settings = folder / "shop" / ".env"
    settings.write_text(settings.read_text().replace("AUTH_NEW_ACCOUNT_SCOPES=", scopes))
    with (folder / "mailer" / ".env").open("a") as file:
        file.write("PORT=8001\n")
    return folder


@pytest.fixture(scope="module")
def engine(projects: Path, required: Required) -> Iterator[Engine]:
    """One that has the images of the three services."""
    with own_engine(required) as engine:
        engine.make_stand_ins(projects / "plain")
        versions = ("--build-arg=VERSION=1.2.0", "--build-arg=REVISION=abcdef")
        engine.build(projects / "plain", "plain", *versions)
        engine.build(projects / "shop", "shop")
        engine.build(projects / "mailer", "mailer")
        yield engine


@pytest.fixture
def plain(projects: Path, tmp_path: Path) -> Path:
    """A copy of the service with docker alone, to change."""
    return Path(shutil.copytree(projects / "plain", tmp_path / "plain", symlinks=True))


def cached_steps(log: str) -> dict[str, bool]:
    """The steps of a build that names, by number, what it does; and whether it was spared that."""
    steps = re.findall(r"^#(\d+) \[(?!internal)([^]]+\] .+)$", log, re.MULTILINE)
    cached = set(re.findall(r"^#(\d+) CACHED$", log, re.MULTILINE))
    return {step: number in cached for number, step in steps}


def test_an_edit_builds_only_what_comes_after_the_dependencies(engine: Engine, plain: Path) -> None:
    main = plain / "src" / "plain" / "main.py"
    main.write_text(main.read_text() + "\n# Ours.\n")

    steps = cached_steps(engine.build(plain, "edited").stderr)
    again = cached_steps(engine.build(plain, "edited", "--build-arg=VERSION=2.0.0").stderr)

    built = [step for step, cached in steps.items() if not cached and " FROM " not in step]
    assert [re.sub(r"^\S+ \S+\] ", "", step).split()[0] for step in built] == [
        "COPY",
        "RUN",
        "COPY",
    ]
    assert [step for step in built if step.endswith("uv sync --locked --no-editable")]
    assert not [step for step in built if "--no-install-project" in step]
    assert all(cached for step, cached in again.items() if " FROM " not in step)


def test_without_a_lock_nothing_is_built_and_the_way_to_one_is_told(
    engine: Engine, plain: Path
) -> None:
    (plain / "uv.lock").unlink()

    failed = engine.build(plain, "unlocked", check=False)

    assert failed.returncode != 0
    assert "error: there is no uv.lock; make it with: uv lock" in failed.stderr


def test_a_lock_that_is_out_of_step_is_refused(engine: Engine, plain: Path) -> None:
    metadata = plain / "pyproject.toml"
    text = metadata.read_text()
    metadata.write_text(text.replace("\ndependencies = [", '\ndependencies = [\n    "idna",'))

    failed = engine.build(plain, "unlocked", check=False)

    assert failed.returncode != 0
    assert "uv.lock` needs to be updated" in failed.stderr


def test_labels_tell_what_the_image_is(engine: Engine) -> None:
    labels = engine.inspect("plain")["Config"]["Labels"]

    prefix = "org.opencontainers.image."
    assert {name.removeprefix(prefix): text for name, text in labels.items()} == {
        "title": "plain",
        "description": ODD,
        "version": "1.2.0",
        "revision": "abcdef",
    }


@pytest.mark.parametrize("name", MAY_ADD)
def test_an_image_adds_no_more_to_its_base_than_it_may(name: str, engine: Engine) -> None:
    added = (engine.inspect(name)["Size"] - engine.inspect(BASE)["Size"]) / 1e6

    assert added < MAY_ADD[name], f"{name} adds {added:.1f} MB"


def test_no_secret_and_nothing_that_a_service_runs_without_is_in_the_image(
    engine: Engine, projects: Path, tmp_path: Path
) -> None:
    secrets = re.findall(r"(?:SECRET|PASSWORD)=(\S+)", (projects / "shop/.env").read_text())
    assert len(secrets) == 3
    engine.docker("save", "--output", tmp_path / "shop.tar", "shop")
    with tarfile.open(tmp_path / "shop.tar") as image:
        layers = [_read(image, name) for name in _layers(image)]
    told = engine.docker("history", "--no-trunc", "shop").stdout
    told += engine.docker("inspect", "shop").stdout

    own = layers[len(engine.inspect(BASE)["RootFS"]["Layers"]) :]
    names = {name for layer in own for name in _names(layer)}
    in_app = {name.split("/")[1] for name in names if name.startswith("app/")}
    packages = "app/.venv/lib/python3.15/site-packages"
    code = {name for name in names if re.match(rf"{packages}/(shop|fastapi)/.*\.py$", name)}
    compiled = {re.sub(r"([^/]+)\.py$", r"__pycache__/\1.cpython-315.pyc", name) for name in code}

    assert own
    assert not [each for each in secrets if each in told]
    assert not [each for each in secrets for layer in layers if each.encode() in layer]
    assert in_app == {"pyproject.toml", ".venv", "data"}
    assert not [name for name in names if name.endswith(("/.env", "/.git"))]
    assert f"{packages}/shop/main.py" in code
    assert not compiled - names
    assert not [name for name in names if re.search("/(pytest|mypy|ruff|prek|poethepoet)/", name)]


def _names(layer: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        return files.getnames()


def _layers(image: tarfile.TarFile) -> list[str]:
    return re.findall(r'"(blobs/[^"]+)"', _read(image, "manifest.json").decode().split("Layers")[1])


def _read(image: tarfile.TarFile, name: str) -> bytes:
    file = image.extractfile(name)
    assert file is not None
    return file.read()


@contextmanager
def container(engine: Engine, *options: str) -> Iterator[str]:
    """A container as hard as it gets, healthy, its port 8000 on 8002."""
    engine.be(private=True)
    publish = "--publish=127.0.0.1:8002:8000"
    name = engine.docker("run", "--detach", *HARDENED, publish, *options).stdout.strip()
    try:
        until(lambda: health(engine, name) == "healthy", engine.docker("logs", name).stderr)
        yield name
    finally:
        engine.docker("rm", "--force", "--volumes", name)


def health(engine: Engine, name: str) -> str:
    return str(engine.inspect(name)["State"]["Health"]["Status"])


@contextmanager
def reached(engine: Engine, port: int = 8000, token: str = "") -> Iterator[httpx2.Client]:
    """A client of what is published on a port."""
    with (
        engine.reached(),
        httpx2.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=SECONDS,
            trust_env=False,
        ) as client,
    ):
        yield client


def assert_it_has_no_rights(engine: Engine, name: str) -> None:
    pid = engine.inspect(name)["State"]["Pid"]
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"10001"}
    rights = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    assert {int(status[each], 16) for each in rights} == {0}
    assert status["NoNewPrivs"] == "1"
    written = engine.docker("exec", name, "touch", "/app/file", check=False)
    assert "Read-only file system" in written.stderr


def test_a_service_needs_no_rights_and_answers(engine: Engine) -> None:
    with container(engine, "plain") as name:
        assert_it_has_no_rights(engine, name)
        engine.docker("exec", name, "touch", "/tmp/file")  # noqa: S108 - the container's
        with reached(engine, 8002) as client:
            assert client.get("/health/ready").json() == {"status": "ok"}
            assert client.get("/docs").status_code == 200
        engine.docker("stop", name)
        assert engine.inspect(name)["State"]["ExitCode"] == 0


def test_it_stops_at_once_though_a_stream_is_open_and_the_stream_ends_whole(
    engine: Engine,
) -> None:
    engine.be(private=True)
    data = (
        "--volume=stream:/app/data",
        "--env=AUTH_SECRET=" + "long enough, and no secret" * 2,
        "--env=DATABASE_URL=sqlite:///data/database.db",
        "--env=CELERY_BROKER_URL=filesystem:///data/queue",
    )
    engine.docker("run", "--rm", *HARDENED, *data, "shop", "alembic", "upgrade", "heads")
    with (
        container(engine, *data, "shop") as name,
        reached(engine, 8002) as client,
        client.stream("GET", f"{ITEMS}/changes") as stream,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        engine.docker("stop", name)  # it would be killed after ten seconds, and end with 137
        assert engine.inspect(name)["State"]["ExitCode"] == 0
        stream.read()  # raises if it was cut off


@pytest.fixture(scope="module")
def stacks(engine: Engine, projects: Path) -> Iterator[Path]:
    """Where the stacks are, of which nothing is left in the end."""
    yield projects
    for name in ("shop", "mailer"):
        engine.compose(projects / name, "down", "--volumes", "--timeout=0", check=False)


@pytest.fixture
def shop(engine: Engine, stacks: Path) -> Path:
    """A stack that is up, from nothing or whatever the last test has left."""
    engine.compose(stacks / "shop", "up", "--wait", "--no-build")
    return stacks / "shop"


@pytest.fixture
def mailer(engine: Engine, stacks: Path) -> Path:
    """The other one."""
    engine.compose(stacks / "mailer", "up", "--wait", "--no-build")
    return stacks / "mailer"


@contextmanager
def logged_in(engine: Engine) -> Iterator[httpx2.Client]:
    with reached(engine) as client:
        assert client.post("/api/v1/auth/register", json=ADA).status_code == 202
        token = client.post("/api/v1/auth/login", json=ADA).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def add_item(client: httpx2.Client) -> str:
    answer = client.post(ITEMS, json={"name": uuid4().hex})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


def do_job(client: httpx2.Client) -> str:
    """Enqueue a job, and wait until a worker has done it."""
    answer = client.post(JOBS, json={"steps": 2})
    assert answer.status_code == 202, answer.text
    until_done(client, job := str(answer.json()["id"]))
    return job


def until_done(client: httpx2.Client, job: str) -> None:
    until(lambda: client.get(f"{JOBS}/{job}").json().get("state") == "succeeded", "it is not done")


def ready(client: httpx2.Client) -> bool:
    with suppress(httpx2.TransportError):
        return client.get("/health/ready").status_code == 200
    return False


def exit_codes(engine: Engine, project: Path) -> dict[str, str]:
    """How each container has ended, by its service."""
    form = "{{.Service}} {{.State}} {{.ExitCode}}"
    listed = engine.compose(project, "ps", "--all", f"--format={form}").stdout
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in listed.splitlines()}


def test_from_nothing_comes_a_service_that_knows_people_and_does_their_jobs(
    engine: Engine, shop: Path
) -> None:
    with logged_in(engine) as client:
        assert ready(client)
        assert client.get("/api/v1/auth/me").json()["email"] == ADA["email"]
        do_job(client)
    for name in ("api", "worker", "beat"):
        assert_it_has_no_rights(engine, f"shop-{name}-1")
        assert engine.inspect(f"shop-{name}-1")["RestartCount"] == 0
    assert "superuser" not in engine.compose(shop, "logs", "worker").stdout
    assert exit_codes(engine, shop)["migrate"] == "exited 0"


def test_what_a_stack_keeps_survives_its_end(engine: Engine, shop: Path) -> None:
    with logged_in(engine) as client:
        item = add_item(client)
        job = do_job(client)

    engine.compose(shop, "down")
    engine.compose(shop, "up", "--wait", "--no-build")

    with logged_in(engine) as client:
        assert client.get(item).status_code == 200
        until_done(client, job)


def crash(engine: Engine, name: str) -> None:
    """Kill a container's process, and wait until another one is well."""
    before = engine.inspect(name)
    os.kill(before["State"]["Pid"], signal.SIGKILL)  # `docker kill` would be what its owner wants
    until_well_again(engine, name, before["RestartCount"])


def until_well_again(engine: Engine, name: str, restarts: int) -> None:
    def well() -> bool:
        again = engine.inspect(name)["RestartCount"] > restarts
        return again and health(engine, name) == "healthy"

    until(well, f"{name} is not well")


@pytest.mark.parametrize("service", ["postgres", "redis", "worker", "beat", "api"])
def test_a_stack_survives_the_crash_of(service: str, engine: Engine, shop: Path) -> None:
    with logged_in(engine) as client:
        item = add_item(client)
        job = do_job(client)

        crash(engine, f"{shop.name}-{service}-1")
        until(lambda: ready(client), "it is not ready")

        assert client.get(item).status_code == 200
        until_done(client, job)
        do_job(client)


@pytest.mark.parametrize("service", ["worker", "beat"])
def test_one_that_answers_no_more_is_ended_and_started_again(
    service: str, engine: Engine, shop: Path
) -> None:
    name, broker = f"{shop.name}-{service}-1", f"{shop.name}-redis-1"
    before = engine.inspect(name)
    check = before["Config"]["Healthcheck"]["Test"][1]  # the engine runs it once a minute
    engine.docker("pause", broker)
    try:
        found = engine.docker("exec", name, "sh", "-c", check, check=False)
    finally:
        engine.docker("unpause", broker)

    assert found.returncode == 1
    until_well_again(engine, name, before["RestartCount"])
    with logged_in(engine) as client:
        do_job(client)


def test_a_stack_stops_in_time_and_ends_what_is_under_way(engine: Engine, shop: Path) -> None:
    with logged_in(engine) as client, client.stream("GET", f"{ITEMS}/changes"):
        job = client.post(JOBS, json={"steps": 30}).json()["id"]
        until(lambda: client.get(f"{JOBS}/{job}").json()["state"] == "running", "nobody takes it")
        engine.compose(shop, "stop")

    assert set(exit_codes(engine, shop).values()) == {"exited 0"}
    engine.compose(shop, "start", "postgres", "redis", "api")
    with reached(engine) as client:
        until(lambda: ready(client), "it is not ready")
    with logged_in(engine) as client:
        until_done(client, job)  # there is no worker


def token_of_the_provider(engine: Engine, mailer: Path) -> str:
    """As the README has it, for the scopes of jobs."""
    command = (mailer / "README.md").read_text().split("docker compose exec provider python -c ")[1]
    script = command.split('"')[1].replace("orders:write", "jobs:read%20jobs:write")
    lines = "\n".join(line.removeprefix("  ") for line in script.splitlines())
    told = engine.compose(mailer, "exec", "-T", "provider", "python", "-c", lines).stdout
    return told.split('"access_token":"')[1].split('"')[0]


def test_a_stack_on_rabbitmq_knows_the_users_of_its_provider(engine: Engine, mailer: Path) -> None:
    token = token_of_the_provider(engine, mailer)
    with reached(engine, 8001, token) as client:
        assert ready(client)
        job = do_job(client)
        for service in ("rabbitmq", "worker"):
            crash(engine, f"mailer-{service}-1")
            until(lambda: ready(client), "it is not ready")
            until_done(client, job)
            do_job(client)


def test_the_provider_comes_back_with_the_api(engine: Engine, mailer: Path) -> None:
    engine.compose(mailer, "restart", "api")

    with reached(engine, 8001) as client:
        until(lambda: ready(client), "it is not ready")


def test_the_stack_on_rabbitmq_stops_in_time(engine: Engine, mailer: Path) -> None:
    engine.compose(mailer, "stop")

    assert set(exit_codes(engine, mailer).values()) == {"exited 0"}
