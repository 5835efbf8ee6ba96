from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

ITEMS = "/api/v1/items"
ITEM = f"{ITEMS}/00000000-0000-0000-0000-000000000000"
WRITES = [("POST", ITEMS), ("PUT", ITEM), ("PATCH", ITEM), ("DELETE", ITEM)]


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_nobody_writes_without_a_token(client: TestClient, method: str, path: str) -> None:
    response = client.request(method, path, json={"name": "pen"})

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_nobody_writes_without_the_scope(
    client: TestClient, method: str, path: str, token: Callable[..., str]
) -> None:
    headers = {"Authorization": f"Bearer {token(scope='items:read')}"}
    response = client.request(method, path, json={"name": "pen"}, headers=headers)

    assert response.status_code == 403
    assert 'scope="items:write"' in response.headers["www-authenticate"]


def test_everybody_reads(client: TestClient) -> None:
    assert client.get(ITEMS).status_code == 200
