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


def test_users_see_their_own_jobs_and_administrators_all(
    client: TestClient, token: Callable[..., str]
) -> None:
    def of(user: str, **claims: object) -> dict[str, str]:
        given = token(sub=user, scope="jobs:read jobs:write", **claims)
        return {"Authorization": f"Bearer {given}"}

    me, somebody, admin = of("me"), of("somebody"), of("admin", roles=["admin"])
    job = client.post(JOBS, json={"steps": 1}, headers=me).headers["location"]

    for method, path in (("GET", job), ("GET", f"{job}/events"), ("DELETE", job)):
        assert client.request(method, path, headers=somebody).status_code == 404
    assert client.get(job, headers=me).status_code == 200
    assert client.get(job, headers=admin).status_code == 200
    assert client.get(JOBS, headers=me).status_code == 403

    (listed,) = client.get(f"{JOBS}?owner=me&state=queued", headers=admin).json()["items"]
    assert job.endswith(listed["id"])
    for none in ("owner=somebody", "state=failed", "task=other", f"before={listed['id']}"):
        assert client.get(f"{JOBS}?{none}", headers=admin).json() == {"items": []}
