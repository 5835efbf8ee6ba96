"""Redis as a broker that loses no message when a worker is killed.

kombu takes a message off its queue, and only then notes that nobody has acknowledged it: a worker
killed in between takes it along. Here Redis moves the message to another list in the same step,
where the workers look now and then for what was left behind. It takes Redis 6.2, and priorities
are not heeded.

What takes a server is not measured: tests reach it where TEST_BROKER_URL names one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty
from time import monotonic

from kombu.transport import redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from kombu.utils.scheduling import round_robin_cycle
from redis import Redis
from redis.client import Pipeline

logger = logging.getLogger(__name__)

# Puts a message back on its queue, unless another worker has done that already.
PUT_BACK = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 then redis.call('RPUSH', KEYS[2], ARGV[1]) end
"""


def _taken(queue: str) -> str:
    return f"{queue}:taken"


def payload_of(message: bytes) -> dict[str, object] | None:
    """What Celery has sent; None if it is anything else, which would end the worker."""
    try:
        payload = loads(bytes_to_str(message))
    except ValueError:
        return None
    match payload:
        case {"properties": {"delivery_tag": str(), "delivery_info": dict()}, "body": str()}:
            return dict(payload)
    return None


class QoS(redis.QoS):  # pragma: no cover
    """Looks for messages that were taken by a worker which is no more."""

    channel: Channel
    _seen: frozenset[tuple[str, bytes]] = frozenset()

    @contextmanager
    def pipe_or_acquire(
        self, pipe: Pipeline | None = None, client: Redis | None = None
    ) -> Iterator[Pipeline]:
        """Whatever notes a message as not acknowledged takes it off the other list, in one step."""
        with super().pipe_or_acquire(pipe, client) as commands:
            self.channel.take_off(commands)
            yield commands

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        super().restore_visible(start, num, interval)
        with self.channel.conn_or_acquire() as client:
            found = frozenset(
                (queue, message)
                for queue in self.channel.active_queues
                for message in client.lrange(_taken(queue), 0, -1)
            )
            # Seen twice, it has been there for seconds, where a living worker needs milliseconds.
            for queue, message in found & self._seen:
                client.eval(PUT_BACK, 2, _taken(queue), queue, message)
        self._seen = found


class Channel(redis.Channel):  # pragma: no cover
    """Moves a message aside until it is noted as not acknowledged."""

    QoS = QoS
    # What the stubs leave out.
    connection_errors: tuple[type[Exception], ...]
    _queue_cycle: round_robin_cycle[str]
    _flush_brpop_reauth: Callable[[], None]
    _moved: bytes | None = None

    def take_off(self, commands: Redis) -> None:
        """Delete the message that was moved aside, if that is still to be done."""
        if self._moved is not None:
            name = _taken(self._queue)
            commands.lrem(name, 1, self._moved)  # type: ignore[arg-type]  # bytes serve as well
            self._moved = None

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = list(self._queue_cycle.consume(len(self.active_queues)))
        if not queues:
            return
        # It waits for one queue at a time, so for each of several not as long.
        seconds = (timeout or self.brpop_timeout) / len(queues)
        command = ["BLMOVE", queues[0], _taken(queues[0]), "RIGHT", "LEFT", seconds]
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        self._queue = queues[0]
        self.client.connection.send_command(*command)

    def _brpop_read(self, **options: object) -> bool:
        try:
            try:
                message = self.client.parse_response(self.client.connection, "BLMOVE", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            self._queue_cycle.rotate(self._queue)
            if message is None:
                raise Empty
            self._moved = message
            if payload := payload_of(message):
                self.connection._deliver(payload, self._queue)
            else:
                logger.error("What is none of Celery's messages on %s was dropped.", self._queue)
            with self.conn_or_acquire() as client:
                self.take_off(client)  # if that need not be noted
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()


class Transport(redis.Transport):
    """The transport of `redis://` and `rediss://`."""

    Channel = Channel
