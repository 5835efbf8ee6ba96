from typing import Any

from celery import Celery


def backlog(app: Celery) -> int:
    """How many messages of the default queue wait for a worker; raises if the broker is away."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel  # its stubs know less
        try:
            queue = channel.queue_declare(app.conf.task_default_queue, passive=True)
        except connection.channel_errors:  # nothing was ever sent, or on Redis, nothing waits
            return 0
        return int(queue.message_count)
