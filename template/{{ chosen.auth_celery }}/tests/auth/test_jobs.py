from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

JOBS = "/api/v1/jobs"
JOB = f"{JOBS}/00000000-0000-0000-0000-000000000000"
REQUESTS = [
    ("POST", JOBS, "jobs:write"),
    ("DELETE", JOB, "jobs:write"),
    ("GET", JOB, "jobs:read"),
    ("GET", f"{JOB}/events", "jobs:read"),
]


@pytest.mark.parametrize(("method", "path", "_scope"), REQUESTS)
def test_nobody_has_jobs_without_a_token(
    client: TestClient, method: str, path: str, _scope: str
) -> None:
    response = client.request(method, path, json={"steps": 1})

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path", "scope"), REQUESTS)
def test_nobody_has_jobs_without_the_scope(
    client: TestClient, method: str, path: str, scope: str, token: Callable[..., str]
) -> None:
    headers = {"Authorization": f"Bearer {token(scope='other')}"}
    response = client.request(method, path, json={"steps": 1}, headers=headers)

    assert response.status_code == 403
    assert f'scope="{scope}"' in response.headers["www-authenticate"]
