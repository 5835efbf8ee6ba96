"""Brokers of the tests' own, on the loopback: real servers that can be stopped and started."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conftest import Required, run


class Broker:
    """A server that keeps what it has confirmed."""

    url: str

    def start(self) -> None:
        """Returns as soon as it takes connections."""
        raise NotImplementedError

    def stop(self) -> None:
        """Cuts all connections."""
        raise NotImplementedError


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _wait_for(words: str, server: subprocess.Popen[str]) -> None:
    assert server.stdout is not None
    said = []
    for line in server.stdout:
        said.append(line)
        if words in line:
            return
    raise AssertionError("".join(said))


class Redis(Broker):
    """One that is not `lasting` has forgotten everything after a stop."""

    def __init__(self, program: str, folder: Path, *, lasting: bool = True) -> None:
        self.port = free_port()
        self._keeps = ("--appendonly", "yes" if lasting else "no", "--appendfsync", "always")
        self.url = f"redis://:hunter2@127.0.0.1:{self.port}/0"
        self._program, self._folder = program, folder

    def start(self) -> None:
        self._server = subprocess.Popen(
            [
                *(self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
                *(*self._keeps, "--requirepass", "hunter2"),
            ],
            cwd=self._folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        _wait_for("Ready to accept connections", self._server)

    def ask(self, *command: str) -> str:
        """The answer to a command."""
        password = {"REDISCLI_AUTH": "hunter2"}
        return run("redis-cli", "-p", str(self.port), *command, env=password).stdout.strip()

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP makes it silent, without closing anything."""
        self._server.send_signal(number)

    def stop(self) -> None:
        """As in a crash: it has no time to write anything down."""
        self._server.kill()
        self._server.communicate()


class RabbitMQ(Broker):
    """With a port mapper of its own, which Erlang leaves behind."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._port, self._mapper = free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}//"
        self._program, self._folder = program, folder
        self._user = "rabbitmq" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user, self._user)

    def start(self) -> None:
        folder = self._folder
        (folder / "config").mkdir(exist_ok=True)
        self._server = subprocess.Popen(
            [self._program],
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "ERL_EPMD_PORT": str(self._mapper),
                "ERL_EPMD_ADDRESS": "127.0.0.1",
                "RABBITMQ_NODENAME": "tests@localhost",
                "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
                "RABBITMQ_NODE_PORT": str(self._port),
                "RABBITMQ_DIST_PORT": str(free_port()),
                "RABBITMQ_MNESIA_BASE": str(folder / "data"),
                "RABBITMQ_LOG_BASE": str(folder / "log"),
                "RABBITMQ_CONFIG_FILE": str(folder / "config" / "none"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "config" / "plugins"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=self._user,
            group=self._user,
            start_new_session=True,
        )
        _wait_for("completed with", self._server)

    def stop(self) -> None:
        self._server.terminate()
        self._server.communicate()

    def end(self) -> None:
        """The port mapper too."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                named = (process / "environ").read_bytes().split(b"\0")
                if f"ERL_EPMD_PORT={self._mapper}".encode() in named:
                    os.kill(int(process.name), signal.SIGKILL)


@contextmanager
def own_redis(
    required: Required, inside: Path | None = None, *, lasting: bool = True
) -> Iterator[Redis]:
    program = required.program("redis-server", "apt-get install redis-server")
    with tempfile.TemporaryDirectory(prefix="redis-", dir=inside) as folder:
        server = Redis(program, Path(folder), lasting=lasting)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def own_rabbitmq(required: Required, inside: Path | None = None) -> Iterator[RabbitMQ]:
    """Outside pytest's folders: those are closed to other users."""
    program = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    found = required.of(
        program if program.is_file() else None,
        "RabbitMQ is not installed: apt-get install rabbitmq-server",
    )
    with tempfile.TemporaryDirectory(prefix="rabbitmq-", dir=inside) as folder:
        server = RabbitMQ(found, Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()
            server.end()
