"""What an owner does on the first day with jobs, by the README of the service alone."""

import re
import subprocess
from pathlib import Path

from conftest import UV, clean_environment
from running import create

MODELS = """
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from ..database.models import Base, IdentityKey


class {name}(Base):
    __tablename__ = "{table}"

    id: Mapped[IdentityKey]
    {column}
"""
ROUTER = """
from uuid import UUID

from fastapi import APIRouter

from ..database.session import Session
from ..worker.jobs import enqueue
from ..worker.tasks import place_order
from . import models

router = APIRouter(prefix="/customers")


@router.post("")
async def create_customer(name: str, session: Session) -> UUID:
    session.add(customer := models.Customer(name=name))
    await session.flush()
    return await enqueue(session, place_order, {"customer_id": customer.id})
"""
TASKS = '''
"""The jobs of this service."""

from ..orders.models import Order
from .jobs import job, job_session


@job()
async def place_order(customer_id: int) -> int:
    """It names a table whose model this module does not import."""
    async with job_session() as session:
        session.add(order := Order(customer_id=customer_id))
        await session.flush()
        return order.id
'''
TESTS = """
from fastapi.testclient import TestClient

from tests.worker.fixtures import RunJob, until


def test_a_customer_gets_an_order(client: TestClient, run_job: RunJob) -> None:
    assert run_job(client.post("/api/v1/customers?name=me").json()).result == 1


def test_a_worker_places_the_order(worker: TestClient) -> None:
    job = worker.post("/api/v1/customers?name=me").json()

    until(lambda: worker.get(f"/api/v1/jobs/{job}").json()["result"] == 1)
"""


def feature(package: Path, name: str, **files: str) -> None:
    """A folder of an owner's."""
    (package / name).mkdir()
    for file, text in {"__init__": "", **files}.items():
        (package / name / f"{file}.py").write_text(text.lstrip())


def test_jobs_of_ones_own_take_the_place_of_the_sample(template: Path, tmp_path: Path) -> None:
    shop = create(tmp_path, template, "shop", "--with", "celery")
    package = shop / "src/shop"
    customer = {"name": "Customer", "table": "customers", "column": "name: Mapped[str]"}
    refers = 'customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))'
    order = {"name": "Order", "table": "orders", "column": refers}
    feature(package, "customers", models=MODELS.format(**customer), router=ROUTER)
    feature(package, "orders", models=MODELS.format(**order))
    feature(shop / "tests", "customers", test_customers=TESTS)
    (package / "worker/tasks.py").write_text(TASKS.lstrip())
    (package / "worker/sample.py").unlink()
    (shop / "tests/worker/test_sample.py").unlink()
    router = package / "worker/router.py"
    router.write_text(re.sub(r"\n.*add_sample\(.*", "", router.read_text()))
    main = package / "main.py"
    text = main.read_text().replace(
        "    # Your own routers", "    api.include_router(customers)\n    # Your own routers"
    )
    imported = "from .customers.router import router as customers\nfrom .docs import"
    main.write_text(text.replace("from .docs import", imported))

    for command in ("fix", "migrate", "migration add-orders", "migrate", "check"):
        done = subprocess.run(
            [UV, "run", "--frozen", "poe", "-q", *command.split()],
            cwd=shop,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
