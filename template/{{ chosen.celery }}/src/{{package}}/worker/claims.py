"""Claims: of all that ask for a key one gets it, kept where results are for as long as they are."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import cast
from uuid import uuid4

from celery import Celery
from celery.backends.database import DatabaseBackend
from celery.backends.redis import RedisBackend
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

CLAIMED = "CLAIMED"
# Deletes a key that has this value.
DELETE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


def claim(app: Celery, key: str, holder: str) -> str:
    """Who holds `key`: `holder`, unless somebody else was first."""
    backend = app.backend
    if isinstance(backend, DatabaseBackend):
        return _in_database(backend, _name(app, key), holder)
    redis = cast("RedisBackend", backend).client
    redis.set(_name(app, key), holder, nx=True, ex=int(app.conf.result_expires))
    found = redis.get(_name(app, key))
    return holder if found is None else found.decode()


def _in_database(backend: DatabaseBackend, name: str, holder: str) -> str:
    """A claim is a row among the results, whose names are unique."""
    rows = backend.task_cls.__table__
    row = {
        "task_id": name,
        "status": CLAIMED,
        "result": holder.encode(),
        "date_done": datetime.now(UTC),
    }
    with backend.ResultSession() as session:
        try:
            session.execute(insert(rows).values(row))
            session.commit()
        except IntegrityError:
            session.rollback()
            found = session.scalar(select(rows.c.result).where(rows.c.task_id == name))
            return holder if found is None else bytes(found).decode()
    return holder


def release(app: Celery, key: str, holder: str) -> None:
    """Let go of `key`, if `holder` holds it."""
    backend, name = app.backend, _name(app, key)
    if isinstance(backend, DatabaseBackend):
        rows = backend.task_cls.__table__
        with backend.ResultSession() as session:
            held = (rows.c.task_id == name) & (rows.c.result == holder.encode())
            session.execute(delete(rows).where(held))
            session.commit()
        return
    cast("RedisBackend", backend).client.eval(DELETE, 1, name, holder)


def count(app: Celery, key: str, most: int) -> bool:
    """Whether `key` has been counted `most` times at most, with this one."""
    this_time = str(uuid4())
    return any(claim(app, f"{key} {n}", this_time) == this_time for n in range(most))


def _name(app: Celery, key: str) -> str:
    return f"claim-{sha256(f'{app.main} {key}'.encode()).hexdigest()}"
