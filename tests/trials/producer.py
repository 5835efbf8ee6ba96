"""Enqueues as a route does: a line of JSON on stdin for each job, its id or what went wrong back."""

import asyncio
import json
import os
import signal
import sys
from datetime import timedelta

from ..database.models import now
from ..database.commits import after_commit
from ..database.session import transaction
from ..features import Features
from .app import app as celery
from .jobs import enqueue


async def main() -> None:
    features = Features()
    state = await features.open()
    celery.loader.import_default_modules()
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        if "garbage" in asked:
            queue = celery.amqp.queues[celery.conf.task_default_queue]
            with celery.connection_for_write() as connection:
                connection.Producer().publish(
                    asked["garbage"].encode(),
                    content_type="application/octet-stream",
                    content_encoding="binary",
                    exchange=queue.exchange,
                    routing_key=queue.routing_key,
                    declare=[queue],
                )
            print("sent", flush=True)
            continue
        if asked.get("plain"):
            await asyncio.to_thread(celery.send_task, asked["task"], kwargs=asked["arguments"])
            print("sent", flush=True)
            continue
        due_at = now() + timedelta(seconds=asked["in"]) if "in" in asked else None
        try:
            async with transaction(state.writers) as session:
                if asked.get("dies"):  # once it has committed, before the message is sent
                    after_commit(session, lambda: os.kill(os.getpid(), signal.SIGKILL))
                task = celery.tasks[asked["task"]]
                job_id = await enqueue(session, task, asked["arguments"], due_at=due_at)
            print(job_id, flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
    await features.close()


asyncio.run(main())
