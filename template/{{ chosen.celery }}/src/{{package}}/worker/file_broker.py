"""Files as a broker, for one machine: each message is a file, in one folder after the other.

kombu writes it where a worker may read half of it, and deletes it before it is acknowledged. Here
it appears when it is complete, and is moved aside until it is acknowledged: what a killed worker
had taken, the next one that looks puts back.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any, TextIO
from uuid import uuid4

from kombu import Connection
from kombu.transport import filesystem, virtual
from kombu.utils.json import dumps, loads

SECONDS = 0.5


# Where a process keeps what it has taken, with the open file that is its lock.
_folders: dict[tuple[Path, int], tuple[Path, TextIO]] = {}


def _own(folder: Path) -> Path:
    """The part of `folder` for this process; others cannot lock its file while it lives."""
    key = folder, os.getpid()
    if key in _folders and not _folders[key][0].exists():  # somebody has emptied the folder
        _folders.pop(key)[1].close()
    if key not in _folders:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _written(folder, "").open("r+")
        fcntl.lockf(lock, fcntl.LOCK_EX)  # of this process: those that it forks do not hold it
        own = folder / str(uuid4())
        own.mkdir()
        Path(lock.name).rename(own / "lock")
        _folders[key] = own, lock
    return _folders[key][0]


def _written(folder: Path, text: str) -> Path:
    file = folder / f".{uuid4()}"
    file.write_text(text, "utf-8")
    return file


class QoS(virtual.QoS):
    """Knows which messages are not acknowledged."""

    channel: Channel

    def ack(self, delivery_tag: str) -> None:
        super().ack(delivery_tag)
        self.channel.forget(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        super().reject(delivery_tag, requeue=requeue)
        self.channel.forget(delivery_tag)


class Channel(filesystem.Channel):
    """Writes each file under another name first, and keeps it until it is acknowledged."""

    QoS = QoS

    def __init__(self, connection: Connection, **options: object) -> None:
        super().__init__(connection, **options)
        self._taken: dict[str, Path] = {}

    @property
    def _folder(self) -> Path:
        return Path(self.data_folder_in)

    def _put(self, queue: str, payload: dict[str, object], **_options: object) -> None:  # type: ignore[override]  # the stubs of its bases differ
        name = f"{time.time_ns()}_{uuid4()}.{queue}.msg"
        _written(self._folder, dumps(payload)).replace(self._folder / name)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        own = _own(self._folder / "taken")
        for file in self._waiting(queue):
            taken = own / file.name
            with suppress(FileNotFoundError):  # another worker was faster
                file.rename(taken)
                message: dict[str, Any] = loads(taken.read_text("utf-8"))
                self._taken[message["properties"]["delivery_tag"]] = taken
                return message
        self._put_back_what_others_left(own)
        raise Empty

    def _waiting(self, queue: str) -> Iterator[Path]:
        files = sorted(self._folder.iterdir())
        return (file for file in files if file.name.partition(".")[2] == f"{queue}.msg")

    def forget(self, delivery_tag: str) -> None:
        """Delete a message that is acknowledged, or written anew."""
        if taken := self._taken.pop(delivery_tag, None):
            taken.unlink(missing_ok=True)

    def _restore(self, message: virtual.Message) -> None:
        super()._restore(message)
        self.forget(str(message.delivery_tag))

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401
        """Queues that need no acknowledging are for one process, and go with it."""
        if no_ack:
            own = _own(self._folder / "taken")
            (own / f"{queue}.queue").touch()
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def _put_back_what_others_left(self, own: Path) -> None:
        for lock in (self._folder / "taken").glob("*/lock"):
            if lock.parent == own:
                continue  # to open and close it would unlock it
            with suppress(FileNotFoundError), lock.open("r+") as held:
                try:
                    fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    continue  # its process lives
                self._put_back(lock.parent)
                lock.unlink()
                lock.parent.rmdir()

    def _put_back(self, left: Path) -> None:
        for file in left.glob("*.queue"):
            self._drop(file.stem)
            file.unlink()
        for file in sorted(left.glob("*.msg")):
            message = loads(file.read_text("utf-8"))
            message["properties"]["delivery_info"]["redelivered"] = True
            # Under its own name, it keeps its place.
            _written(self._folder, dumps(message)).replace(self._folder / file.name)
            file.unlink()

    def _drop(self, queue: str) -> None:
        """Delete a queue of a process that is no more."""
        for file in self.control_folder.glob("*.exchange"):
            for key, pattern, bound in self.get_table(file.stem):
                if bound == queue:
                    self._delete(queue, file.stem, key, pattern)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        written = _written(self.control_folder, "[]")
        with suppress(FileExistsError):
            (self.control_folder / f"{exchange}.exchange").hardlink_to(written)
        written.unlink()
        super()._queue_bind(exchange, routing_key, pattern, queue)


class Transport(filesystem.Transport):
    """The transport of `filesystem://`."""

    Channel = Channel

    def drain_events(
        self, connection: Connection, timeout: float | None = None, **_options: object
    ) -> None:
        """Returns often: in between, a worker sees that it is asked to stop."""
        super().drain_events(connection, timeout=min(timeout or SECONDS, SECONDS))
