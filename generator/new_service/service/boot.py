"""The check `boot`: start the service, ask it the questions that anyone asks first, stop it."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from ..system.places import place
from ..system.programs import find_uv, poe
from ..system.screen import counted
from . import environment
from .checks import Failed
from .declared import Declared
from .folder import Service

_START_SECONDS = 60
_STOP_SECONDS = 20
# A proxy that the user has configured has no business on the loopback.
_BROWSER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def boot(service: Service, given: Mapping[str, str], seconds: float) -> str:
    """Start the service; see live, ready, docs, redoc and a valid OpenAPI document; stop it.

    It runs with the variables `given` and those that its modules declare.

    Raises:
        Failed: something of this did not work.
        TookTooLong: a task before it had not ended after `seconds`.
    """
    entrypoint = service.setting("tool", "fastapi", "entrypoint")
    if not isinstance(entrypoint, str):
        raise Failed("pyproject.toml names no application: [tool.fastapi] entrypoint is missing")
    declared = Declared.by(service)
    with (
        tempfile.TemporaryFile(prefix="new-service-") as log,
        place() as scratch,
    ):
        variables = {
            **environment.scratch(service.folder, declared.seen(os.environ)),
            **given,
            "APP_DOCS": "true",
            **declared.in_scratch(scratch),
        }
        for task in declared.before:
            _run_before(task, service, variables, seconds)
        beside = [word for task in declared.beside for word in ("poe", "-q", task)]
        command = [*beside, "python", "-m", "uvicorn", entrypoint]
        try:
            with _running(service, command, variables, log.fileno()) as (process, port):
                for path in ("/health/live", "/health/ready", "/docs", "/redoc"):
                    _get(port, path)
                described = _check_openapi(_get(port, "/openapi.json"))
                _stop(process)
        except Failed as failed:
            log.seek(0)
            said = log.read().decode("utf-8", "replace").strip()
            raise Failed(f"{failed}\n{said}".strip()) from failed
    return f"live, ready, docs, redoc, {described}"


def _run_before(task: str, service: Service, variables: Mapping[str, str], seconds: float) -> None:
    done = poe(task, service.folder, variables, seconds=seconds)
    if done.returncode != 0:
        raise Failed(f"poe {task} failed\n{done.stdout}".strip())


@contextmanager
def _running(
    service: Service, command: list[str], variables: dict[str, str], output: int
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The service on a free port, handed over as an open socket so that nobody can take it.

    Requests wait in the socket until the service takes them, and fail as soon as it ends.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            [
                *(find_uv(), "run", "--frozen", "--no-sync"),
                *command,
                *("--fd", str(listener.fileno()), "--timeout-graceful-shutdown", "5"),
            ],
            cwd=service.folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
    try:
        yield process, port
    finally:
        # The whole group: uv and the server below it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _get(port: int, path: str) -> bytes:
    try:
        with _BROWSER.open(f"http://127.0.0.1:{port}{path}", timeout=_START_SECONDS) as response:
            body: bytes = response.read()
            return body
    except urllib.error.HTTPError as refused:
        raise Failed(
            f"{path} answers {refused.code}: {refused.read().decode('utf-8', 'replace')}"
        ) from refused
    except OSError as failed:
        raise Failed(f"{path} does not answer: {failed}") from failed


def _check_openapi(document: bytes) -> str:
    """Validate the document against the OpenAPI Specification's schema."""
    from openapi_spec_validator import validate  # slow to import
    from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

    try:
        openapi = json.loads(document)
        validate(openapi)
    except (ValueError, OpenAPIValidationError) as bad:
        raise Failed(f"/openapi.json is not a valid OpenAPI document: {bad}") from bad
    methods = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
    operations = sum(len(methods & item.keys()) for item in openapi["paths"].values())
    version = ".".join(openapi["openapi"].split(".")[:2])
    return f"OpenAPI {version} with {counted(operations, 'operation')}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        code = process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"it did not stop within {_STOP_SECONDS} s of SIGTERM") from late
    # uvicorn ends by the signal itself once it has shut down; uv passes that on.
    if code not in {0, -signal.SIGTERM, 128 + signal.SIGTERM}:
        raise Failed(f"it ended with exit code {code} when asked to stop")
