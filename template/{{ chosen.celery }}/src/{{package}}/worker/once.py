"""Tasks that do their work once for each key, however often they are enqueued."""

import json
from typing import Any

from celery.exceptions import Ignore
from celery.result import AsyncResult
from celery.states import FAILURE, RETRY, REVOKED, SUCCESS

from .base import ServiceTask
from .claims import claim, release


class OnceTask(ServiceTask):
    """The base of such a task: `@shared_task(base=OnceTask)`.

    Who comes second gets the result of who was first, and waits for it while the first is at work.
    If the first one fails, the next one tries. Keys are known for as long as results are kept.

    What a killed worker had half done is done again: see that each step may be.
    """

    abstract = True
    # Whole seconds until the second looks again; RabbitMQ knows no parts of one.
    wait = 5

    def key(self, *args: object, **kwargs: object) -> str:
        """What makes two messages the same work: all their arguments, unless you know better."""
        return json.dumps([args, kwargs], sort_keys=True)

    def __call__(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401  as Celery has it
        """Run, unless that is needless; raises Ignore if it has to wait."""
        key, holder = f"{self.name} {self.key(*args, **kwargs)}", str(self.request.id)
        first = claim(self.app, key, holder)
        while first != holder:
            done: AsyncResult[object] = AsyncResult(first, app=self.app)
            if done.state == SUCCESS:
                return done.result
            if done.state not in {FAILURE, REVOKED}:
                self._come_back_later(args, kwargs)
                raise Ignore
            release(self.app, key, first)
            first = claim(self.app, key, holder)
        return super().__call__(*args, **kwargs)

    def _come_back_later(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """As Celery tries tasks again, but to wait is no failure to be counted."""
        self.backend.store_result(str(self.request.id), None, RETRY, request=self.request)
        retries = self.request.retries
        self.signature_from_request(
            args=args, kwargs=kwargs, countdown=self.wait, retries=retries
        ).apply_async()
