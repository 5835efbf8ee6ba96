"""A container engine of the tests' own, with stand-ins for the images that cannot be pulled."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from conftest import UV, Required, run

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
ENGINE = CACHE / "new-service" / "engine"
SECONDS = 120
CLONE_NEWNET = 0x40000000
# The system's programs, not whatever client somebody has put before them.
PATH = f"{ENGINE}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# How this machine reaches packages; a build must reach them too.
INDEX = re.compile(
    r"(UV_(DEFAULT_)?INDEX(_URL)?|UV_(NATIVE_TLS|SYSTEM_CERTS)|(?i:https?|no)_proxy)"
)
# What a network without a way out cannot do is done before, by an engine on the machine's network.
OPEN = ["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]
PRIVATE = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "engine"]

PYTHON = """\
FROM stand-in/python
COPY certificates {path}
ENV {settings}
RUN for name in python3.15 python3 python; do ln -s /usr/bin/python3.15 /usr/local/bin/$name; done
"""
UV_IMAGE = "FROM scratch\nCOPY uv uvx /\n"
# As the official images do: the data belong to the server's user, and the server is that user.
POSTGRES = """\
FROM stand-in/servers
RUN rm -rf /var/lib/postgresql/* && ln -s /usr/lib/postgresql/*/bin /programs
ENV PATH=/programs:$PATH PGDATA=/var/lib/postgresql/18/docker
COPY --chmod=755 <<'SCRIPT' /entrypoint
#!/bin/bash
set -e
if [ "$(id -u)" = 0 ]; then
    install --directory --owner=postgres --mode=700 "$PGDATA"
    install --directory --owner=postgres /var/run/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --no-sync --encoding=UTF8 --locale=C --username="$POSTGRES_USER" \\
        --auth-host=scram-sha-256 --auth-local=trust --pwfile=<(echo "$POSTGRES_PASSWORD")
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    pg_ctl -w -o "-c listen_addresses=''" start
    createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl -w -m fast stop
fi
exec "$@" -c 'listen_addresses=*'
SCRIPT
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["/entrypoint"]
CMD ["postgres"]
"""
REDIS = """\
FROM stand-in/servers
RUN install --directory --owner=redis --group=redis /data
COPY --chmod=755 <<'SCRIPT' /entrypoint
#!/bin/sh
set -e
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    chown redis: .
    exec setpriv --reuid=redis --regid=redis --init-groups "$@" --bind '*' --protected-mode no
fi
exec "$@"
SCRIPT
VOLUME /data
WORKDIR /data
ENTRYPOINT ["/entrypoint"]
CMD ["redis-server"]
"""
RABBITMQ = """\
FROM stand-in/servers
ENV PATH=/usr/lib/rabbitmq/bin:$PATH HOME=/var/lib/rabbitmq
RUN rm -f /var/lib/rabbitmq/.erlang.cookie
COPY --chmod=755 <<'SCRIPT' /entrypoint
#!/bin/sh
set -e
if [ "$1" = rabbitmq-server ] && [ "$(id -u)" = 0 ]; then
    printf '%s\\n' 'listeners.tcp.1 = 0.0.0.0:5672' 'loopback_users = none' \\
        "default_user = $RABBITMQ_DEFAULT_USER" "default_pass = $RABBITMQ_DEFAULT_PASS" \\
        > /etc/rabbitmq/rabbitmq.conf
    chown rabbitmq: /var/lib/rabbitmq
    exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups "$@"
fi
exec "$@"
SCRIPT
VOLUME /var/lib/rabbitmq
ENTRYPOINT ["/entrypoint"]
CMD ["rabbitmq-server"]
"""

Done = subprocess.CompletedProcess[str]


def until(condition: Callable[[], object], words: str) -> None:
    """Wait for something to become true; fails with `words` if it does not."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, words
        time.sleep(0.1)


class Engine:
    """Keeps all that it has in a folder; on this machine's network to build, else on its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "PATH": PATH,
            "HOME": str(folder),
            "DOCKER_HOST": f"unix://{folder}/socket",
            "DOCKER_CONFIG": str(folder / "config"),
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        }
        (folder / "config").mkdir()
        (folder / "config/cli-plugins").symlink_to(ENGINE / "config/cli-plugins")
        self._process: subprocess.Popen[bytes] | None = None
        self._private = False

    def docker(self, *command: str | Path, cwd: Path | None = None, check: bool = True) -> Done:
        return run("docker", *command, cwd=cwd or self.folder, env=self.environment, check=check)

    def compose(self, project: Path, *command: str, check: bool = True) -> Done:
        """Compose with the project's own file, on the engine's own network."""
        self.be(private=True)
        return self.docker("compose", *command, cwd=project, check=check)

    def build(self, project: Path, name: str, *options: str, check: bool = True) -> Done:
        """An image by the Dockerfile of a project; it stops all containers."""
        self.be(private=False)
        command = ("buildx", "build", "--progress=plain", "--network=host", f"--tag={name}")
        return self.docker(*command, *options, ".", cwd=project, check=check)

    def inspect(self, name: str) -> dict[str, Any]:
        """What the engine knows of a container or an image."""
        found: dict[str, Any] = json.loads(self.docker("inspect", name).stdout)[0]
        return found

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Sockets that this thread opens are on the engine's own network."""
        assert self._process is not None
        assert self._private
        theirs, ours = f"/proc/{self._process.pid}/ns/net", "/proc/thread-self/ns/net"
        with open(theirs) as there, open(ours) as back:  # noqa: PTH123 - they have no path
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(back.fileno())

    def be(self, *, private: bool) -> None:
        """Have it run on that network; in the other case it is stopped, and all containers."""
        if self._process is None or self._private != private:
            self.stop()
            self._start(private=private)

    def _start(self, *, private: bool) -> None:
        folder = self.folder
        command: list[str | Path] = [
            # It ends with the tests, however those end.
            *("setpriv", "--pdeathsig", "TERM", *(PRIVATE if private else [])),
            *("dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec"),
            *("--pidfile", folder / "pid", "--host", self.environment["DOCKER_HOST"]),
            *("--storage-driver=overlay2", *([] if private else OPEN)),
        ]
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._private = private

        def answers() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, (folder / "log").read_text()
            return self.docker("version", check=False).returncode == 0

        until(answers, "the engine does not answer")

    def stop(self) -> None:
        """End it, with all processes and mounts that it has made."""
        if self._process is None:
            return
        if running := self.docker("ps", "--quiet", check=False).stdout.split():
            self.docker("kill", *running, check=False)
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(SECONDS)
        for pid in self._processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        # The network of containers stays mounted; whatever is mounted inside comes first.
        for mount in reversed(Path("/proc/mounts").read_text().splitlines()):
            if (where := mount.split()[1]).startswith(f"{self.folder}/"):
                subprocess.run(["umount", "--lazy", where], check=False)

    def _processes(self) -> list[int]:
        """Those that are named by the engine's folder."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"{self.folder}/".encode() in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
        return found

    def make_stand_ins(self, project: Path) -> None:
        """Images by all names that projects use, so that nothing has to be pulled."""
        self.be(private=False)
        path = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        for name in ("python", "servers"):
            settings = f"--change=ENV {path} LANG=C.UTF-8"
            self.docker("import", settings, ENGINE / f"{name}.tar", f"stand-in/{name}")
        uv = re.findall(r"^FROM (\S+/uv:\S+)", (project / "Dockerfile").read_text(), re.MULTILINE)
        self._make(uv[0], UV_IMAGE, uv=UV, uvx=f"{UV}x")
        given = {name: value for name, value in os.environ.items() if INDEX.fullmatch(name)}
        given["SSL_CERT_FILE"] = CERTIFICATES
        lines = " ".join(f"{name}={json.dumps(value)}" for name, value in given.items())
        certificates = os.environ.get("SSL_CERT_FILE", CERTIFICATES)
        text = PYTHON.format(settings=lines, path=CERTIFICATES)
        self._make("python:3.15-slim-trixie", text, certificates=certificates)
        self._make("postgres:18", POSTGRES)
        self._make("redis:8", REDIS)
        self._make("rabbitmq:4", RABBITMQ)

    def _make(self, name: str, dockerfile: str, **files: str) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder) as context:
            (Path(context) / "Dockerfile").write_text(dockerfile)
            for file, path in files.items():
                shutil.copy(path, Path(context) / file)
            self.build(Path(context), name)


def _enter(namespace: int) -> None:
    # os.setns is of Python 3.12.
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def own_engine(required: Required) -> Iterator[Engine]:
    found = ((ENGINE / "complete").is_file() and os.geteuid() == 0) or None
    required.of(found, "containers need root and an engine: bash .ci/run brings it")
    for program in ("unshare", "setpriv", "runc", "iptables"):
        required.of(shutil.which(program, path=PATH), f"{program} is not installed: bash .ci/run")
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        # In memory if there is enough: on a disk, so many files take a minute to make and delete.
        if psutil.virtual_memory().available > 10 * 2**30:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8g", "engine", folder], check=False)
        engine = Engine(Path(folder))
        try:
            yield engine
        finally:
            engine.stop()
            if Path(folder).is_mount():
                subprocess.run(["umount", "--lazy", folder], check=True)
